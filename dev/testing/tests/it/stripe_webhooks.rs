//! Stripe's events at the door and behind it.

use std::collections::HashSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::providers::stripe::sign;
use testing::{OLD_WEBHOOK_SECRET, TestApp, WEBHOOK_SECRET};

const PATH: &str = "/api/webhooks/stripe";

#[tokio::test]
async fn only_a_good_signature_is_stored() {
    let app = TestApp::start().await;
    let body = json!({ "id": "evt_1", "object": "event", "type": "customer.deleted" }).to_string().into_bytes();
    let now = chrono::Utc::now();
    let old = now - chrono::TimeDelta::seconds(301);
    let refused = [
        String::new(),
        "garbage".to_owned(),
        sign(&body, &"whsec_other".into(), now),
        sign(b"another body", &WEBHOOK_SECRET.into(), now),
        sign(&body, &WEBHOOK_SECRET.into(), old),
        sign(&body, &WEBHOOK_SECRET.into(), now).replace("v1=", "v0="),
    ];
    for signature in refused {
        let answer = app.raw(Method::POST, PATH, &[("stripe-signature", signature)], body.clone()).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (StatusCode::BAD_REQUEST, json!("invalid_signature"))
        );
    }
    let unsigned = app.raw(Method::POST, PATH, &[], body.clone()).await;
    assert_eq!(unsigned.status, StatusCode::BAD_REQUEST);
    assert_eq!(app.count("SELECT count(*) FROM provider_events").await, 0);

    for (secret, duplicate) in [(WEBHOOK_SECRET, false), (OLD_WEBHOOK_SECRET, true)] {
        let signature = sign(&body, &secret.into(), chrono::Utc::now());
        let answer = app.raw(Method::POST, PATH, &[("stripe-signature", signature)], body.clone()).await;
        assert_eq!((answer.status, answer.json()["duplicate"].clone()), (StatusCode::OK, json!(duplicate)));
    }
    assert_eq!(app.count("SELECT count(*) FROM provider_events").await, 1);
    assert_eq!(app.count("SELECT count(*) FROM jobs").await, 1);
}

#[tokio::test]
async fn an_event_of_a_type_that_is_not_used_is_kept_and_makes_no_work() {
    let app = TestApp::start().await;
    let event =
        json!({ "id": "evt_1", "object": "event", "type": "payout.paid", "data": { "object": { "id": "po_1" } } });
    for duplicate in [false, true] {
        assert_eq!(app.send_event(&event).await.json()["duplicate"], duplicate);
    }
    let outcome = "SELECT concat_ws(', ', outcome, detail, (processed_at IS NOT NULL)::text) FROM provider_events";
    assert_eq!(app.text(outcome).await, "ignored, payout.paid is not used, true");
    assert_eq!(app.count("SELECT count(*) FROM jobs").await, 0);
    // Wanted again, it is looked at.
    let id = app.text("SELECT id::text FROM provider_events").await;
    let path = format!("/api/admin/provider-events/{id}/replay");
    let answer = app.call(Method::POST, &path, "root", None).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    assert_eq!(app.text("SELECT concat(outcome) FROM provider_events").await, "");
    app.settle().await;
    assert_eq!(app.text(outcome).await, "ignored, payout.paid is not used, true");
}

#[tokio::test]
async fn a_signed_event_is_kept_whatever_it_says() {
    let app = TestApp::start().await;
    let bodies: [(&[u8], &str); 6] = [
        (br#"{"id":"evt_1","object":"event","type":"account.updated"}"#, "ignored"),
        (
            br#"{"id":"evt_2","object":"event","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1"}}}"#,
            "unreadable",
        ),
        (br#"{"id":"evt_3","object":"v2.core.event","type":"v1.payment_intent.succeeded"}"#, "unreadable"),
        (br#"{"object":"event"}"#, "unreadable"),
        (b"not json at all", "unreadable"),
        (b"\xff\xfe\x00", "unreadable"),
    ];
    for (body, _) in bodies {
        for _ in 0..2 {
            let signature = sign(body, &WEBHOOK_SECRET.into(), chrono::Utc::now());
            let answer = app.raw(Method::POST, PATH, &[("stripe-signature", signature)], body.to_vec()).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(body));
        }
    }
    app.settle().await;
    for (body, outcome) in bodies {
        let query = format!("SELECT outcome FROM provider_events WHERE body = decode('{}', 'hex')", hex::encode(body));
        assert_eq!(app.text(&query).await, outcome, "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(app.count("SELECT count(*) FROM provider_events").await, 6);
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state <> 'done'").await, 0);
}

#[tokio::test]
async fn duplicate_events_change_nothing() {
    let app = TestApp::start().await;
    app.fault("*", "webhook:duplicate", 10);
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded");
    let timeline = app.timeline(&id).await;
    assert_eq!(timeline.iter().collect::<HashSet<_>>().len(), timeline.len(), "{timeline:?}");
}

#[tokio::test]
async fn events_in_any_order_end_in_the_same_state() {
    let mut last_steps = HashSet::new();
    for seed in 0..4 {
        let app = TestApp::start().await;
        let id = app.create_payment(json!({})).await;
        app.run_jobs().await;
        let payment = app.payment(&id).await;
        app.control("webhooks", json!({ "hold": true })).await;
        app.confirm_in_browser(&payment, "pm_card_chargeDeclined").await;
        app.confirm_in_browser(&payment, "pm_card_visa").await;
        app.control("webhooks", json!({ "hold": false, "order": "shuffled", "seed": seed })).await;
        app.settle().await;
        let paid = app.payment(&id).await;
        assert_eq!((&paid["status"], &paid["failure"]), (&json!("succeeded"), &Value::Null));
        last_steps.insert(app.timeline(&id).await.pop().expect("a step"));
    }
    assert!(last_steps.contains("webhook succeeded payment_intent.payment_failed"), "{last_steps:?}");
}

#[tokio::test]
async fn a_late_event_that_is_not_final_shows_the_state_of_now() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    app.run_jobs().await;
    let payment = app.payment(&id).await;
    app.fault("payment_intent.payment_failed", "webhook:lose", 1);
    app.confirm_in_browser(&payment, "pm_card_chargeDeclined").await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "requires_action", "the event was lost");
    // An older event comes late: what counts is what Stripe says now.
    let created = app.simulator.world.events().into_iter().find(|event| event["type"] == "payment_intent.created");
    let mut late = created.expect("an event");
    late["id"] = json!("evt_late");
    assert_eq!(app.send_event(&late).await.status, StatusCode::OK);
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "failed");
}

#[tokio::test]
async fn an_event_about_an_object_that_is_not_ours_is_ignored() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    let events = app.simulator.world.events();
    let mut event = events.iter().find(|event| event["type"] == "payment_intent.succeeded").expect("an event").clone();
    event["id"] = json!("evt_foreign");
    event["data"]["object"]["metadata"] = json!({});
    event["data"]["object"]["id"] = json!("pi_foreign");
    app.send_event(&event).await;
    app.settle().await;
    let outcome = "SELECT outcome FROM provider_events WHERE provider_event_id = 'evt_foreign'";
    assert_eq!(app.text(outcome).await, "ignored");

    // A second object that claims to be the same payment is a contradiction for a person to see.
    event["id"] = json!("evt_twin");
    event["data"]["object"]["id"] = json!("pi_twin");
    event["data"]["object"]["metadata"] = json!({ "payment_id": id });
    app.send_event(&event).await;
    app.settle().await;
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'dead'").await, 1);
    assert_ne!(app.payment(&id).await["provider_payment_id"], "pi_twin");
}

#[tokio::test]
async fn without_postgres_stripe_is_told_to_come_back() {
    let app = TestApp::start().await;
    app.execute("ALTER TABLE provider_events RENAME TO elsewhere").await;
    let event = json!({ "id": "evt_1", "object": "event", "type": "account.updated" });
    let answer = app.send_event(&event).await;
    assert_eq!((answer.status, answer.json()["code"].clone()), (StatusCode::SERVICE_UNAVAILABLE, json!("unavailable")));
    app.execute("ALTER TABLE elsewhere RENAME TO provider_events").await;
    assert_eq!(app.send_event(&event).await.status, StatusCode::OK);
}
