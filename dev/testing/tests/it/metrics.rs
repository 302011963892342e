//! Metrics: each moves when what it counts happens, and only then.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use shared::store;
use testing::processes::{RedisProcess, WorkerProcess};
use testing::settings::Settings;
use testing::{TestApp, wait_until};
use worker::context::Context;

use crate::disputes::disputed;
use crate::queue::waiting_in_redis;
use crate::subscriptions::subscribe;

/// What `/metrics` said.
pub(crate) struct Scrape(String);

impl Scrape {
    pub(crate) async fn of_api(app: &TestApp) -> Self {
        Self(app.raw(Method::GET, "/metrics", &[], Vec::new()).await.text)
    }

    /// Of the jobs that the test runs.
    pub(crate) fn of_jobs(app: &TestApp) -> Self {
        Self::of_worker(&app.context)
    }

    pub(crate) fn of_worker(context: &Context) -> Self {
        Self(context.metrics.text(&context.db).expect("text"))
    }

    /// The series `name{label="value",…}`, with just these labels, in any order; `None`: there is none.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut wanted: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        wanted.sort();
        self.0.lines().find_map(|line| {
            let (series, value) = line.strip_prefix("payment_service_")?.rsplit_once(' ')?;
            let (found, labels) = series.split_once('{').unwrap_or((series, "}"));
            let mut labels: Vec<&str> = labels.trim_end_matches('}').split("\",").filter(|l| !l.is_empty()).collect();
            labels.sort_unstable();
            let labels: Vec<String> = labels.iter().map(|l| format!("{}\"", l.trim_end_matches('"'))).collect();
            (found == name && labels == wanted).then(|| value.parse().expect("a number"))
        })
    }

    /// # Panics
    /// There is no such series.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.get(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} in {}", self.0))
    }

    fn is(&self, name: &str, labels: &[(&str, &str)], expected: f64) {
        let value = self.value(name, labels);
        assert!((value - expected).abs() < f64::EPSILON, "{name} {labels:?} is {value}, not {expected}");
    }
}

#[tokio::test]
async fn money_is_counted_where_it_moves() {
    let app = TestApp::start().await;
    let (stripe, sek) = (("provider", "stripe"), ("currency", "sek"));
    let status = |status| [stripe, ("status", status)];
    Scrape::of_api(&app).await.is("payments_total", &status("pending"), 0.0);

    let paid = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    let declined = app.create_payment(json!({ "payment_method": "pm_card_chargeDeclined" })).await;
    app.settle().await;
    assert_eq!(app.payment(&paid).await["status"], "succeeded");
    assert_eq!(app.payment(&declined).await["status"], "failed");
    let refund = async |amount: i64| {
        let body = json!({ "payment_id": paid, "amount": amount, "reason": "requested_by_customer" });
        app.call(Method::POST, "/api/refunds", "anna", Some(body)).await.status
    };
    assert_eq!(refund(2_500).await, StatusCode::ACCEPTED);
    assert_eq!(refund(10_000).await, StatusCode::UNPROCESSABLE_ENTITY, "more than is left: rolled back");
    app.settle().await;

    let api = Scrape::of_api(&app).await;
    api.is("payments_total", &status("pending"), 2.0);
    api.is("refunds_total", &status("pending"), 1.0);
    let jobs = Scrape::of_jobs(&app);
    jobs.is("payments_total", &status("succeeded"), 1.0);
    jobs.is("payments_total", &status("failed"), 1.0);
    jobs.is("payments_total", &status("pending"), 0.0);
    jobs.is("payment_amount_sum", &[stripe, sek], 10_000.0);
    jobs.is("payment_amount_count", &[stripe, sek], 1.0);
    jobs.is("payment_settled_seconds_count", &[stripe], 2.0);
    jobs.is("refunds_total", &status("succeeded"), 1.0);
    jobs.is("refund_amount_sum", &[stripe, sek], 2_500.0);
}

#[tokio::test]
async fn disputes_and_subscriptions_are_counted() {
    let app = TestApp::start().await;
    disputed(&app).await;
    Scrape::of_jobs(&app).is("disputes_total", &[("status", "needs_response")], 1.0);
    Scrape::of_api(&app).await.is("subscriptions_active", &[], 0.0);
    app.execute("UPDATE payments SET outcome_unknown_since = now() - interval '20 minutes'").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let id = subscribe(&app, json!({})).await;
    app.confirm_in_browser(&app.read(&format!("/api/subscriptions/{id}")).await, "pm_card_visa").await;
    app.settle().await;

    app.execute("UPDATE subscriptions SET outcome_unknown_since = now()").await;
    let api = Scrape::of_api(&app).await;
    api.is("subscriptions_total", &[("status", "pending")], 1.0);
    api.is("subscriptions_active", &[], 1.0);
    // The disputed payment's and the subscription's; the subscription's first payment came later.
    api.is("outcome_unknown", &[("provider", "stripe")], 2.0);
    api.is("outcome_unknown", &[("provider", "swish")], 0.0);
    assert!(api.value("outcome_unknown_oldest_age_seconds", &[("provider", "stripe")]) >= 1_200.0);
    Scrape::of_jobs(&app).is("subscriptions_total", &[("status", "active")], 1.0);
}

#[tokio::test]
async fn what_was_overtaken_is_not_counted() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.fault("payment_intents.create", "delay_ms:1500", 1);
    app.fault("*", "webhook:lose", 10);
    let job = app.due_jobs().await[0];
    let slow = {
        let context = app.context.clone();
        tokio::spawn(async move { worker::runner::run(&context, job).await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    app.pass_time().await;
    worker::runner::run(&app.context, job).await;
    slow.await.expect("it ends");
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded");
    let jobs = Scrape::of_jobs(&app);
    let outcome = |outcome| [("kind", "create_payment"), ("lane", "stripe_payments"), ("outcome", outcome)];
    jobs.is("jobs_total", &outcome("lost"), 1.0);
    jobs.is("jobs_total", &outcome("done"), 1.0);
    jobs.is("payments_total", &[("provider", "stripe"), ("status", "succeeded")], 1.0);
}

#[tokio::test]
async fn webhooks_are_counted_by_what_they_are() {
    let app = TestApp::start().await;
    app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    let labels = |kind, result| [("provider", "stripe"), ("event_type", kind), ("result", result)];
    let before = Scrape::of_api(&app).await;
    let others = before.get("webhooks_received_total", &labels("other", "stored")).unwrap_or(0.0);
    let event = |id: &str, kind: &str| json!({ "id": id, "object": "event", "type": kind });
    for _ in 0..2 {
        assert_eq!(app.send_event(&event("evt_new", "a.type.of.tomorrow")).await.status, StatusCode::OK);
    }
    // Unsigned.
    app.raw(Method::POST, "/api/webhooks/stripe", &[], b"{}".to_vec()).await;
    app.settle().await;
    let api = Scrape::of_api(&app).await;
    api.is("webhooks_received_total", &labels("payment_intent.succeeded", "stored"), 1.0);
    api.is("webhooks_received_total", &labels("other", "stored"), others + 1.0);
    api.is("webhooks_received_total", &labels("other", "duplicate"), 1.0);
    api.is("webhooks_received_total", &labels("other", "refused"), 1.0);
    let jobs = Scrape::of_jobs(&app);
    assert!(jobs.value("webhook_processing_duration_seconds_count", &[("provider", "stripe")]) >= 2.0);
    jobs.is("webhook_processing_errors_total", &[("provider", "stripe")], 0.0);

    // The event's payment cannot be read again: the run fails.
    let id = app.create_payment(json!({})).await;
    app.settle().await;
    app.fault("payment_intents.retrieve", "error_before:500", 1);
    app.confirm_in_browser(&app.payment(&id).await, "pm_card_chargeDeclined").await;
    app.settle().await;
    assert!(Scrape::of_jobs(&app).value("webhook_processing_errors_total", &[("provider", "stripe")]) >= 1.0);
}

#[tokio::test]
async fn calls_and_runs_are_counted_by_how_they_ended() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let before = Scrape::of_jobs(&app);
    before.is("provider_breaker_open", &[("provider", "stripe"), ("class", "write")], 0.0);
    before.is("provider_breaker_open", &[("provider", "swish"), ("class", "read")], 0.0);
    app.fault("payment_intents.create", "error_before:500", 1);
    app.fault("payment_intents.create", "rate_limit", 1);
    app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    app.create_payment(json!({ "payment_method": "pm_card_chargeDeclined" })).await;
    app.create_payment(json!({ "payment_method": "pm_of_nobody" })).await;
    app.settle().await;
    let jobs = Scrape::of_jobs(&app);
    let create = [("provider", "stripe"), ("operation", "POST /payment_intents")];
    for result in ["unknown", "not_sent", "answered", "declined", "rejected"] {
        jobs.is("provider_requests_total", &[create[0], create[1], ("result", result)], 1.0);
    }
    jobs.is("provider_request_duration_seconds_count", &create, 5.0);
    let run = |outcome| [("kind", "create_payment"), ("lane", "stripe_payments"), ("outcome", outcome)];
    jobs.is("jobs_total", &run("retried"), 1.0);
    jobs.is("jobs_total", &run("snoozed"), 1.0);
    jobs.is("jobs_total", &run("done"), 3.0);
    jobs.is("job_duration_seconds_count", &[("kind", "create_payment")], 5.0);
    jobs.is("job_attempts_count", &[("kind", "create_payment")], 3.0);
    jobs.is("job_attempts_sum", &[("kind", "create_payment")], 5.0);
}

#[tokio::test]
async fn the_queue_is_seen_without_workers() {
    let app = TestApp::start().await;
    let state = |state| [("lane", "stripe_payments"), ("state", state)];
    app.create_payment(json!({})).await;
    app.create_payment(json!({})).await;
    app.execute("UPDATE jobs SET run_at = now() - interval '1 minute'").await;
    app.execute(
        "UPDATE jobs SET state = 'dead', finished_at = now() WHERE id = (SELECT max(id::text)::uuid FROM jobs)",
    )
    .await;
    app.execute("INSERT INTO paused_lanes (lane, paused_by, reason) VALUES ('swish_webhooks', 'root', 'a test')").await;
    let api = Scrape::of_api(&app).await;
    api.is("jobs", &state("ready"), 1.0);
    api.is("jobs", &state("dead"), 1.0);
    api.is("jobs", &state("running"), 0.0);
    api.is("jobs", &state("scheduled"), 0.0);
    assert!(api.value("oldest_job_age_seconds", &[("lane", "stripe_payments")]) >= 60.0);
    api.is("oldest_job_age_seconds", &[("lane", "swish_payments")], 0.0);
    api.is("lane_paused", &[("lane", "swish_webhooks")], 1.0);
    api.is("lane_paused", &[("lane", "stripe_payments")], 0.0);
    api.is("database_up", &[], 1.0);
    api.is("redis_up", &[], 1.0);
    api.is("database_connections_max", &[], 8.0);
    assert!(api.value("database_connections", &[("state", "idle")]) >= 1.0);
    let build = [("program", "payment-api"), ("version", env!("CARGO_PKG_VERSION")), ("revision", "unknown")];
    api.is("build_info", &build, 1.0);
    assert!(api.0.contains("\nprocess_resident_memory_bytes "), "{}", api.0);

    let away = store::connect("postgres://nobody@127.0.0.1:1/nothing", "test", 1).await.expect("a pool");
    let metrics = api::metrics::Metrics::new();
    let blind = Scrape(metrics.text(&away, false, 0).await.expect("text"));
    blind.is("database_up", &[], 0.0);
    assert_eq!(blind.get("jobs", &state("ready")), None, "what is not known is not told");
    let seen = Scrape(metrics.text(&app.db, true, 0).await.expect("text"));
    seen.is("database_up", &[], 1.0);
    seen.is("jobs", &state("ready"), 1.0);
}

#[tokio::test]
async fn a_worker_tells_what_its_relay_rings_and_that_it_lost_redis() {
    let mut redis = RedisProcess::start().await;
    let app = TestApp::start_as(Settings { redis_url: redis.url(), ..Settings::default() }).await;
    let due = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    let lost = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    wait_until("both are rung", async || (waiting_in_redis(&app).await == 2).then_some(())).await;
    redis.kill().await;
    redis.start_again().await;
    // One was never rung; the other was, and the ring is lost.
    app.execute(&format!(
        "UPDATE jobs SET rung_until = CASE WHEN subject_id <> '{due}' THEN now() - interval '1 second' END"
    ))
    .await;
    let worker = WorkerProcess::start(&app);
    let rings = |reason| [("lane", "stripe_payments"), ("reason", reason)];
    for id in [&due, &lost] {
        app.wait_for_status(id, "succeeded").await;
    }
    let scrape = async || worker.get("/metrics").await.map(Scrape);
    let seen = wait_until("it answers", scrape).await;
    assert!(seen.value("relay_rings_total", &rings("due")) >= 1.0);
    assert!(seen.value("relay_rings_total", &rings("again")) >= 1.0);
    seen.is("payments_total", &[("provider", "stripe"), ("status", "succeeded")], 2.0);
    assert_eq!(worker.get("/health").await.as_deref(), Some(r#"{"status":"ok"}"#));
    redis.kill().await;
    Scrape::of_api(&app).await.is("redis_up", &[], 0.0);
    wait_until("the loop was begun anew", async || {
        let restarts = scrape().await?.value("lane_restarts_total", &[("lane", "stripe_payments")]);
        (restarts >= 1.0).then_some(())
    })
    .await;
}
