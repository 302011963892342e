//! What an API process counts, and what it reads in Postgres for all of them when it is asked.

use std::time::{Duration, Instant};

use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};
use sea_orm::{DatabaseConnection, DbErr};
use shared::domain::payment::ProviderName;
use shared::metrics::{DURATIONS, MoneyMetrics, PoolMetrics, Registry};
use shared::providers::stripe::EVENT_TYPES;
use shared::store::{dead_letters, subscriptions, unknown_outcomes};
use shared::tally;
use tokio::sync::Mutex;

pub struct Metrics {
    pub registry: Registry,
    money: MoneyMetrics,
    pool: PoolMetrics,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    webhooks: IntCounterVec,
    webhook_version_mismatches: IntCounterVec,
    stored_together: HistogramVec,
    rate_limiter: IntCounterVec,
    waiting: IntGauge,
    redis_up: IntGauge,
    remembered: Remembered,
}

impl Metrics {
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new("payment-api");
        let this = Self {
            money: MoneyMetrics::new(&registry),
            pool: PoolMetrics::new(&registry),
            requests: registry.counters("http_requests_total", "Requests answered.", &["method", "path", "status"]),
            request_duration: registry.histograms(
                "http_request_duration_seconds",
                "How long requests took to answer.",
                &["method", "path"],
                DURATIONS,
            ),
            webhooks: registry.counters(
                "webhooks_received_total",
                "Webhooks by what became of them at the door: stored, duplicate, refused or failed.",
                &["provider", "event_type", "result"],
            ),
            webhook_version_mismatches: registry.counters(
                "webhook_api_version_mismatches_total",
                "Webhooks that were written in another API version than ours.",
                &["provider"],
            ),
            stored_together: registry.histograms(
                "stored_together",
                "How many payments, or events, shared one statement and its commit.",
                &["what"],
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0],
            ),
            rate_limiter: registry.counters(
                "rate_limiter_verdicts_total",
                "Requests that were allowed, refused as too many, or let through because Redis was away.",
                &["verdict"],
            ),
            waiting: registry
                .gauge("waiting_requests", "Requests and streams of events that wait for something to move."),
            redis_up: registry.gauge("redis_up", "Whether Redis answered when the metrics were asked for."),
            remembered: Remembered::new(&registry),
            registry,
        };
        for what in ["payments", "events"] {
            let _ = this.stored_together.with_label_values(&[what]);
        }
        for verdict in ["allowed", "refused", "unavailable"] {
            let _ = this.rate_limiter.with_label_values(&[verdict]);
        }
        for provider in ProviderName::ALL {
            for result in ["refused", "failed"] {
                let _ = this.webhooks.with_label_values(&[provider.as_str(), "other", result]);
            }
        }
        let _ = this.webhook_version_mismatches.with_label_values(&[ProviderName::Stripe.as_str()]);
        this
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

    /// `result`: stored, duplicate, refused or failed. A type that we do not know is `other`.
    pub fn webhook(&self, provider: ProviderName, event_type: Option<&str>, result: &str) {
        let event_type = match provider {
            ProviderName::Stripe => event_type.filter(|name| EVENT_TYPES.contains(name)),
            // Its labels are our own words.
            ProviderName::Swish => event_type,
        };
        self.webhooks.with_label_values(&[provider.as_str(), event_type.unwrap_or("other"), result]).inc();
    }

    /// The endpoint at the provider has another version than our calls.
    pub fn webhook_version_mismatch(&self, provider: ProviderName) {
        self.webhook_version_mismatches.with_label_values(&[provider.as_str()]).inc();
    }

    /// `what`: payments or events.
    pub(crate) fn stored_together(&self, what: &str, number: usize) {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.stored_together.with_label_values(&[what]).observe(f64::from(number));
    }

    /// `verdict`: allowed, refused or unavailable.
    pub fn rate_limiter(&self, verdict: &str) {
        self.rate_limiter.with_label_values(&[verdict]).inc();
    }

    /// Counts what was noted until the commit that has just succeeded.
    pub(crate) fn committed(&self) {
        for happened in tally::take() {
            self.money.count(&happened);
        }
    }

    /// `redis_up`: whether Redis answers. `waiting`: how many requests wait now.
    ///
    /// # Errors
    /// The encoder's own.
    pub async fn text(&self, db: &DatabaseConnection, redis_up: bool, waiting: usize) -> prometheus::Result<String> {
        self.redis_up.set(i64::from(redis_up));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.pool.look(db);
        self.remembered.look(db).await;
        self.registry.text()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// How old what was read may be: many may ask.
const FRESH: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What Postgres remembers and no process counts. It is there when no worker is, so that workers can be scaled from none.
struct Remembered {
    jobs: IntGaugeVec,
    oldest_job_age: IntGaugeVec,
    lane_paused: IntGaugeVec,
    outcome_unknown: IntGaugeVec,
    outcome_unknown_oldest_age: IntGaugeVec,
    subscriptions_active: IntGaugeVec,
    database_up: IntGauge,
    read_at: Mutex<Option<Instant>>,
}

impl Remembered {
    fn new(registry: &Registry) -> Self {
        Self {
            jobs: registry.gauges("jobs", "Jobs that are ready, running, scheduled or dead.", &["lane", "state"]),
            oldest_job_age: registry.gauges(
                "oldest_job_age_seconds",
                "How long the oldest ready job has been due.",
                &["lane"],
            ),
            lane_paused: registry.gauges("lane_paused", "1 while an administrator has paused the lane.", &["lane"]),
            outcome_unknown: registry.gauges(
                "outcome_unknown",
                "Payments, refunds and subscriptions of which nobody knows what became of them.",
                &["provider"],
            ),
            outcome_unknown_oldest_age: registry.gauges(
                "outcome_unknown_oldest_age_seconds",
                "How long nobody has known it of the oldest one.",
                &["provider"],
            ),
            // Without labels, and absent while it is not known.
            subscriptions_active: registry.gauges(
                "subscriptions_active",
                "Subscriptions that are active, in trial or past due.",
                &[],
            ),
            database_up: registry.gauge("database_up", "Whether Postgres answered when the metrics were asked for."),
            read_at: Mutex::new(None),
        }
    }

    /// Reads it, if what was read is old. What cannot be read is not told: the last known would be taken for the truth.
    async fn look(&self, db: &DatabaseConnection) {
        let mut read_at = self.read_at.lock().await;
        if read_at.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        let read = tokio::time::timeout(ANSWER_MAX, self.read(db)).await;
        let up = matches!(read, Ok(Ok(())));
        self.database_up.set(i64::from(up));
        *read_at = up.then(Instant::now);
        if !up {
            for gauges in [
                &self.jobs,
                &self.oldest_job_age,
                &self.lane_paused,
                &self.outcome_unknown,
                &self.outcome_unknown_oldest_age,
                &self.subscriptions_active,
            ] {
                gauges.reset();
            }
        }
    }

    async fn read(&self, db: &DatabaseConnection) -> Result<(), DbErr> {
        for queue in dead_letters::queues(db).await? {
            let lane = queue.lane.as_str();
            let states = [
                ("ready", queue.ready),
                ("running", queue.running),
                ("scheduled", queue.scheduled),
                ("dead", queue.dead),
            ];
            for (state, jobs) in states {
                self.jobs.with_label_values(&[lane, state]).set(jobs);
            }
            self.oldest_job_age.with_label_values(&[lane]).set(queue.oldest_ready_seconds);
            self.lane_paused.with_label_values(&[lane]).set(i64::from(queue.paused.is_some()));
        }
        let unknown = unknown_outcomes::count(db).await?;
        for provider in ProviderName::ALL {
            let (number, oldest) = unknown.get(provider).copied().unwrap_or_default();
            self.outcome_unknown.with_label_values(&[provider.as_str()]).set(number);
            self.outcome_unknown_oldest_age.with_label_values(&[provider.as_str()]).set(oldest);
        }
        self.subscriptions_active.with_label_values::<&str>(&[]).set(subscriptions::count_active(db).await?);
        Ok(())
    }
}
