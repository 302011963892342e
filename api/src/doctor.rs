//! `payment-api doctor`: what is wrong with the API's set-up, and how to mend it.

use shared::doctor::{Report, look_at_servers};

use crate::auth::Verifier;
use crate::config::Config;

/// Looks at everything that the API needs.
pub async fn examine(config: &Config) -> Report {
    let mut report = Report::default();
    look_at_servers(&mut report, &config.common, "payment-api doctor").await;
    tokens(&mut report, config).await;
    match config.check() {
        Ok(()) => report.good("settings", format!("{} webhook secret(s)", config.stripe_webhook_secrets.len())),
        Err(error) => report.wrong("settings", error.to_string()),
    }
    match config.swish_callback_secrets.len() {
        0 => report.good("SWISH_CALLBACK_SECRETS", "none: payments through Swish are not taken"),
        number => report.good("SWISH_CALLBACK_SECRETS", format!("{number} given; the first must be the workers'")),
    }
    report
}

async fn tokens(report: &mut Report, config: &Config) {
    match Verifier::new(&config.auth) {
        Err(error) => report.wrong("tokens", format!("{error:#}")),
        Ok(verifier) => match verifier.fetch_keys().await {
            Ok(0) => report.doubtful("tokens", "JWT_DEVELOPMENT_SECRET is for development: whoever has it is any user"),
            Ok(keys) => report.good("tokens", format!("{keys} key(s) to check them with")),
            Err(error) => report.wrong("tokens", format!("the keys cannot be had: {error:#}")),
        },
    }
    for (name, given, what) in
        [("JWT_ISSUER", &config.auth.jwt_issuer, "issuer"), ("JWT_AUDIENCE", &config.auth.jwt_audience, "audience")]
    {
        if given.is_none() {
            report.doubtful(name, format!("not set: a token of any {what} is taken that the keys have signed"));
        }
    }
}
