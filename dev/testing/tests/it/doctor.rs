//! `doctor` finds what is wrong, and says nothing is where nothing is.

use clap::Parser as _;
use testing::TestApp;
use testing::processes::migrate;
use testing::settings::development_auth;

fn worker_config(app: &TestApp, more: &[&str]) -> worker::config::Config {
    let mut flags: Vec<String> = [
        "payment-worker",
        "--database-url",
        &app.database_url,
        "--redis-url",
        &app.redis_url,
        "--stripe-base-url",
        &app.simulator.url(),
        "--stripe-api-key",
        "sk_test_x",
    ]
    .map(str::to_owned)
    .into();
    flags.extend(testing::swish::flags(&app.swish, &app.api_url));
    flags.extend(more.iter().map(|flag| (*flag).to_owned()));
    worker::config::Config::parse_from(flags)
}

/// Each finding must be there, in order; whether nothing is wrong but that the Postgres of tests forgets when it crashes.
fn assert_found(report: &shared::doctor::Report, well: bool, findings: &[&str]) {
    let (is_well, text) = report.text();
    assert!(!is_well, "{text}");
    let wrong: Vec<&str> = text.lines().filter(|line| line.starts_with("WRONG")).collect();
    let forgets =
        wrong.iter().filter(|line| line.contains("durability: fsync is off") || line.contains("commit is off"));
    assert_eq!(wrong.len() == forgets.count(), well, "{text}");
    let mut rest = text.as_str();
    for finding in findings {
        let at = rest.find(finding).unwrap_or_else(|| panic!("no `{finding}` in\n{text}"));
        rest = &rest[at..];
    }
}

#[tokio::test]
async fn a_worker_that_is_set_up_well_is_found_well() {
    let app = TestApp::start().await;
    let report = worker::doctor::examine(&worker_config(&app, &[])).await;
    let certificate = "good      Swish certificate: of 1234679304, until";
    let endpoint = format!("good      Stripe's webhook endpoint: {}/api/webhooks/stripe", app.api_url);
    assert_found(
        &report,
        true,
        &[
            "good      Postgres: 1",
            "good      clock: as Postgres'",
            "good      migrations: m2026",
            "good      Redis: ",
            "good      STRIPE_API_KEY: test mode",
            &endpoint,
            "DOUBTFUL  SWISH_CALLBACK_URL: not https",
            certificate,
            "good      Swish: it answers",
        ],
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_worker_is_said_in_words() {
    let app = TestApp::start().await;
    app.simulator.world.set_webhook_api_version("2020-08-27");
    app.execute("DELETE FROM seaql_migrations WHERE version = (SELECT max(version) FROM seaql_migrations)").await;
    let wrong = ["--stripe-api-key", "pk_test_x", "--swish-payee-alias", "1231111111"];
    let mut config = worker_config(&app, &[]);
    config.stripe_api_key = wrong[1].into();
    config.swish.swish_payee_alias = Some(wrong[3].to_owned());
    assert_found(
        &worker::doctor::examine(&config).await,
        false,
        &[
            "WRONG     migrations: the newest is m2026",
            "run payment-migrate",
            "WRONG     settings: STRIPE_API_KEY must begin with sk_ or rk_",
            "WRONG     Stripe: ",
            "WRONG     Swish: the Swish certificate: the certificate is for the Swish number 1234679304",
        ],
    );
    let config = worker_config(&app, &[]);
    app.fault("disputes.list", "error_before:403", 1);
    let found = worker::doctor::examine(&config).await;
    assert_found(&found, false, &["WRONG     STRIPE_API_KEY: it may not read /disputes; give it the permission"]);
    assert_found(&found, false, &["WRONG     Stripe's webhook endpoint", "2020-08-27: make another one of 2026"]);
    let mut away = worker_config(&app, &[]);
    away.common.database_url = "postgres://nobody:secret@127.0.0.1:1/nothing".into();
    away.common.redis_url = "redis://:secret@127.0.0.1:1".into();
    let found = worker::doctor::examine(&away).await;
    assert_found(
        &found,
        false,
        &["WRONG     Postgres: ", "look at DATABASE_URL", "WRONG     Redis: ", "look at REDIS_URL"],
    );
    assert!(!found.text().1.contains("secret@"), "{}", found.text().1);
}

#[tokio::test]
async fn an_older_release_leaves_a_newer_schema_alone() {
    let app = TestApp::start().await;
    let (well, said) = migrate(&app);
    assert!(well && said == "0 migration(s) applied\n", "{said}");
    app.execute("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000099_of_tomorrow', 0)").await;
    let (well, said) = migrate(&app);
    assert!(well && said.contains("of a newer release (m29991231_000099_of_tomorrow)"), "{said}");
}

#[tokio::test]
async fn an_api_is_looked_at_too() {
    let app = TestApp::start().await;
    let flags = [
        "payment-api",
        "--database-url",
        &app.database_url,
        "--redis-url",
        &app.redis_url,
        "--jwt-development-secret",
        "x",
        "--stripe-webhook-secrets",
        "whsec_a,whsec_b",
    ];
    let mut config = api::config::Config::parse_from(flags);
    let report = api::doctor::examine(&config).await;
    assert_found(
        &report,
        true,
        &[
            "good      Postgres: 1",
            "DOUBTFUL  tokens: JWT_DEVELOPMENT_SECRET",
            "DOUBTFUL  JWT_ISSUER: not set",
            "good      settings: 2 webhook secret(s)",
            "good      SWISH_CALLBACK_SECRETS: none",
        ],
    );
    config.auth = development_auth();
    config.auth.keys.jwt_development_secret = None;
    config.auth.keys.jwt_jwks_url = Some("http://127.0.0.1:1/jwks".parse().expect("a URL"));
    config.auth.jwt_issuer = Some("us".to_owned());
    config.stripe_webhook_secrets = vec!["sk_test_x".into()];
    let report = api::doctor::examine(&config).await;
    assert_found(
        &report,
        false,
        &[
            "WRONG     tokens: the keys cannot be had",
            "DOUBTFUL  JWT_AUDIENCE",
            "WRONG     settings: STRIPE_WEBHOOK_SECRETS must begin with whsec_",
        ],
    );
}

#[test]
fn settings_that_let_anybody_in_or_cannot_work_are_refused_at_the_start() {
    let api = |flag: &str, value: &str| {
        let mut flags = vec!["payment-api", "--database-url", "x", "--jwt-development-secret", "x", flag, value];
        for (other, good) in [("--redis-url", "redis://x"), ("--stripe-webhook-secrets", "whsec_a")] {
            if other != flag {
                flags.extend([other, good]);
            }
        }
        api::config::Config::parse_from(flags).check().map_err(|error| error.to_string())
    };
    assert_eq!(api("--stripe-webhook-secrets", "whsec_a, whsec_b"), Ok(()));
    for (flag, value, said) in [
        ("--stripe-webhook-secrets", "", "STRIPE_WEBHOOK_SECRETS is empty"),
        ("--stripe-webhook-secrets", "whsec_a,", "STRIPE_WEBHOOK_SECRETS is empty"),
        ("--stripe-webhook-secrets", "sk_test_x", "STRIPE_WEBHOOK_SECRETS must begin with whsec_"),
        ("--swish-callback-secrets", "", "SWISH_CALLBACK_SECRETS is empty"),
        ("--swish-callback-secrets", "replace-me", "SWISH_CALLBACK_SECRETS is still the example's"),
        ("--redis-url", "foo", "REDIS_URL is no redis:// or rediss:// URL"),
    ] {
        assert_eq!(api(flag, value), Err(said.to_owned()));
    }
    let worker = |key: &str| {
        let flags = ["payment-worker", "--database-url", "x", "--redis-url", "redis://x", "--stripe-api-key", key];
        worker::config::Config::parse_from(flags).check().map_err(|error| error.to_string())
    };
    for good in ["sk_test_x", "rk_live_x "] {
        assert_eq!(worker(good), Ok(()));
    }
    for bad in ["nonsense", "pk_test_x"] {
        assert_eq!(worker(bad), Err("STRIPE_API_KEY must begin with sk_ or rk_".to_owned()));
    }
    assert_eq!(worker(""), Err("STRIPE_API_KEY is empty".to_owned()));
}
