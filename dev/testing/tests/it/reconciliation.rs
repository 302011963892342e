//! What no webhook told is found out all the same; and a provider that is away costs nothing but time.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::queue::ringer::Ringer;
use shared::store::event_sweeps;
use testing::TestApp;
use worker::context::Context;
use worker::metrics::Metrics;

use crate::metrics::Scrape;

/// Has the feed read, from an hour ago on; and events be old enough for it.
async fn sweep(app: &TestApp) {
    let from = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    let body = json!({ "from": from.to_rfc3339(), "reason": "a test" });
    let answer = app.call(Method::POST, "/api/admin/provider-events/sweep", "root", Some(body)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    event_sweeps::ensure_job(&app.db).await.expect("still one");
    for id in app.due_jobs().await {
        worker::runner::run(&app.context, id).await;
    }
    app.execute("DELETE FROM jobs WHERE kind = 'sweep_stripe_events'").await;
    app.settle().await;
}

#[tokio::test]
async fn what_no_webhook_told_is_found_in_the_feed() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({})).await;
    app.settle().await;
    let payment = app.payment(&id).await;
    let paid_before = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    let known = app.count("SELECT count(*) FROM provider_events").await;
    // Everything that happens now happens in silence.
    app.fault("*", "webhook:lose", 100);
    app.confirm_in_browser(&payment, "pm_card_visa").await;
    let intent = app.payment(&paid_before).await["provider_payment_id"].clone();
    app.control("refund", json!({ "payment_intent": intent, "amount": 4_000 })).await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "requires_action");
    assert_eq!(app.payment(&paid_before).await["amount_refunded"], 0);
    // Younger than half a minute, they may still be on their way.
    sweep(&app).await;
    assert_eq!(app.count("SELECT count(*) FROM provider_events").await, known);

    app.simulator.world.age_events(Duration::from_secs(60));
    sweep(&app).await;
    assert_eq!(app.payment(&id).await["status"], "succeeded", "{:?}", app.timeline(&id).await);
    assert_eq!(app.payment(&paid_before).await["amount_refunded"], 4_000);
    let found = "SELECT count(*) FROM provider_events WHERE found_by_sweep";
    let first = app.count(found).await;
    assert!(first >= 2, "{first}");
    // What is not used need not be sent: it is not missing.
    assert!(app.simulator.world.events().iter().any(|event| event["type"] == "charge.succeeded"));
    assert_eq!(app.count(&format!("{found} AND event_type LIKE 'charge.s%'")).await, 0);
    let missed = || Scrape::of_jobs(&app).value("missed_events_total", &[("provider", "stripe")]);
    assert_eq!(missed().to_string(), first.to_string());
    // Read again, it finds nothing new.
    sweep(&app).await;
    assert_eq!(app.count(found).await, first);
    assert_eq!(missed().to_string(), first.to_string());
}

#[tokio::test]
async fn a_provider_that_is_away_is_left_alone_and_costs_no_attempt() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let metrics = Metrics::new();
    let stripe = testing::stripe(&app.simulator, 5, &metrics);
    let context = Arc::new(Context::new(app.db.clone(), stripe, None, Ringer::deaf(), metrics));
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(app.create_payment(json!({ "payment_method": "pm_card_visa" })).await);
    }
    app.fault("payment_intents.create", "error_before:503", 5);
    let run = async || {
        for id in app.due_jobs().await {
            worker::runner::run(&context, id).await;
        }
    };
    for _ in 0..5 {
        run().await;
        app.execute("UPDATE jobs SET run_at = now() WHERE state = 'queued'").await;
    }
    assert_eq!(app.requests("payment_intents.create"), 5, "after five failures nothing was sent");
    let spent =
        app.count("SELECT max(attempts - (max_attempts - 30))::bigint FROM jobs WHERE kind = 'create_payment'").await;
    assert!(spent <= 2, "{spent} attempts were spent");
    let waiting = app.payment(&ids[29]).await;
    assert_eq!((&waiting["status"], &waiting["outcome_unknown_since"]), (&json!("pending"), &Value::Null));
    let write = [("provider", "stripe"), ("class", "write")];
    let open = || Scrape::of_worker(&context).value("provider_breaker_open", &write).to_string();
    assert_eq!(open(), "1");
    tokio::time::sleep(Duration::from_secs(5)).await;
    run().await;
    assert_eq!(open(), "0");
    app.settle().await;
    for id in &ids {
        assert_eq!((app.payment(id).await["status"].clone(), app.charges(id)), (json!("succeeded"), 1));
    }
}

#[tokio::test]
async fn a_sweep_begins_within_what_stripe_keeps_and_is_not_undone_by_the_one_at_work() {
    let app = TestApp::start().await;
    let ask = async |from: chrono::DateTime<chrono::Utc>, user: &str| {
        let body = json!({ "from": from.to_rfc3339(), "reason": "the ingress was down" });
        app.call(Method::POST, "/api/admin/provider-events/sweep", user, Some(body)).await
    };
    let now = chrono::Utc::now();
    for bad in [now - chrono::TimeDelta::days(31), now + chrono::TimeDelta::minutes(1)] {
        let answer = ask(bad, "root").await;
        assert_eq!(
            (answer.status, &answer.json()["errors"][0]["pointer"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("/from"))
        );
    }
    assert_eq!(ask(now, "anna").await.status, StatusCode::FORBIDDEN);
    let (stripe, before) = (shared::domain::payment::ProviderName::Stripe, event_sweeps::swept_until);
    let seen = before(&app.db, stripe).await.expect("a time");
    let from = now - chrono::TimeDelta::days(2);
    assert_eq!(ask(from, "root").await.status, StatusCode::ACCEPTED);
    // Asked from a later time, it still reads what it was to read.
    assert_eq!(ask(now - chrono::TimeDelta::hours(1), "root").await.status, StatusCode::ACCEPTED);
    // The sweep that began before has read up to now.
    event_sweeps::advance(&app.db, stripe, seen, now).await.expect("a query");
    let left = before(&app.db, stripe).await.expect("a time") - from;
    assert!(left.abs() < chrono::TimeDelta::milliseconds(1), "{left}");
    assert_eq!(
        app.text("SELECT concat_ws(' ', admin_id, action, reason) FROM admin_actions LIMIT 1").await,
        "root sweep_provider_events the ingress was down"
    );
}

#[tokio::test]
async fn what_is_old_and_done_is_forgotten_and_nothing_else() {
    let app = TestApp::start().await;
    app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    app.create_payment(json!({})).await;
    app.execute(
        "UPDATE jobs SET created_at = now() - interval '91 days', finished_at = CASE WHEN finished_at IS NOT NULL
        THEN now() - interval '91 days' END",
    )
    .await;
    app.execute("UPDATE provider_events SET received_at = now() - interval '91 days'").await;
    app.execute("UPDATE provider_events SET outcome = NULL, processed_at = NULL WHERE id = (SELECT min(id::text)::uuid FROM provider_events)").await;
    app.execute("INSERT INTO jobs (id, lane, kind, subject_id, state, max_attempts, finished_at)
        SELECT gen_random_uuid(), 'stripe_payments', 'create_payment', gen_random_uuid(), state, 30, now() - age FROM
        (VALUES ('dead', interval '200 days'), ('done', interval '89 days'), ('discarded', interval '91 days')) AS jobs (state, age)").await;
    assert!(!worker::loops::reap::once(&app.db).await, "there is no more");
    let left = "SELECT string_agg(state, ' ' ORDER BY state) FROM jobs";
    assert_eq!(app.text(left).await, "dead done queued");
    assert_eq!(app.text("SELECT string_agg(coalesce(outcome, 'unread'), ' ') FROM provider_events").await, "unread");
    assert_eq!(app.count("SELECT count(*) FROM payments").await, 2);
}

#[tokio::test]
async fn what_waits_for_long_is_asked_for() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({})).await;
    let quiet = app.create_payment(json!({})).await;
    let paid = app.create_payment(json!({ "payment_method": "pm_card_pendingRefund" })).await;
    app.settle().await;
    let refund = json!({ "payment_id": paid, "amount": 4_000 });
    let refund = app.call(Method::POST, "/api/refunds", "anna", Some(refund)).await.json()["id"].clone();
    app.settle().await;
    let refund = format!("/api/refunds/{}", refund.as_str().expect("an id"));
    assert_eq!(app.call(Method::GET, &refund, "anna", None).await.json()["status"], "processing");
    // From now on nobody tells anything, and there is no feed.
    app.fault("*", "webhook:lose", 100);
    app.confirm_in_browser(&app.payment(&id).await, "pm_card_visa").await;
    app.simulator.world.advance(Duration::from_secs(3_700));
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "requires_action");
    let waiting = "SELECT count(*) FROM jobs WHERE kind = 'poll_stripe' AND state = 'queued'";
    assert_eq!(app.count(&format!("{waiting} AND run_at > now() + interval '50 minutes'")).await, 3);

    app.execute("UPDATE jobs SET run_at = now() WHERE kind = 'poll_stripe'").await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded", "{:?}", app.timeline(&id).await);
    assert!(app.timeline(&id).await.iter().any(|step| step == "job succeeded Stripe: succeeded"));
    assert_eq!(app.call(Method::GET, &refund, "anna", None).await.json()["status"], "succeeded");
    assert_eq!(app.payment(&quiet).await["status"], "requires_action");
    assert_eq!(app.count(waiting).await, 1, "only what still waits is asked for again");
    // Who has not come in a month does not come any more.
    app.execute("UPDATE jobs SET run_at = now(), created_at = now() - interval '31 days' WHERE kind = 'poll_stripe'")
        .await;
    app.settle().await;
    assert_eq!(app.count(waiting).await, 0);
}
