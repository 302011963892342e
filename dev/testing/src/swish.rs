//! Swish in tests: the simulator's part, the client's, and the payer's.

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use reqwest::Method;
use serde_json::{Value, json};
use shared::providers::swish::certificate::CertificateFiles;
use shared::providers::swish::{Settings, Swish};
use shared::queue::ringer::Ringer;
use simulator::{SwishConfig, SwishSimulator};

use worker::context::Context;
use worker::metrics::Metrics;

use crate::{Answer, TestApp};

/// Our Swish number.
pub const PAYEE: &str = "1234679304";
/// What callback identifiers are made of.
pub const CALLBACK_SECRET: &str = "a callback secret";

/// A simulated Swish. Its certificates are made once, and kept.
///
/// # Panics
/// It does not start.
pub async fn start() -> SwishSimulator {
    SwishSimulator::start(SwishConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        control_listen: "127.0.0.1:0".parse().expect("an address"),
        certificates: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/swish-certificates"),
        state_file: None,
        callback_retry_ms: 50,
        settle_ms: 20,
        auto_pay_ms: None,
        payee_alias: PAYEE.to_owned(),
    })
    .await
    .expect("the Swish simulator")
}

/// What a worker is told to reach it.
///
/// # Panics
/// The simulator's URL is none.
#[must_use]
pub fn settings(simulator: &SwishSimulator, api_url: &str) -> Settings {
    let certificates = simulator.certificates();
    Settings {
        base_url: simulator.url().parse().expect("a URL"),
        certificate: CertificateFiles {
            certificate: certificates.certificate.clone(),
            key: Some(certificates.key.clone()),
            password: None,
            ca: Some(certificates.ca.clone()),
        },
        payee_alias: PAYEE.to_owned(),
        callback_url: format!("{api_url}/api/webhooks/swish").parse().expect("a URL"),
        callback_secret: CALLBACK_SECRET.into(),
        timeout: Duration::from_secs(2),
        breaker_failures: 0,
    }
}

/// # Panics
/// The certificate is not right.
#[must_use]
pub fn client(simulator: &SwishSimulator, api_url: &str, metrics: &Metrics) -> Swish {
    Swish::new(settings(simulator, api_url), metrics.providers.clone(), Utc::now()).expect("a client")
}

/// What a worker is told to reach it, as flags.
#[must_use]
pub fn flags(simulator: &SwishSimulator, api_url: &str) -> Vec<String> {
    let certificates = simulator.certificates();
    let path = |path: &Path| path.display().to_string();
    [
        ("--swish-base-url", simulator.url()),
        ("--swish-certificate", path(&certificates.certificate)),
        ("--swish-certificate-key", path(&certificates.key)),
        ("--swish-ca", path(&certificates.ca)),
        ("--swish-payee-alias", PAYEE.to_owned()),
        ("--swish-callback-url", format!("{api_url}/api/webhooks/swish")),
        ("--swish-callback-secrets", CALLBACK_SECRET.to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect()
}

/// The body of a Swish payment of 100 kronor.
///
/// # Panics
/// `more` is no object.
#[must_use]
pub fn swish_body(more: Value) -> Value {
    let mut body = json!({ "provider": "swish", "amount": 10_000, "currency": "sek" });
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

impl TestApp {
    /// Creates a Swish payment of `anna`'s, which must be accepted. Gives its id.
    ///
    /// # Panics
    /// It was not accepted.
    pub async fn create_swish(&self, more: Value) -> String {
        let answer = self.call(Method::POST, "/api/payments", "anna", Some(swish_body(more))).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// A worker's context with another client of Swish's.
    #[must_use]
    pub fn context_with(&self, swish: Swish) -> Context {
        let stripe = self.context.stripe.clone();
        Context::new(self.db.clone(), stripe, Some(swish), Ringer::deaf(), Metrics::new())
    }

    /// Swish's id of the payment.
    ///
    /// # Panics
    /// It has none.
    pub async fn instruction(&self, id: &str) -> String {
        let payment = self.payment(id).await;
        payment["provider_payment_id"].as_str().unwrap_or_else(|| panic!("{payment}")).to_owned()
    }

    /// Lets the time of the next poll come.
    pub async fn poll(&self) {
        self.execute("UPDATE jobs SET run_at = now() WHERE kind = 'poll_swish' AND state = 'queued'").await;
        self.run_jobs().await;
    }

    pub fn swish_fault(&self, operation: &str, mode: &str, times: u32) {
        self.swish.world.add_fault(operation, mode, times).expect("a fault");
    }

    /// How often an operation of Swish's was called.
    #[must_use]
    pub fn swish_requests(&self, operation: &str) -> usize {
        self.swish.world.requests().iter().filter(|request| request.operation == operation).count()
    }

    /// What moved at Swish: `charge` or `refund`, and how much.
    #[must_use]
    pub fn swish_moved(&self) -> Vec<(String, i64)> {
        self.swish.world.ledger().into_iter().map(|entry| (entry.kind, entry.amount)).collect()
    }

    /// Posts a callback as Swish would, or somebody who wants to look like it.
    pub async fn send_callback(&self, body: &Value, identifier: &str) -> Answer {
        let headers = [("content-type", "application/json".to_owned()), ("callbackIdentifier", identifier.to_owned())];
        self.raw(Method::POST, "/api/webhooks/swish", &headers, body.to_string().into_bytes()).await
    }
}
