//! What the handlers are given.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use ipnet::IpNet;
use sea_orm::DatabaseConnection;
use secrecy::{ExposeSecret as _, SecretString};
use shared::queue::doorbell::Doorbell;
use shared::queue::ringer::Ringer;
use shared::queue::{Names, subscription};
use shared::store;
use shared::store::new_payments::{self, NewPayment};
use shared::store::provider_events::{self, NewEvent, Received};
use tokio::task::{JoinHandle, JoinSet};

use crate::auth::Verifier;
use crate::config::{Config, RateLimits};
use crate::customers::ids::CustomerIds;
use crate::grouped::Grouped;
use crate::health::Noticed;
use crate::metrics::Metrics;
use crate::rate_limit::RateLimiter;
use crate::waiting::Waiting;

pub struct State {
    pub db: DatabaseConnection,
    pub redis_url: String,
    pub ringer: Ringer,
    /// Events that are genuine; whether each was new.
    pub inbox: Grouped<NewEvent, bool>,
    /// Payments that can be accepted; whether each was, or its key was taken.
    pub new_payments: Grouped<NewPayment, bool>,
    pub(crate) customer_ids: CustomerIds,
    pub verifier: Verifier,
    pub waiting: Waiting,
    /// Whether the process is about to stop.
    pub draining: AtomicBool,
    pub(crate) noticed: Noticed,
    pub rate_limiter: RateLimiter,
    pub trusted_proxies: Vec<IpNet>,
    pub cors_origins: Vec<String>,
    pub metrics: Arc<Metrics>,
    pub stripe_webhook_secrets: Vec<SecretString>,
    pub swish_callback_secrets: Vec<SecretString>,
    pub swish_callback_addresses: Vec<IpNet>,
    pub body_bytes_max: usize,
    pub webhook_body_bytes_max: usize,
}

/// The state and what runs behind it.
pub struct Started {
    pub state: Arc<State>,
    background: JoinSet<()>,
    ringing: JoinHandle<()>,
}

impl Started {
    /// Rings what is still to be rung. The state's last handle must be gone, or this waits for it.
    pub async fn finish(mut self) {
        self.background.shutdown().await;
        drop(self.state);
        if tokio::time::timeout(std::time::Duration::from_secs(3), self.ringing).await.is_err() {
            tracing::debug!("some rings were left to the relay");
        }
    }
}

/// # Errors
/// A configuration that cannot work.
pub async fn start(config: &Config) -> anyhow::Result<Started> {
    let redis_url = config.common.redis_url.expose_secret().to_owned();
    let names = Names::new(&config.common.queue_prefix);
    let db = store::connect(
        config.common.database_url.expose_secret(),
        "payment-api",
        config.common.database_connections_max,
    )
    .await
    .context("DATABASE_URL")?;
    let (ringer, ringing) = Ringer::start(db.clone(), Doorbell::new(&redis_url, names.clone()));
    let metrics = Arc::new(Metrics::new());
    let mut background = JoinSet::new();
    let state = Arc::new(State {
        inbox: inbox(&mut background, &db, &ringer, &metrics),
        new_payments: new_payments(&mut background, &db, &ringer, &metrics),
        customer_ids: CustomerIds::default(),
        db,
        redis_url: redis_url.clone(),
        ringer,
        verifier: Verifier::new(&config.auth).context("the keys for tokens")?,
        waiting: Waiting::default(),
        draining: AtomicBool::new(false),
        noticed: Noticed::default(),
        rate_limiter: RateLimiter::new(config.rate_limits.clone(), &redis_url, &config.common.queue_prefix),
        trusted_proxies: config.trusted_proxies.clone(),
        cors_origins: config.cors_origins.clone(),
        metrics,
        stripe_webhook_secrets: config.stripe_webhook_secrets.clone(),
        swish_callback_secrets: config.swish_callback_secrets.clone(),
        swish_callback_addresses: config.swish_callback_addresses.clone(),
        body_bytes_max: config.body_bytes_max,
        webhook_body_bytes_max: config.webhook_body_bytes_max,
    });
    let listening = state.clone();
    background.spawn(async move {
        let on_news = {
            let state = listening.clone();
            move |message: Option<String>| state.waiting.on_news(message.as_deref())
        };
        subscription::listen(&listening.redis_url, &names.changed_channel(), on_news).await;
    });
    let refreshing = state.clone();
    background.spawn(async move { refreshing.verifier.refresh_for_ever().await });
    Ok(Started { state, background, ringing })
}

/// What stores events that come at the same time, and rings.
fn inbox(
    background: &mut JoinSet<()>,
    db: &DatabaseConnection,
    ringer: &Ringer,
    metrics: &Arc<Metrics>,
) -> Grouped<NewEvent, bool> {
    let given = (db.clone(), ringer.clone(), metrics.clone());
    Grouped::start(background, move |events: Arc<[NewEvent]>| {
        let (db, ringer, metrics) = given.clone();
        async move {
            let received = provider_events::receive(&db, &events, |lane| ringer.has_room(lane)).await?;
            metrics.stored_together("events", events.len());
            let jobs = received.iter().filter_map(|one| if let Received::New(job) = one { Some(*job) } else { None });
            jobs.for_each(|job| ringer.ring(job));
            Ok(received.iter().map(|one| *one != Received::Duplicate).collect())
        }
    })
}

/// What stores payments that come at the same time, and rings.
fn new_payments(
    background: &mut JoinSet<()>,
    db: &DatabaseConnection,
    ringer: &Ringer,
    metrics: &Arc<Metrics>,
) -> Grouped<NewPayment, bool> {
    let given = (db.clone(), ringer.clone(), metrics.clone());
    Grouped::start(background, move |new: Arc<[NewPayment]>| {
        let (db, ringer, metrics) = given.clone();
        async move {
            let jobs = new_payments::accept(&db, &new, |lane| ringer.has_room(lane)).await?;
            metrics.stored_together("payments", new.len());
            Ok(jobs.into_iter().map(|job| job.map(|job| ringer.ring(job)).is_some()).collect())
        }
    })
}

impl State {
    /// A state that is connected to nothing, for the document that the operations are described in.
    #[must_use]
    pub fn for_document() -> Arc<Self> {
        Arc::new(Self {
            db: DatabaseConnection::default(),
            redis_url: String::new(),
            ringer: Ringer::deaf(),
            inbox: Grouped::closed(),
            new_payments: Grouped::closed(),
            customer_ids: CustomerIds::default(),
            verifier: Verifier::none(),
            waiting: Waiting::default(),
            draining: AtomicBool::new(false),
            noticed: Noticed::default(),
            rate_limiter: RateLimiter::new(RateLimits::default(), "", ""),
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            metrics: Arc::new(Metrics::new()),
            stripe_webhook_secrets: Vec::new(),
            swish_callback_secrets: Vec::new(),
            swish_callback_addresses: Vec::new(),
            body_bytes_max: 0,
            webhook_body_bytes_max: 0,
        })
    }
}
