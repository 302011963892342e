//! The numbers of this process, in the Prometheus text format.

use std::time::Duration;

use prometheus::{Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    webhooks: IntCounterVec,
    webhook_version_mismatches: IntCounterVec,
    rate_limited: IntCounterVec,
    waiting: IntGauge,
}

impl Metrics {
    /// # Panics
    /// Never: the names are constants, each registered once.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("payment_service_http_requests_total", "Requests answered."),
            &["method", "path", "status"],
        )
        .expect("a valid name");
        let request_duration = HistogramVec::new(
            HistogramOpts::new("payment_service_http_request_duration_seconds", "How long requests took to answer."),
            &["method", "path"],
        )
        .expect("a valid name");
        let webhooks = IntCounterVec::new(
            Opts::new("payment_service_webhooks_received_total", "Webhooks by what became of them at the door."),
            &["provider", "result"],
        )
        .expect("a valid name");
        let webhook_version_mismatches = IntCounterVec::new(
            Opts::new(
                "payment_service_webhook_api_version_mismatches_total",
                "Webhooks that were written in another API version than ours.",
            ),
            &["provider"],
        )
        .expect("a valid name");
        let rate_limited = IntCounterVec::new(
            Opts::new(
                "payment_service_rate_limiter_verdicts_total",
                "Requests that were refused as too many, or let through because Redis was away.",
            ),
            &["verdict"],
        )
        .expect("a valid name");
        for collector in [&requests, &webhooks, &webhook_version_mismatches, &rate_limited] {
            registry.register(Box::new(collector.clone())).expect("registered once");
        }
        let waiting = IntGauge::new(
            "payment_service_waiting_requests",
            "Requests and streams of events that wait for something to move.",
        )
        .expect("a valid name");
        registry.register(Box::new(request_duration.clone())).expect("registered once");
        registry.register(Box::new(waiting.clone())).expect("registered once");
        Self { registry, requests, request_duration, webhooks, webhook_version_mismatches, rate_limited, waiting }
    }

    /// `route` is a template, never a path with ids.
    pub fn request(&self, method: &str, route: &str, status: u16, elapsed: Duration) {
        let method = if ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].contains(&method) {
            method
        } else {
            "other"
        };
        self.requests.with_label_values(&[method, route, &status.to_string()]).inc();
        self.request_duration.with_label_values(&[method, route]).observe(elapsed.as_secs_f64());
    }

    /// `result`: stored, duplicate, refused or failed.
    pub fn webhook(&self, provider: &str, result: &str) {
        self.webhooks.with_label_values(&[provider, result]).inc();
    }

    /// The endpoint at the provider has another version than our calls.
    pub fn webhook_version_mismatch(&self, provider: &str) {
        self.webhook_version_mismatches.with_label_values(&[provider]).inc();
    }

    /// `verdict`: refused or unavailable.
    pub fn rate_limiter(&self, verdict: &str) {
        self.rate_limited.with_label_values(&[verdict]).inc();
    }

    /// `waiting`: how many requests wait now.
    ///
    /// # Errors
    /// The encoder's own.
    pub fn text(&self, waiting: usize) -> prometheus::Result<String> {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
