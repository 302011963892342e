//! How often one may ask, who may ask from a browser, and what a back end's token may do.

use std::time::Duration;

use api::config::RateLimits;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::processes::RedisProcess;
use testing::settings::Settings;
use testing::{Answer, JWT_SECRET, TestApp, payment_body, token, wait_until};

fn limits(writes: u32, reads: u32, anonymous: u32) -> Settings {
    let rate_limits =
        RateLimits { rate_limit_writes: writes, rate_limit_reads: reads, rate_limit_anonymous: anonymous };
    Settings { rate_limits, ..Settings::default() }
}

async fn read(app: &TestApp, user: &str) -> Answer {
    app.call(Method::GET, "/api/payments", user, None).await
}

#[tokio::test]
async fn a_user_may_ask_so_often_and_no_more_in_any_minute() {
    let app = TestApp::start_as(limits(3, 5, 0)).await;
    for left in (0..5).rev() {
        let answer = read(&app, "anna").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("ratelimit-policy"), "\"read\";q=5;w=60");
        assert!(answer.header("ratelimit").starts_with(&format!("\"read\";r={left};t=")), "{answer:?}");
    }
    let refused = read(&app, "anna").await;
    assert_eq!(
        (refused.status, refused.json()["code"].clone()),
        (StatusCode::TOO_MANY_REQUESTS, json!("rate_limited"))
    );
    let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    // Writes, and other users, have limits of their own.
    assert_eq!(read(&app, "bo").await.status, StatusCode::OK);
    for _ in 0..3 {
        app.create_payment(json!({})).await;
    }
    let write = app.call(Method::POST, "/api/payments", "anna", Some(payment_body(json!({})))).await;
    assert_eq!(write.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(app.count("SELECT count(*) FROM payments").await, 3);
    let metrics = app.raw(Method::GET, "/metrics", &[], Vec::new()).await.text;
    assert!(metrics.contains("payment_service_rate_limiter_verdicts_total{verdict=\"refused\"} 2"), "{metrics}");
    assert!(metrics.contains("payment_service_rate_limiter_verdicts_total{verdict=\"allowed\"} "), "{metrics}");
    assert!(!metrics.contains("payment_service_rate_limiter_verdicts_total{verdict=\"allowed\"} 0"), "{metrics}");
}

#[tokio::test]
async fn the_window_slides() {
    let app = TestApp::start_as(limits(0, 4, 0)).await;
    for _ in 0..4 {
        assert_eq!(read(&app, "anna").await.status, StatusCode::OK);
    }
    assert_eq!(read(&app, "anna").await.status, StatusCode::TOO_MANY_REQUESTS);
    // Two of the four were a minute ago; a refused one does not count.
    let client = redis::Client::open(app.redis_url.as_str()).expect("a client");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
    let window = format!("{}:rate:read:user:anna", app.queue_prefix);
    let oldest: Vec<String> =
        redis::cmd("ZRANGE").arg(&window).arg(0).arg(1).query_async(&mut connection).await.expect("two");
    for member in oldest {
        let mut back = redis::cmd("ZINCRBY");
        back.arg(&window).arg(-61_000_000_i64).arg(member).exec_async(&mut connection).await.expect("moved");
    }
    assert_eq!(read(&app, "anna").await.status, StatusCode::OK);
    assert_eq!(read(&app, "anna").await.status, StatusCode::OK);
    assert_eq!(read(&app, "anna").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn many_at_once_are_counted_exactly() {
    let app = std::sync::Arc::new(TestApp::start_as(limits(0, 25, 0)).await);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let app = app.clone();
        asked.spawn(async move { read(&app, "anna").await.status });
    }
    let statuses = asked.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 25);
}

#[tokio::test]
async fn without_a_token_the_address_counts_and_only_proxies_we_trust_may_name_it() {
    let mut settings = limits(0, 0, 2);
    settings.trusted_proxies =
        vec!["127.0.0.0/8".parse().expect("a network"), "10.0.0.0/8".parse().expect("a network")];
    let app = TestApp::start_as(settings).await;
    let from = async |forwarded: &str| {
        let headers = [("x-forwarded-for", forwarded.to_owned())];
        app.raw(Method::GET, "/api/payments", &headers, Vec::new()).await.status
    };
    for _ in 0..2 {
        assert_eq!(from("198.51.100.7").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(from("198.51.100.7").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        from("203.0.113.1, 198.51.100.7, 10.1.2.3").await,
        StatusCode::TOO_MANY_REQUESTS,
        "what is before is made up"
    );
    assert_eq!(from("198.51.100.8").await, StatusCode::UNAUTHORIZED);
    // A good token is not held back by the address it comes from.
    assert_eq!(read(&app, "anna").await.status, StatusCode::OK);

    let app = TestApp::start_as(limits(0, 0, 2)).await;
    for (forwarded, status) in [("1.1.1.1", 401), ("2.2.2.2", 401), ("3.3.3.3", 429)] {
        let headers = [("x-forwarded-for", forwarded.to_owned())];
        let answer = app.raw(Method::GET, "/api/payments", &headers, Vec::new()).await;
        assert_eq!(answer.status.as_u16(), status, "nobody is trusted to name another address");
    }
    let json_type = [("content-type", "application/json".to_owned())];
    let webhook = app.raw(Method::POST, "/api/webhooks/stripe", &json_type, b"{}".to_vec());
    assert_eq!(webhook.await.status, StatusCode::BAD_REQUEST, "webhooks are not limited");
}

#[tokio::test]
async fn without_redis_everybody_is_let_through_and_that_is_counted() {
    let mut settings = limits(1, 1, 1);
    settings.redis_url = "redis://127.0.0.1:1".to_owned();
    let app = TestApp::start_as(settings).await;
    for _ in 0..5 {
        let answer = read(&app, "anna").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.headers.get("ratelimit").is_none());
    }
    let metrics = app.raw(Method::GET, "/metrics", &[], Vec::new()).await.text;
    assert!(metrics.contains("verdicts_total{verdict=\"unavailable\"} 5"), "{metrics}");
}

#[tokio::test]
async fn a_page_of_an_origin_that_is_named_may_ask() {
    let app = TestApp::start().await;
    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin.to_owned()),
            ("access-control-request-method", "POST".to_owned()),
            ("access-control-request-headers", "authorization,content-type,idempotency-key".to_owned()),
        ];
        app.raw(Method::OPTIONS, "/api/payments", &headers, Vec::new()).await
    };
    let allowed = preflight("https://shop.example").await;
    assert_eq!(allowed.header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    assert_eq!(allowed.header("access-control-max-age"), "86400");
    assert!(allowed.header("access-control-allow-headers").contains("idempotency-key"));
    assert!(preflight("https://evil.example").await.headers.get("access-control-allow-origin").is_none());
    for (origin, allowed) in [("https://shop.example", true), ("https://evil.example", false)] {
        let headers = [("origin", origin.to_owned()), ("authorization", format!("Bearer {}", token("anna")))];
        let answer = app.raw(Method::GET, "/api/payments", &headers, Vec::new()).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers.get("access-control-allow-origin").is_some(), allowed, "{origin}");
        assert_eq!(answer.header("cache-control"), "private, no-store");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        // Also where the answer is an error.
        let missing = app.raw(Method::GET, "/api/nothing", &headers, Vec::new()).await;
        assert_eq!(missing.headers.get("access-control-allow-origin").is_some(), allowed, "{origin}");
    }
}

fn service(scope: &str) -> String {
    let claims =
        json!({ "sub": "shop", "role": "service", "scope": scope, "exp": chrono::Utc::now().timestamp() + 600 });
    let key = jsonwebtoken::EncodingKey::from_secret(JWT_SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token")
}

#[tokio::test]
async fn a_back_end_does_what_its_scopes_allow_for_the_user_it_names() {
    let app = TestApp::start().await;
    let ask = async |method: Method, path: &str, scope: &str, other: Option<&str>, body: Value| {
        let mut headers = vec![
            ("authorization", format!("Bearer {}", service(scope))),
            ("content-type", "application/json".to_owned()),
        ];
        headers.extend(other.map(|user| ("on-behalf-of", user.to_owned())));
        app.raw(method, path, &headers, body.to_string().into_bytes()).await
    };
    let body = payment_body(json!({ "payment_method": "pm_card_visa" }));
    let made = ask(Method::POST, "/api/payments", "payments:read payments:write", Some("anna"), body.clone()).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{made:?}");
    app.settle().await;
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(app.payment(&id).await["status"], "succeeded", "it is anna's");
    for (method, path, scope) in [
        (Method::POST, "/api/payments", "payments:read"),
        (Method::GET, "/api/payments", "payments:write"),
        (Method::POST, "/api/refunds", "payments:write"),
        (Method::GET, "/api/admin/disputes", "payments:read payments:write refunds:write"),
        (Method::GET, "/api/payments", ""),
    ] {
        let answer = ask(method, path, scope, Some("anna"), body.clone()).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (StatusCode::FORBIDDEN, json!("insufficient_scope")),
            "{path} {scope}"
        );
    }
    let refund = json!({ "payment_id": id, "amount": 100 });
    assert_eq!(
        ask(Method::POST, "/api/refunds", "refunds:write", Some("anna"), refund).await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(ask(Method::GET, "/api/admin/disputes", "admin", None, Value::Null).await.status, StatusCode::OK);
    for (method, path) in
        [(Method::GET, "/api/payments"), (Method::POST, "/api/payments"), (Method::GET, "/api/customers/me")]
    {
        let nobody = ask(method, path, "payments:read payments:write", None, body.clone()).await;
        assert_eq!(
            (nobody.status, &nobody.json()["code"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_parameter")),
            "{path}"
        );
    }
    // A user cannot act for another one, only for themselves.
    let headers = [("authorization", format!("Bearer {}", token("bo"))), ("on-behalf-of", "bo".to_owned())];
    assert_eq!(app.raw(Method::GET, "/api/payments", &headers, Vec::new()).await.status, StatusCode::OK);
    let headers = [("authorization", format!("Bearer {}", token("bo"))), ("on-behalf-of", "anna".to_owned())];
    assert_eq!(app.raw(Method::GET, "/api/payments", &headers, Vec::new()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn redis_that_comes_back_limits_again() {
    let mut server = RedisProcess::start().await;
    let mut settings = limits(0, 2, 0);
    settings.redis_url = server.url();
    let app = TestApp::start_as(settings).await;
    assert!(read(&app, "anna").await.headers.get("ratelimit").is_some());
    server.kill().await;
    assert_eq!(read(&app, "anna").await.status, StatusCode::OK);
    server.start_again().await;
    wait_until("the limiter limits again", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        read(&app, "bo").await.headers.get("ratelimit").is_some().then_some(())
    })
    .await;
}
