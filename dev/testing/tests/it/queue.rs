//! Redis may burn, workers may die: every job is done all the same, once.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::{Method, StatusCode};
use serde_json::json;
use shared::domain::ids::JobId;
use shared::domain::job::{JobKind, Lane};
use shared::domain::payment::ProviderName;
use shared::queue::Names;
use shared::queue::doorbell::{Doorbell, WINDOW};
use shared::queue::ringer::Ringer;
use shared::store::jobs::{self, Ended, Ending};
use testing::processes::{ApiProcess, RedisProcess, WorkerProcess};
use testing::settings::Settings;
use testing::{TestApp, wait_until};

async fn redis(app: &TestApp) -> redis::aio::ConnectionManager {
    shared::queue::connect(&app.redis_url).await.expect("Redis")
}

/// How many ids of payments' jobs wait in Redis.
pub(crate) async fn waiting_in_redis(app: &TestApp) -> usize {
    let names = Names::new(&app.queue_prefix);
    WINDOW - Doorbell::new(&app.redis_url, names).room(Lane::StripePayments).await.expect("Redis")
}

/// Forgets everything in Redis that is this test's, as a FLUSHALL would (other tests use the same server).
async fn flush(app: &TestApp) -> usize {
    let mut connection = redis(app).await;
    let keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("{}*", app.queue_prefix)).query_async(&mut connection).await.expect("keys");
    if !keys.is_empty() {
        redis::cmd("DEL").arg(&keys).query_async::<()>(&mut connection).await.expect("deleted");
    }
    keys.len()
}

async fn at_work(app: &TestApp) -> bool {
    app.count("SELECT count(*) FROM jobs WHERE state = 'running'").await > 0
}

#[tokio::test]
async fn a_flushed_redis_loses_nothing_and_needs_no_restart() {
    let app = TestApp::start().await;
    let worker = app.start_worker();
    let before = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.wait_for_status(&before, "succeeded").await;
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(app.create_payment(json!({ "payment_method": "pm_card_visa" })).await);
        if n % 5 == 0 {
            assert!(flush(&app).await > 0, "there was something to lose");
        }
    }
    for id in &ids {
        app.wait_for_status(id, "succeeded").await;
        assert_eq!(app.charges(id), 1);
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_redis_that_dies_and_comes_back_empty_needs_no_restart_of_api_or_worker() {
    let mut redis = RedisProcess::start().await;
    let app = TestApp::start_as(Settings { redis_url: redis.url(), ..Settings::default() }).await;
    let worker = app.start_worker();
    let pay = async || app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    let mut ids = vec![pay().await];
    app.wait_for_status(&ids[0], "succeeded").await;
    redis.kill().await;
    for _ in 0..20 {
        ids.push(pay().await);
    }
    let ready = app.raw(Method::GET, "/health/ready", &[], vec![]).await;
    assert_eq!(ready.json(), json!({ "status": "degraded", "postgres": "ok", "redis": "degraded" }));
    assert_eq!(ready.status, StatusCode::OK, "Redis is no reason to refuse requests");
    redis.start_again().await;
    for id in &ids {
        app.wait_for_status(id, "succeeded").await;
        assert_eq!(app.charges(id), 1);
    }
    worker.stop().await;
}

#[tokio::test]
async fn jobs_accepted_while_no_worker_runs_are_done_when_one_comes() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(app.create_payment(json!({ "payment_method": "pm_card_visa" })).await);
    }
    flush(&app).await;
    app.execute("UPDATE jobs SET rung_until = now()").await;
    let worker = app.start_worker();
    for id in &ids {
        app.wait_for_status(id, "succeeded").await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn more_jobs_than_the_window_wait_in_postgres_and_drain_without_a_pause() {
    let app = TestApp::start().await;
    let rows = WINDOW * 3;
    // Events that nobody uses: jobs that call no provider.
    app.execute(&format!(
        "WITH event AS (
            INSERT INTO provider_events (id, provider, provider_event_id, body)
            SELECT gen_random_uuid(), 'stripe', 'evt_' || n, '{{\"object\":\"event\",\"type\":\"x\"}}'
            FROM generate_series(1, {rows}) n RETURNING id)
         INSERT INTO jobs (id, lane, kind, subject_id, max_attempts)
         SELECT gen_random_uuid(), 'stripe_webhooks', 'apply_stripe_event', id, 30 FROM event"
    ))
    .await;
    let worker = app.start_worker();
    wait_until("the first is done", async || {
        (app.count("SELECT count(*) FROM jobs WHERE state = 'done'").await > 0).then_some(())
    })
    .await;
    let mut connection = redis(&app).await;
    let queue = Names::new(&app.queue_prefix).queue(Lane::StripeWebhooks);
    wait_until("all are done", async || {
        let waiting: usize =
            redis::cmd("LLEN").arg(format!("{queue}:active")).query_async(&mut connection).await.expect("a length");
        assert!(waiting <= WINDOW + 300, "{waiting} in Redis");
        (app.count("SELECT count(*) FROM jobs WHERE state <> 'done'").await == 0).then_some(())
    })
    .await;
    let pause = app
        .count(
            "SELECT (max(gap) * 1000)::bigint FROM (SELECT extract(epoch FROM
             finished_at - lag(finished_at) OVER (ORDER BY finished_at)) AS gap FROM jobs) gaps",
        )
        .await;
    assert!(pause < 5_000, "nothing was done for {pause} ms");
    worker.stop().await;
}

async fn rung(app: &TestApp) -> Vec<JobId> {
    let rung = jobs::ring_due(&app.db, Lane::StripePayments, 10).await.expect("a query");
    rung.into_iter().map(|rung| rung.id).collect()
}

#[tokio::test]
async fn what_the_ringer_cannot_push_it_gives_back_to_the_relay() {
    let app = TestApp::start().await;
    let nowhere = Doorbell::new("redis://127.0.0.1:1", Names::new("nowhere"));
    let (ringer, ringing) = Ringer::start(app.db.clone(), nowhere);
    let job =
        jobs::enqueue(&app.db, JobKind::CreatePayment, ProviderName::Stripe, uuid::Uuid::nil()).await.expect("a job");
    assert_eq!(rung(&app).await, []);
    ringer.ring(job);
    drop(ringer);
    ringing.await.expect("the ringer");
    assert_eq!(rung(&app).await, [job.id]);
    assert_eq!(rung(&app).await, [], "rung is rung");
}

#[tokio::test]
async fn a_lease_is_exclusive_fenced_and_bounded() {
    let app = TestApp::start().await;
    let job =
        jobs::enqueue(&app.db, JobKind::CreatePayment, ProviderName::Stripe, uuid::Uuid::nil()).await.expect("a job");
    let take = async |worker: &str| jobs::lease(&app.db, job.id, worker).await.expect("a query");
    let first = take("first").await.expect("a lease");
    assert!(take("second").await.is_none(), "it is held");
    app.pass_time().await;
    assert_eq!(rung(&app).await, [job.id]);
    let second = take("second").await.expect("the first went silent");
    let end = async |lease, ending| jobs::end(&app.db, lease, &ending, None).await.expect("a query");
    assert_eq!(end(&first, Ending::Done).await, Ended::LeaseLost);
    assert_eq!(jobs::renew(&app.db, &[(job.id, first.attempts)]).await.expect("a query"), 0);
    assert_eq!(jobs::renew(&app.db, &[(job.id, second.attempts)]).await.expect("a query"), 1);
    let snooze = Ending::Snooze { delay: Duration::ZERO, error: None };
    assert_eq!(end(&second, snooze).await, Ended::As("queued"));
    let third = take("third").await.expect("a lease");
    assert_eq!((third.attempts, third.max_attempts), (3, second.max_attempts + 1), "a snooze spends no attempt");
    app.execute("UPDATE jobs SET max_attempts = attempts").await;
    app.pass_time().await;
    assert!(take("fourth").await.is_none(), "its attempts are spent");
    assert_eq!(jobs::bury_exhausted(&app.db).await.expect("a query"), 1);
    assert_eq!(app.text("SELECT state FROM jobs").await, "dead");
}

#[tokio::test]
async fn a_job_that_ends_worker_after_worker_is_put_aside() {
    let app = TestApp::start().await;
    let job =
        jobs::enqueue(&app.db, JobKind::CreatePayment, ProviderName::Stripe, uuid::Uuid::nil()).await.expect("a job");
    let take = async || jobs::lease(&app.db, job.id, "one that dies of it").await.expect("a query");
    for _ in 0..3 {
        take().await.expect("a lease");
        app.pass_time().await;
    }
    // One that ends as it should: what came before was not the job's doing.
    let lease = take().await.expect("a lease");
    let snooze = Ending::Snooze { delay: Duration::ZERO, error: None };
    assert_eq!(jobs::end(&app.db, &lease, &snooze, None).await.expect("a query"), Ended::As("queued"));
    for silent in 0..=jobs::SILENCES_MAX {
        assert_eq!(jobs::bury_exhausted(&app.db).await.expect("a query"), 0, "{silent} were silent");
        take().await.expect("a lease");
        app.pass_time().await;
    }
    assert!(take().await.is_none(), "nobody takes it any more");
    assert!(rung(&app).await.is_empty());
    assert_eq!(jobs::bury_exhausted(&app.db).await.expect("a query"), 1);
    assert_eq!(
        app.text("SELECT concat(state, ': ', last_error) FROM jobs").await,
        "dead: worker after worker went silent at work on it"
    );
    assert!(shared::store::dead_letters::retry(&app.db, job.id).await.expect("a query"));
    take().await.expect("a person has looked");
}

#[tokio::test]
async fn suspects_are_rung_one_at_a_time() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(
            jobs::enqueue(&app.db, JobKind::CreatePayment, ProviderName::Stripe, uuid::Uuid::nil())
                .await
                .expect("a job")
                .id,
        );
    }
    let take = async |id| jobs::lease(&app.db, id, "one that dies").await.expect("a query").expect("a lease");
    let rung = async || rung(&app).await;
    for _ in 0..2 {
        for id in &ids {
            take(*id).await;
        }
        app.pass_time().await;
    }
    // All have seen two workers die; which of them it was is found out.
    let first = rung().await;
    assert_eq!(first.len(), 1);
    assert_eq!(rung().await, [], "nobody has taken it yet");
    let lease = take(first[0]).await;
    assert_eq!(rung().await, [], "it is at work");
    assert_eq!(jobs::end(&app.db, &lease, &Ending::Done, None).await.expect("a query"), Ended::As("done"));
    let second = rung().await;
    assert!(second.len() == 1 && second != first);
    take(second[0]).await;
    app.execute("UPDATE jobs SET leased_until = now() - interval '1 s', rung_until = NULL WHERE state = 'running'")
        .await;
    assert_eq!(rung().await.len(), 1);
    // Those who saw one worker die, or none, wait for nobody.
    let other = jobs::enqueue(&app.db, JobKind::CreatePayment, ProviderName::Stripe, uuid::Uuid::nil())
        .await
        .expect("a job")
        .id;
    take(other).await;
    app.execute(&format!("UPDATE jobs SET leased_until = now() - interval '1 s' WHERE id = '{other}'")).await;
    assert_eq!(rung().await, [other]);
}

#[tokio::test]
async fn a_kind_from_a_newer_release_is_left_for_it() {
    let app = TestApp::start().await;
    jobs::enqueue(&app.db, JobKind::CreatePayment, ProviderName::Stripe, uuid::Uuid::nil())
        .await
        .expect("a job")
        .id
        .to_string();
    app.execute("UPDATE jobs SET kind = 'from_the_future'").await;
    app.run_jobs().await;
    assert_eq!(app.text("SELECT state FROM jobs").await, "queued");
    assert_eq!(app.count("SELECT (max_attempts - attempts)::bigint FROM jobs").await, 30);
}

#[tokio::test]
async fn a_worker_killed_in_the_call_is_replaced_within_fifteen_seconds_and_charges_once() {
    let app = TestApp::start().await;
    let first = WorkerProcess::start(&app);
    app.fault("*", "webhook:lose", 10);
    app.fault("payment_intents.create", "delay_ms:3000", 1);
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    wait_until("the call is under way", async || (app.requests("payment_intents.create") == 1).then_some(())).await;
    let _second = WorkerProcess::start(&app);
    first.signal(Signal::SIGKILL);
    let killed = Instant::now();
    app.wait_for_status(&id, "succeeded").await;
    assert!(killed.elapsed() < Duration::from_secs(15), "{:?}", killed.elapsed());
    eprintln!("another worker was done {:?} after the kill", killed.elapsed());
    assert_eq!(app.charges(&id), 1);
}

#[tokio::test]
async fn a_long_call_keeps_its_lease() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let _one = WorkerProcess::start(&app);
    let _two = WorkerProcess::start(&app);
    // Longer than a lease.
    app.fault("payment_intents.create", "delay_ms:8000", 1);
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.wait_for_status(&id, "succeeded").await;
    assert_eq!(app.requests("payment_intents.create"), 1, "nobody took it over");
    assert_eq!(app.count("SELECT max(attempts)::bigint FROM jobs WHERE kind = 'create_payment'").await, 1);
}

#[tokio::test]
async fn sigterm_cuts_no_job() {
    let app = TestApp::start().await;
    let mut worker = WorkerProcess::start(&app);
    app.fault("*", "webhook:lose", 10);
    app.fault("payment_intents.create", "delay_ms:2000", 1);
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    wait_until("the call is under way", async || (app.requests("payment_intents.create") == 1).then_some(())).await;
    assert!(at_work(&app).await);
    worker.signal(Signal::SIGTERM);
    let well = wait_until("the worker has ended", async || worker.ended_well()).await;
    assert!(well);
    assert_eq!(app.payment(&id).await["status"], "succeeded");
    assert_eq!(app.requests("payment_intents.create"), 1);
}

#[tokio::test]
async fn a_rolling_restart_of_the_api_refuses_no_request() {
    let app = TestApp::start().await;
    let mut api = ApiProcess::start(&app).await;
    assert!(api.get("/health/ready").await.is_some());
    assert!(api.is_healthy(&app));
    api.signal(Signal::SIGTERM);
    let not_ready = async || api.get("/health/ready").await.is_none().then_some(());
    wait_until("readiness is false", not_ready).await;
    // The load balancer has not noticed yet.
    let taken = reqwest::Client::new().get(format!("{}/health", api.url)).send().await;
    let taken = taken.expect("requests are still taken");
    assert_eq!(taken.headers()["connection"], "close", "the next one goes elsewhere");
    assert!(!api.is_healthy(&app), "it is not ready");
    let end = Instant::now() + Duration::from_secs(10);
    while api.ended_well().is_none() {
        assert!(Instant::now() < end, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(api.ended_well(), Some(true));
}

#[tokio::test]
async fn a_slow_provider_takes_no_worker_from_the_other() {
    let app = TestApp::start().await;
    let worker = app.start_worker();
    let paid = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.wait_for_status(&paid, "succeeded").await;
    app.swish.world.add_fault("payments.create", "delay_ms:1500", 1_000).expect("a fault");
    // More than a worker does at a time.
    for _ in 0..60 {
        app.create_payment(json!({ "provider": "swish", "currency": "sek", "swish": {} })).await;
    }
    wait_until("Swish is slow", async || at_work(&app).await.then_some(())).await;
    for _ in 0..5 {
        let began = Instant::now();
        let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
        app.wait_for_status(&id, "succeeded").await;
        assert!(began.elapsed() < Duration::from_millis(1_400), "{:?}", began.elapsed());
    }
    assert!(app.count("SELECT count(*) FROM jobs WHERE lane = 'swish_payments' AND state <> 'done'").await > 0);
    worker.stop().await;
}
