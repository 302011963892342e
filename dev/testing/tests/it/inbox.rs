//! The inbox: events before their objects are known, after hours, twice, of another version; and an administrator's hands.

use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use serde_json::{Value, json};
use shared::store::provider_events;
use testing::{Answer, TestApp, wait_until};

async fn admin(app: &TestApp, method: Method, path: &str, body: Option<Value>) -> Answer {
    app.call(method, path, "root", body).await
}

#[tokio::test]
async fn events_that_come_before_their_object_is_known_are_taken_up_again() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    // The answer is lost, and so is every event that names the payment: the dispute comes first.
    for event in ["payment_intent.created", "payment_intent.succeeded"] {
        app.fault(event, "webhook:lose", 1);
    }
    app.fault("payment_intents.create", "drop_after", 1);
    let id = app.create_payment(json!({ "payment_method": "pm_card_createDispute" })).await;
    for job in app.due_jobs().await {
        worker::runner::run(&app.context, job).await;
    }
    // Its second try comes later than the events.
    app.execute("UPDATE jobs SET run_at = now() + interval '1 hour' WHERE kind = 'create_payment'").await;
    app.run_jobs().await;
    assert_eq!(app.payment(&id).await["status"], "pending");
    let aside = "SELECT count(*) FROM provider_events WHERE outcome = 'ignored' AND object_id LIKE 'pi_%'";
    assert!(app.count(aside).await > 0, "the dispute is of a payment that is not known yet");
    app.settle().await;
    let payment = app.payment(&id).await;
    assert_eq!((&payment["status"], &payment["amount_disputed"]), (&json!("succeeded"), &json!(10_000)));
    assert_eq!(app.count(aside).await, 0);
}

#[tokio::test]
async fn whoever_waited_for_an_object_sees_what_was_put_aside_for_it_meanwhile() {
    let app = TestApp::start().await;
    let puts_aside = app.db.begin().await.expect("a transaction");
    assert!(!provider_events::lock_object(&puts_aside, "pi_1").await.expect("a lock"), "nothing is there yet");
    let db = app.db.clone();
    let makes_it_ours = tokio::spawn(async move {
        let txn = db.begin().await.expect("a transaction");
        provider_events::lock_object(&txn, "pi_1").await.expect("a lock")
    });
    let waits = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
                 WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted";
    wait_until("it waits", async || (app.count(waits).await == 1).then_some(())).await;
    let event = "INSERT INTO provider_events (id, provider, provider_event_id, body, outcome, object_id)
                 VALUES (gen_random_uuid(), 'stripe', 'evt_1', '', 'ignored', 'pi_1')";
    puts_aside.execute_unprepared(event).await.expect("an event");
    puts_aside.commit().await.expect("a commit");
    assert!(makes_it_ours.await.expect("no panic"));
}

#[tokio::test]
async fn the_same_change_under_two_event_ids_changes_nothing_twice() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    app.fault("*", "webhook:twin", 20);
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    app.accepted(Method::POST, "/api/refunds", json!({ "payment_id": id, "amount": 3_000 })).await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["amount_refunded"], 3_000);
    assert_eq!(app.count("SELECT count(*) FROM refunds").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state <> 'done'").await, 0);
}

#[tokio::test]
async fn an_endpoint_of_another_version_is_reported_and_its_objects_are_read_again() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    app.control("webhooks", json!({ "api_version": "2024-09-30.acacia" })).await;
    let id = app.create_payment(json!({})).await;
    app.settle().await;
    // Only events tell that it is paid.
    app.confirm_in_browser(&app.payment(&id).await, "pm_card_visa").await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded");
    assert!(app.requests("payment_intents.retrieve") > 0, "nothing of the body but ids is believed");
    let metrics = app.raw(Method::GET, "/metrics", &[], Vec::new()).await.text;
    assert!(metrics.contains("payment_service_webhook_api_version_mismatches_total{provider=\"stripe\"}"), "{metrics}");
}

#[tokio::test]
async fn an_administrator_lists_reads_and_replays_events() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    let path = "/api/admin/provider-events";
    assert_eq!(app.call(Method::GET, path, "anna", None).await.status, StatusCode::FORBIDDEN);
    let found = admin(&app, Method::GET, &format!("{path}?event_type=payment_intent.succeeded"), None).await.json();
    let event = found["data"][0].clone();
    assert_eq!((&event["outcome"], &event["body"]), (&json!("applied"), &Value::Null), "{found}");
    let one = format!("{path}/{}", event["id"].as_str().expect("an id"));
    let whole = admin(&app, Method::GET, &one, None).await.json();
    assert_eq!(whole["body"]["data"]["object"]["client_secret"], "redacted");
    assert_eq!(whole["body"]["data"]["object"]["metadata"]["payment_id"], json!(id));

    let steps = app.timeline(&id).await.len();
    assert_eq!(admin(&app, Method::POST, &format!("{one}/replay"), None).await.status, StatusCode::ACCEPTED);
    app.settle().await;
    assert_eq!(app.timeline(&id).await.len(), steps + 1, "applied again");
    assert_eq!(app.payment(&id).await["status"], "succeeded");

    let all = json!({ "outcome": "applied", "received_after": "2020-01-01T00:00:00Z" });
    let answer = admin(&app, Method::POST, &format!("{path}/replay"), Some(all)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    assert!(answer.json()["replayed"].as_u64().expect("a number") >= 2);
    app.settle().await;
    assert_eq!(app.count("SELECT count(*) FROM provider_events WHERE outcome IS NULL").await, 0);
    let everything = admin(&app, Method::POST, &format!("{path}/replay"), Some(json!({}))).await;
    assert_eq!(everything.status, StatusCode::UNPROCESSABLE_ENTITY);
    for bad in ["", "a b", "refund.\0created", &"x".repeat(256)] {
        let answer = admin(&app, Method::POST, &format!("{path}/replay"), Some(json!({ "event_type": bad }))).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/event_type");
    }
}
