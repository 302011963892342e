//! What api and worker count alike. All names and labels are listed in `grafana/metrics.txt`; a test compares.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, TextEncoder};
use sea_orm::DatabaseConnection;

use crate::domain::dispute::DisputeStatus;
use crate::domain::payment::{PaymentStatus, ProviderName};
use crate::domain::refund::RefundStatus;
use crate::domain::subscription::SubscriptionStatus;
use crate::tally::Happened;

const NAMESPACE: &str = "payment_service";
/// For answers, jobs and calls, in seconds.
pub const DURATIONS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Until a payment has ended: from a card that is taken at once to a bank that takes a week.
const SETTLING: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];
/// In minor units.
const AMOUNTS: &[f64] = &[100.0, 500.0, 1e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 5e5, 1e6, 1e7];

/// The metrics of a process. The methods that make one panic where its name is taken: names are constants.
#[derive(Debug, Clone)]
pub struct Registry {
    inner: prometheus::Registry,
    described: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    /// With what is known of every process.
    #[must_use]
    pub fn new(program: &str) -> Self {
        let this = Self { inner: prometheus::Registry::new(), described: Arc::default() };
        #[cfg(target_os = "linux")]
        this.register_process();
        let build = this.gauges("build_info", "What runs here.", &["program", "version", "revision"]);
        let revision = option_env!("SOURCE_REVISION").unwrap_or("unknown");
        build.with_label_values(&[program, env!("CARGO_PKG_VERSION"), revision]).set(1);
        this
    }

    #[must_use]
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.describe(name, "counter", labels);
        self.register(&IntCounterVec::new(opts(name, help), labels).expect("a valid name"))
    }

    #[must_use]
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.describe(name, "gauge", labels);
        self.register(&IntGaugeVec::new(opts(name, help), labels).expect("a valid name"))
    }

    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.describe(name, "gauge", &[]);
        self.register(&IntGauge::with_opts(opts(name, help)).expect("a valid name"))
    }

    #[must_use]
    pub fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.describe(name, "histogram", labels);
        let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
        self.register(&HistogramVec::new(opts, labels).expect("a valid name"))
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: &C) -> C {
        self.inner.register(Box::new(collector.clone())).expect("registered once");
        collector.clone()
    }

    #[cfg(target_os = "linux")]
    fn register_process(&self) {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        for described in process.desc() {
            let name = &described.fq_name;
            self.note(format!("{name} {}", if name.ends_with("_total") { "counter" } else { "gauge" }));
        }
        self.inner.register(Box::new(process)).expect("registered once");
    }

    fn describe(&self, name: &str, kind: &str, labels: &[&str]) {
        self.note(format!("{NAMESPACE}_{name} {kind} {}", labels.join(",")).trim_end().to_owned());
    }

    fn note(&self, line: String) {
        self.described.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// The name, type and labels of each, a line each.
    #[must_use]
    pub fn described(&self) -> Vec<String> {
        self.described.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of them, in the Prometheus text format.
    ///
    /// # Errors
    /// The encoder's own.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.inner.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

/// What happens to money.
#[derive(Debug, Clone)]
pub struct MoneyMetrics {
    payments: IntCounterVec,
    payment_amount: HistogramVec,
    payment_settled: HistogramVec,
    refunds: IntCounterVec,
    refund_amount: HistogramVec,
    disputes: IntCounterVec,
    subscriptions: IntCounterVec,
}

impl MoneyMetrics {
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let this = Self {
            payments: registry.counters(
                "payments_total",
                "Payments that came to this status.",
                &["provider", "status"],
            ),
            payment_amount: registry.histograms(
                "payment_amount",
                "Minor units of payments that succeeded.",
                &["provider", "currency"],
                AMOUNTS,
            ),
            payment_settled: registry.histograms(
                "payment_settled_seconds",
                "From a payment being accepted to it being succeeded, failed or canceled for the first time.",
                &["provider"],
                SETTLING,
            ),
            refunds: registry.counters("refunds_total", "Refunds that came to this status.", &["provider", "status"]),
            refund_amount: registry.histograms(
                "refund_amount",
                "Minor units of refunds that succeeded.",
                &["provider", "currency"],
                AMOUNTS,
            ),
            disputes: registry.counters("disputes_total", "Disputes that came to this status.", &["status"]),
            subscriptions: registry.counters(
                "subscriptions_total",
                "Subscriptions that came to this status.",
                &["status"],
            ),
        };
        this.begin();
        this
    }

    /// What has not happened yet is 0, so that the first time is seen as an increase.
    fn begin(&self) {
        for provider in ProviderName::ALL {
            for status in PaymentStatus::ALL {
                let _ = self.payments.with_label_values(&[provider.as_str(), status.as_str()]);
            }
            for status in RefundStatus::ALL {
                let _ = self.refunds.with_label_values(&[provider.as_str(), status.as_str()]);
            }
            let _ = self.payment_settled.with_label_values(&[provider.as_str()]);
        }
        for status in DisputeStatus::ALL {
            let _ = self.disputes.with_label_values(&[status.as_str()]);
        }
        for status in SubscriptionStatus::ALL {
            let _ = self.subscriptions.with_label_values(&[status.as_str()]);
        }
    }

    /// Counts what was committed. What is not of money is not counted here.
    pub fn count(&self, happened: &Happened) {
        match happened {
            Happened::Payment { provider, status, money, settled_after } => {
                self.payments.with_label_values(&[provider.as_str(), status.as_str()]).inc();
                if *status == PaymentStatus::Succeeded {
                    observe_amount(&self.payment_amount, *provider, money);
                }
                if let Some(after) = settled_after {
                    self.payment_settled.with_label_values(&[provider.as_str()]).observe(after.as_secs_f64());
                }
            }
            Happened::Refund { provider, status, money } => {
                self.refunds.with_label_values(&[provider.as_str(), status.as_str()]).inc();
                if *status == RefundStatus::Succeeded {
                    observe_amount(&self.refund_amount, *provider, money);
                }
            }
            Happened::Dispute(status) => self.disputes.with_label_values(&[status.as_str()]).inc(),
            Happened::Subscription(status) => self.subscriptions.with_label_values(&[status.as_str()]).inc(),
            Happened::Job { .. } | Happened::MissedEvent(_) => {}
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a picture of amounts, not a ledger")]
fn observe_amount(amounts: &HistogramVec, provider: ProviderName, money: &crate::domain::money::Money) {
    let currency = money.currency.code();
    amounts.with_label_values(&[provider.as_str(), currency.as_str()]).observe(money.minor as f64);
}

/// The calls to providers.
#[derive(Debug, Clone)]
pub struct ProviderMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    breaker_open: IntGaugeVec,
}

impl ProviderMetrics {
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            requests: registry.counters(
                "provider_requests_total",
                "Requests to providers, by what is known of them after.",
                &["provider", "operation", "result"],
            ),
            durations: registry.histograms(
                "provider_request_duration_seconds",
                "How long providers took to answer, or not to.",
                &["provider", "operation"],
                DURATIONS,
            ),
            breaker_open: registry.gauges(
                "provider_breaker_open",
                "1 while nothing is sent to a provider that did not answer.",
                &["provider", "class"],
            ),
        }
    }

    /// `operation`: a template, never a path with ids. `result`: answered, declined, rejected, not_sent or unknown.
    pub fn request(&self, provider: ProviderName, operation: &str, result: &str, elapsed: Duration) {
        self.requests.with_label_values(&[provider.as_str(), operation, result]).inc();
        self.durations.with_label_values(&[provider.as_str(), operation]).observe(elapsed.as_secs_f64());
    }

    /// `class`: read or write.
    pub fn breaker(&self, provider: ProviderName, class: &str, open: bool) {
        self.breaker_open.with_label_values(&[provider.as_str(), class]).set(i64::from(open));
    }
}

/// The connections to Postgres.
#[derive(Debug, Clone)]
pub struct PoolMetrics {
    connections: IntGaugeVec,
    max: IntGauge,
}

impl PoolMetrics {
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            connections: registry.gauges("database_connections", "Connections to Postgres.", &["state"]),
            max: registry.gauge("database_connections_max", "The most connections to Postgres that may be open."),
        }
    }

    /// Looks at the pool as it is now.
    pub fn look(&self, db: &DatabaseConnection) {
        let pool = db.get_postgres_connection_pool();
        let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
        self.connections.with_label_values(&["idle"]).set(idle);
        self.connections.with_label_values(&["in_use"]).set(i64::from(pool.size()).saturating_sub(idle));
        self.max.set(i64::from(pool.options().get_max_connections()));
    }
}
