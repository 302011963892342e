//! The worker: takes the ids that Redis carries, leases the jobs in Postgres, calls the providers, records what came.
//!
//! - [`registry`]: the list of jobs.
//! - [`jobs`]: one file a job, each in three phases.
//! - [`runner`]: what all jobs share: the lease, the phases, the end.
//! - [`creation`], [`change`]: what those jobs share that create something at a provider, or change it.
//! - [`swish`]: what the jobs share that talk to Swish.
//! - [`lane`]: apalis, one supervised loop a lane.
//! - [`doctor`]: what is wrong with a set-up.
//! - [`loops`]: what runs beside the jobs: relay, lease renewal, the sweep of Redis.

pub mod change;
pub mod config;
pub mod context;
pub mod creation;
pub mod doctor;
pub mod jobs;
pub mod lane;
pub mod loops;
pub mod metrics;
pub mod registry;
pub mod runner;
pub mod swish;
mod ticker;

use std::sync::Arc;

use anyhow::Context as _;
use chrono::Utc;
use poem::listener::TcpListener;
use secrecy::ExposeSecret as _;
use shared::providers::stripe::Stripe;
use shared::providers::swish::Swish;
use shared::queue::Names;
use shared::queue::doorbell::Doorbell;
use shared::queue::ringer::Ringer;
use shared::store;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::context::Context;
use crate::metrics::Metrics;

/// Runs until `stop` resolves, then takes no more jobs, finishes those at work and returns.
///
/// # Errors
/// A configuration that cannot work. Postgres and Redis may be away: they are waited for.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    config.check()?;
    let redis_url = config.common.redis_url.expose_secret().to_owned();
    let names = Names::new(&config.common.queue_prefix);
    let db = store::connect(
        config.common.database_url.expose_secret(),
        "payment-worker",
        config.common.database_connections_max,
    )
    .await
    .context("DATABASE_URL")?;
    let (timeout, failures) = (config.stripe_timeout(), config.provider_breaker_failures);
    let metrics = Metrics::new();
    let stripe_key = config.stripe_api_key.clone();
    let stripe = Stripe::new(&config.stripe_base_url, stripe_key, timeout, failures, metrics.providers.clone())
        .context("the HTTP client")?;
    let swish = config.swish.settings(failures);
    let swish = swish.map(|settings| Swish::new(settings, metrics.providers.clone(), Utc::now())).transpose()?;
    let (ringer, ringing) = Ringer::start(db.clone(), Doorbell::new(&redis_url, names.clone()));
    let context = Arc::new(Context::new(db.clone(), stripe, swish, ringer, metrics));
    tracing::info!(worker = %context.worker, lanes = ?config.lanes, concurrency = config.concurrency, "started");

    let (stopping, stopped) = watch::channel(false);
    let mut lanes = JoinSet::new();
    let mut background = JoinSet::new();
    for &lane in &config.lanes {
        lanes.spawn(lane::run(lane::Lane {
            context: context.clone(),
            redis_url: redis_url.clone(),
            names: names.clone(),
            lane,
            concurrency: config.concurrency,
            stopped: stopped.clone(),
        }));
        background.spawn(loops::relay::run(context.clone(), Doorbell::new(&redis_url, names.clone()), lane));
        background.spawn(loops::sweep_redis::run(redis_url.clone(), names.clone(), lane));
    }
    background.spawn(loops::renew_leases::run(context.clone()));
    background.spawn(loops::reap::run(db.clone()));
    background.spawn(loops::renew_swish_certificate::run(context.clone()));
    if config.stripe_event_sweep {
        background.spawn(loops::keep_sweeping::run(db.clone()));
    }
    if let Some(address) = config.listen {
        background.spawn(metrics::serve(TcpListener::bind(address), context.clone()));
    }

    stop.await;
    tracing::info!("stopping: no more jobs are taken");
    let _ = stopping.send(true);
    // The leases of the jobs at work are renewed until the last one has ended.
    while lanes.join_next().await.is_some() {}
    background.shutdown().await;
    drop(context);
    if tokio::time::timeout(std::time::Duration::from_secs(3), ringing).await.is_err() {
        tracing::warn!("some news was not passed on; whoever waits for it finds out by itself");
    }
    tracing::info!("stopped");
    Ok(())
}
