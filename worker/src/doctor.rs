//! `payment-worker doctor`: what is wrong with the workers' set-up, also at the providers, and how to mend it.

use chrono::{TimeDelta, Utc};
use secrecy::ExposeSecret as _;
use shared::doctor::{Report, look_at_servers};
use shared::providers::stripe::{EVENT_TYPES, Stripe, WebhookEndpoint, api_version};
use shared::providers::swish::{Swish, instruction};
use shared::providers::{ProviderError, chain};
use uuid::Uuid;

use crate::config::Config;
use crate::metrics::Metrics;

/// Where the API takes events, at whatever host.
const WEBHOOK_PATH: &str = "/api/webhooks/stripe";
const EXPIRES_SOON: TimeDelta = TimeDelta::days(30);

/// Looks at everything that the workers need. Nothing is changed anywhere.
pub async fn examine(config: &Config) -> Report {
    let mut report = Report::default();
    look_at_servers(&mut report, &config.common, "payment-worker doctor").await;
    stripe(&mut report, config).await;
    swish(&mut report, config).await;
    report
}

async fn stripe(report: &mut Report, config: &Config) {
    let live = config.stripe_api_key.expose_secret().contains("_live_");
    match config.check() {
        Ok(()) => report.good("STRIPE_API_KEY", if live { "live" } else { "test mode" }),
        Err(error) => report.wrong("settings", error.to_string()),
    }
    let (url, key, metrics) = (&config.stripe_base_url, config.stripe_api_key.clone(), Metrics::new());
    let client = match Stripe::new(url, key, config.stripe_timeout(), 0, metrics.providers) {
        Ok(client) => client,
        Err(error) => return report.wrong("Stripe", chain(&error)),
    };
    match client.unreadable().await {
        Ok(unreadable) if unreadable.is_empty() => {}
        Ok(unreadable) => {
            report
                .wrong("STRIPE_API_KEY", format!("it may not read {}; give it the permission", unreadable.join(", ")));
        }
        // Said below.
        Err(_) => {}
    }
    match client.list_webhook_endpoints().await {
        Ok(endpoints) => webhook_endpoint(report, &endpoints),
        Err(error @ ProviderError::NotSent { .. }) => {
            report.wrong(
                "Stripe",
                format!("{}; look at STRIPE_API_KEY, and whether Stripe can be reached", error.chain()),
            );
        }
        Err(error) => report.wrong("Stripe", error.chain()),
    }
}

fn webhook_endpoint(report: &mut Report, endpoints: &[WebhookEndpoint]) {
    let what = "Stripe's webhook endpoint";
    let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.enabled && endpoint.url.ends_with(WEBHOOK_PATH))
    else {
        return report.wrong(
            what,
            format!(
                "none is enabled whose URL ends with {WEBHOOK_PATH}; make one with the API version {}",
                api_version()
            ),
        );
    };
    match &endpoint.api_version {
        Some(version) if version == api_version() => report.good(what, format!("{}, {version}", endpoint.url)),
        other => report.wrong(
            what,
            format!(
                "{} is of the API version {}: make another one of {} and remove this one",
                endpoint.url,
                other.as_deref().unwrap_or("that the account has"),
                api_version()
            ),
        ),
    }
    let lacking = endpoint.lacks(EVENT_TYPES);
    if !lacking.is_empty() {
        report.wrong(what, format!("it is not sent {}; select them too", lacking.join(", ")));
    }
}

async fn swish(report: &mut Report, config: &Config) {
    let Some(settings) = config.swish.settings(0) else {
        return report.good("Swish", "SWISH_CERTIFICATE is not set: jobs of Swish wait for another worker");
    };
    if settings.callback_url.scheme() != "https" {
        report.doubtful("SWISH_CALLBACK_URL", "not https: Swish posts to nothing else");
    }
    let client = match Swish::new(settings, Metrics::new().providers, Utc::now()) {
        Ok(client) => client,
        Err(error) => return report.wrong("Swish", chain(&error)),
    };
    let certificate = client.certificate();
    let until = certificate.not_after.date_naive();
    if certificate.not_after - Utc::now() < EXPIRES_SOON {
        let how = "get a new one in the Swish certificate portal; its file is taken up without a restart";
        report.doubtful("Swish certificate", format!("of {}, until {until}; {how}", certificate.common_name));
    } else {
        report.good("Swish certificate", format!("of {}, until {until}", certificate.common_name));
    }
    // Of an instruction that nobody gave: who answers that there is none has let us in.
    match client.fetch_payment(&instruction(&Uuid::new_v4().to_string())).await {
        Ok(_) => report.good("Swish", "it answers"),
        Err(error) => report.wrong("Swish", error.chain()),
    }
}
