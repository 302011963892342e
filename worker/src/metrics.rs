//! What a worker counts. Served, with its health, where `WORKER_LISTEN` says.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use poem::http::StatusCode;
use poem::listener::TcpListener;
use poem::web::Data;
use poem::{EndpointExt as _, Response, Route, Server, get, handler};
use prometheus::{HistogramVec, IntCounterVec, IntGauge};
use shared::domain::job::{JobKind, Lane, Lease};
use shared::domain::payment::ProviderName;
use shared::metrics::{DURATIONS, MoneyMetrics, PoolMetrics, ProviderMetrics, Registry};
use shared::store::jobs::Rung;
use shared::tally::{self, Happened};

use crate::context::Context;

/// Runs that a job may take; the last bucket is where it is dead.
const ATTEMPTS: &[f64] = &[1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0];

#[derive(Debug, Clone)]
pub struct Metrics {
    pub registry: Registry,
    money: MoneyMetrics,
    pub providers: ProviderMetrics,
    pool: PoolMetrics,
    jobs: IntCounterVec,
    job_duration: HistogramVec,
    job_attempts: HistogramVec,
    relay_rings: IntCounterVec,
    lane_restarts: IntCounterVec,
    missed_events: IntCounterVec,
    webhook_errors: IntCounterVec,
    webhook_duration: HistogramVec,
    swish_certificate_expiry: IntGauge,
}

impl Metrics {
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new("payment-worker");
        let this = Self {
            money: MoneyMetrics::new(&registry),
            providers: ProviderMetrics::new(&registry),
            pool: PoolMetrics::new(&registry),
            jobs: registry.counters(
                "jobs_total",
                "Runs of jobs by how they ended: done, retried, snoozed, dead, or lost with the lease.",
                &["kind", "lane", "outcome"],
            ),
            job_duration: registry.histograms("job_duration_seconds", "A run of a job.", &["kind"], DURATIONS),
            job_attempts: registry.histograms(
                "job_attempts",
                "Runs that a job took until it was done or dead.",
                &["kind"],
                ATTEMPTS,
            ),
            relay_rings: registry.counters(
                "relay_rings_total",
                "Jobs rung by the relay: due, or again because a ring or a worker was lost.",
                &["lane", "reason"],
            ),
            lane_restarts: registry.counters(
                "lane_restarts_total",
                "How often the loop that takes jobs from Redis was begun anew.",
                &["lane"],
            ),
            missed_events: registry.counters(
                "missed_events_total",
                "Events that no webhook told and the provider's feed had.",
                &["provider"],
            ),
            webhook_errors: registry.counters(
                "webhook_processing_errors_total",
                "Runs that were to apply an event and failed.",
                &["provider"],
            ),
            webhook_duration: registry.histograms(
                "webhook_processing_duration_seconds",
                "A run that applies an event.",
                &["provider"],
                DURATIONS,
            ),
            swish_certificate_expiry: registry.gauge(
                "swish_certificate_expiry_timestamp_seconds",
                "When the Swish certificate in use expires, in seconds since 1970. 0: none is in use.",
            ),
            registry,
        };
        this.begin();
        this
    }

    /// What has not happened yet is 0, so that the first time is seen as an increase.
    fn begin(&self) {
        for lane in Lane::ALL {
            for reason in ["due", "again"] {
                let _ = self.relay_rings.with_label_values(&[lane.as_str(), reason]);
            }
            let _ = self.lane_restarts.with_label_values(&[lane.as_str()]);
        }
        for provider in ProviderName::ALL {
            let _ = self.webhook_errors.with_label_values(&[provider.as_str()]);
            let _ = self.webhook_duration.with_label_values(&[provider.as_str()]);
        }
        let _ = self.missed_events.with_label_values(&[ProviderName::Stripe.as_str()]);
    }

    /// Counts what was noted until the commit that has just succeeded.
    pub(crate) fn committed(&self) {
        for happened in tally::take() {
            match &happened {
                Happened::Job { kind, lane, outcome, attempts } => self.job_ended(kind, lane, outcome, *attempts),
                Happened::MissedEvent(provider) => {
                    self.missed_events.with_label_values(&[provider.as_str()]).inc();
                }
                of_money => self.money.count(of_money),
            }
        }
    }

    fn job_ended(&self, kind: &str, lane: &str, outcome: &str, attempts: i32) {
        let kind = bounded(kind);
        self.jobs.with_label_values(&[kind, lane, outcome]).inc();
        if matches!(outcome, "done" | "dead") {
            self.job_attempts.with_label_values(&[kind]).observe(f64::from(attempts));
        }
        if let Some(provider) = event_of(kind)
            && matches!(outcome, "retried" | "dead")
        {
            self.webhook_errors.with_label_values(&[provider.as_str()]).inc();
        }
    }

    /// Nothing was recorded: another worker has the job.
    pub(crate) fn lease_lost(&self, lease: &Lease) {
        self.jobs.with_label_values(&[bounded(&lease.kind), &lease.lane, "lost"]).inc();
    }

    pub(crate) fn job_ran(&self, lease: &Lease, elapsed: Duration) {
        let kind = bounded(&lease.kind);
        self.job_duration.with_label_values(&[kind]).observe(elapsed.as_secs_f64());
        if let Some(provider) = event_of(kind) {
            self.webhook_duration.with_label_values(&[provider.as_str()]).observe(elapsed.as_secs_f64());
        }
    }

    pub(crate) fn relay_rang(&self, lane: Lane, rung: &[Rung]) {
        let again = rung.iter().filter(|rung| rung.again).count();
        for (reason, jobs) in [("again", again), ("due", rung.len().saturating_sub(again))] {
            let jobs = u64::try_from(jobs).unwrap_or(u64::MAX);
            self.relay_rings.with_label_values(&[lane.as_str(), reason]).inc_by(jobs);
        }
    }

    pub(crate) fn lane_restarts(&self, lane: Lane) {
        self.lane_restarts.with_label_values(&[lane.as_str()]).inc();
    }

    pub fn swish_certificate(&self, not_after: DateTime<Utc>) {
        self.swish_certificate_expiry.set(not_after.timestamp());
    }

    /// # Errors
    /// The encoder's own.
    pub fn text(&self, db: &sea_orm::DatabaseConnection) -> prometheus::Result<String> {
        self.pool.look(db);
        self.registry.text()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A newer release's kinds are one.
fn bounded(kind: &str) -> &'static str {
    JobKind::parse(kind).map_or("other", JobKind::as_str)
}

/// Whose events a kind of job applies.
fn event_of(kind: &str) -> Option<ProviderName> {
    ProviderName::ALL.iter().copied().find(|provider| JobKind::for_event_of(*provider).as_str() == kind)
}

#[handler]
fn metrics(Data(context): Data<&Arc<Context>>) -> Response {
    match context.metrics.text(&context.db) {
        Ok(text) => Response::builder().content_type(prometheus::TEXT_FORMAT).body(text),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into(),
    }
}

/// The process answers: that is all that it promises. What depends on others mends itself.
#[handler]
fn health() -> Response {
    Response::builder().content_type("application/json").body(r#"{"status":"ok"}"#)
}

/// Serves `/metrics` and `/health` for ever.
pub async fn serve(listener: TcpListener<std::net::SocketAddr>, context: Arc<Context>) {
    let app = Route::new().at("/metrics", get(metrics)).at("/health", get(health)).data(context);
    if let Err(error) = Server::new(listener).run(app).await {
        tracing::error!(%error, "the metrics cannot be served");
    }
}
