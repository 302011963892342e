//! Measurements. The Makefile has a target for each: they need the servers of the tests.

mod load;
mod outage;
mod roll;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clap::Parser;
use rand::RngExt as _;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use shared::domain::payment::ProviderName;
use shared::domain::provider_event::EventLabel;
use shared::queue::Names;
use shared::queue::doorbell::Doorbell;
use shared::queue::ringer::Ringer;
use shared::store::provider_events::{self, NewEvent, Received};
use testing::TestApp;
use testing::processes::WorkerProcess;

#[derive(Parser)]
enum Bench {
    /// How long after a commit an idle worker begins: the distribution.
    Pickup {
        #[arg(long, default_value_t = 1_000)]
        jobs: usize,
    },
    /// Drains jobs that were accepted while no worker ran; fails if they do not all get done, or if there is a pause.
    Backlog {
        #[arg(long, default_value_t = 100_000)]
        jobs: usize,
        #[arg(long, default_value_t = 2)]
        workers: usize,
    },
    /// Takes Redis away while payments arrive; fails if one is refused or does not come to its end.
    Outage {
        #[arg(long, default_value_t = 200)]
        per_second: u32,
    },
    /// Replaces APIs behind a balancer, and workers, while payments arrive; fails if a request does, or a payment is lost.
    Roll {
        /// The program of HAProxy.
        #[arg(long, env)]
        haproxy: PathBuf,
        #[arg(long, default_value_t = 200)]
        per_second: u32,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Bench::parse() {
        Bench::Pickup { jobs } => pickup(jobs).await,
        Bench::Backlog { jobs, workers } => backlog(jobs, workers).await,
        Bench::Outage { per_second } => outage::run(per_second).await,
        Bench::Roll { haproxy, per_second } => roll::run(&haproxy, per_second).await,
    }
}

/// The jobs are events that nobody uses: what a worker writes of them carries the time of its first transaction.
async fn pickup(jobs: usize) -> anyhow::Result<()> {
    let app = TestApp::start().await;
    let _worker = WorkerProcess::start(&app);
    let (ringer, _ringing) =
        Ringer::start(app.db.clone(), Doorbell::new(&app.redis_url, Names::new(&app.queue_prefix)));
    let mut committed: Vec<(String, DateTime<Utc>)> = Vec::with_capacity(jobs);
    // A few first, that the worker is there.
    for n in 0..jobs + 50 {
        let id = format!("evt_{n}");
        let body = br#"{"object":"event","type":"bench"}"#;
        let label = EventLabel { provider_event_id: id.clone(), event_type: None, api_version: None, used: true };
        let event = NewEvent::received(ProviderName::Stripe, label, body.to_vec());
        let received = provider_events::receive(&app.db, &[event], |_| true).await?.pop();
        let now = Utc::now();
        let Some(Received::New(job)) = received else { anyhow::bail!("{received:?}") };
        ringer.ring(job);
        if n >= 50 {
            committed.push((id, now));
        }
        let pause = rand::rng().random_range(10..30);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    testing::wait_until("all are done", async || {
        (app.count("SELECT count(*) FROM jobs WHERE state <> 'done'").await == 0).then_some(())
    })
    .await;
    let text = "SELECT provider_event_id, processed_at FROM provider_events";
    let rows = app.db.query_all_raw(Statement::from_string(DbBackend::Postgres, text)).await?;
    let mut began = std::collections::HashMap::new();
    for row in rows {
        began
            .insert(row.try_get::<String>("", "provider_event_id")?, row.try_get::<DateTime<Utc>>("", "processed_at")?);
    }
    let mut micros: Vec<i64> =
        committed.iter().filter_map(|(id, commit)| (*began.get(id)? - *commit).num_microseconds()).collect();
    micros.sort_unstable();
    anyhow::ensure!(micros.len() == jobs, "{} of {jobs} have begun", micros.len());
    println!("commit to start of the job, idle, {jobs} jobs, milliseconds:");
    for (name, per_mille) in [("min", 0), ("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999), ("max", 1_000)] {
        let index = (micros.len() - 1) * per_mille / 1_000;
        let value = micros[index];
        println!("  {name:<6}{:>4}.{:03}", value / 1_000, value.rem_euclid(1_000));
    }
    Ok(())
}

async fn backlog(jobs: usize, workers: usize) -> anyhow::Result<()> {
    let app = TestApp::start().await;
    app.execute(&format!(
        "WITH event AS (
            INSERT INTO provider_events (id, provider, provider_event_id, body)
            SELECT gen_random_uuid(), 'stripe', 'evt_' || n, '{{\"object\":\"event\",\"type\":\"bench\"}}'
            FROM generate_series(1, {jobs}) n RETURNING id)
         INSERT INTO jobs (id, lane, kind, subject_id, max_attempts)
         SELECT gen_random_uuid(), 'stripe_webhooks', 'apply_stripe_event', id, 30 FROM event"
    ))
    .await;
    app.execute("ANALYZE jobs").await;
    println!("{jobs} jobs wait; {workers} worker(s) start");
    let _workers: Vec<_> = (0..workers).map(|_| WorkerProcess::start(&app)).collect();
    let began = Instant::now();
    let (mut last, mut progress, mut pause_max) = (0, Instant::now(), Duration::ZERO);
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let done = app.count("SELECT count(*) FROM jobs WHERE state = 'done'").await;
        if done > last {
            pause_max = pause_max.max(if last == 0 { Duration::ZERO } else { progress.elapsed() });
            (last, progress) = (done, Instant::now());
        }
        if began.elapsed().as_millis() % 5_000 < 250 {
            println!("{:>6.1} s  {done} done", began.elapsed().as_secs_f64());
        }
        if usize::try_from(done)? == jobs {
            break;
        }
        anyhow::ensure!(
            progress.elapsed() < Duration::from_secs(20),
            "nothing was done for 20 s; {done} of {jobs} are"
        );
    }
    let seconds = began.elapsed().as_secs_f64();
    let rate = u32::try_from(jobs).map(f64::from)? / seconds;
    println!("all done after {seconds:.1} s: {rate:.0} jobs/s; the longest pause was {:.1} s", pause_max.as_secs_f64());
    anyhow::ensure!(pause_max < Duration::from_secs(3), "that is a pause");
    Ok(())
}
