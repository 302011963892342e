//! Holds: captured in full or in part, canceled, expired.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::TestApp;

async fn held(app: &TestApp) -> (String, Value) {
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa", "capture_method": "manual" })).await;
    app.settle().await;
    let payment = app.payment(&id).await;
    assert_eq!(payment["status"], "requires_capture", "{payment}");
    (id, payment)
}

#[tokio::test]
async fn a_hold_is_captured_in_part_and_the_rest_is_released() {
    let app = TestApp::start().await;
    let (id, payment) = held(&app).await;
    assert_eq!((&payment["amount_capturable"], &payment["amount_captured"]), (&json!(10_000), &json!(0)));
    assert!(payment["expires_at"].is_string(), "{payment}");
    assert_eq!(app.charges(&id), 0, "a hold moves no money");

    let accepted = app.accepted(Method::POST, &format!("/api/payments/{id}/capture"), json!({ "amount": 7_000 })).await;
    assert_eq!(accepted["last_operation"]["status"], "pending");
    app.settle().await;
    let paid = app.payment(&id).await;
    assert_eq!(
        (&paid["status"], &paid["amount_captured"], &paid["amount_capturable"], &paid["expires_at"]),
        (&json!("succeeded"), &json!(7_000), &json!(0), &Value::Null)
    );
    assert_eq!(paid["last_operation"]["kind"], "capture");
    assert_eq!(paid["last_operation"]["status"], "succeeded");
    assert_eq!(app.simulator.world.ledger()[0].amount, 7_000);
}

#[tokio::test]
async fn every_fault_of_a_capture_ends_in_one_capture() {
    for mode in ["error_before:500", "error_after:500", "drop_before", "drop_after", "rate_limit", "gateway:404"] {
        for webhooks in ["arrive", "are lost"] {
            let app = TestApp::start().await;
            let (id, _) = held(&app).await;
            if webhooks == "are lost" {
                app.fault("*", "webhook:lose", 10);
            }
            app.fault("payment_intents.capture", mode, 1);
            app.accepted(Method::POST, &format!("/api/payments/{id}/capture"), json!({})).await;
            app.settle().await;
            let paid = app.payment(&id).await;
            assert_eq!(paid["status"], "succeeded", "{mode} {webhooks}: {:?}", app.timeline(&id).await);
            assert_eq!(paid["last_operation"]["status"], "succeeded", "{mode} {webhooks}: {paid}");
            assert_eq!(app.charges(&id), 1);
            assert_eq!(
                app.count("SELECT count(*) FROM jobs WHERE state <> 'done' AND kind <> 'poll_stripe'").await,
                0,
                "{mode} {webhooks}"
            );
        }
    }
}

#[tokio::test]
async fn a_hold_is_canceled_and_no_money_moves() {
    let app = TestApp::start().await;
    let (id, _) = held(&app).await;
    app.accepted(Method::POST, &format!("/api/payments/{id}/cancel"), json!({ "reason": "duplicate" })).await;
    app.settle().await;
    let canceled = app.payment(&id).await;
    assert_eq!((&canceled["status"], &canceled["amount_capturable"]), (&json!("canceled"), &json!(0)));
    assert_eq!(app.charges(&id), 0);
    let again = app.call(Method::POST, &format!("/api/payments/{id}/cancel"), "anna", Some(json!({}))).await;
    assert_eq!((again.status, again.json()["code"].clone()), (StatusCode::CONFLICT, json!("invalid_status")));
}

#[tokio::test]
async fn a_cancellation_waits_for_a_payment_that_stripe_has_not_seen_yet() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    app.accepted(Method::POST, &format!("/api/payments/{id}/cancel"), json!({})).await;
    app.settle().await;
    let canceled = app.payment(&id).await;
    assert_eq!(canceled["status"], "canceled", "{:?}", app.timeline(&id).await);
    assert_eq!(canceled["last_operation"]["status"], "succeeded");
}

#[tokio::test]
async fn a_cancellation_that_the_payer_overtook_has_failed_on_a_payment_that_succeeded() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    app.settle().await;
    let payment = app.payment(&id).await;
    app.fault("*", "webhook:lose", 10);
    app.confirm_in_browser(&payment, "pm_card_visa").await;
    app.accepted(Method::POST, &format!("/api/payments/{id}/cancel"), json!({})).await;
    app.settle().await;
    let paid = app.payment(&id).await;
    assert_eq!(paid["status"], "succeeded", "the refusal showed the truth: {:?}", app.timeline(&id).await);
    assert_eq!(paid["last_operation"]["status"], "failed");
    assert_eq!(paid["last_operation"]["failure"]["code"], "payment_intent_unexpected_state");
    assert_eq!(app.charges(&id), 1);
}

#[tokio::test]
async fn a_hold_that_expires_is_canceled() {
    let app = TestApp::start().await;
    let (id, _) = held(&app).await;
    app.simulator.world.advance(Duration::from_secs(8 * 24 * 3_600));
    app.settle().await;
    let expired = app.payment(&id).await;
    assert_eq!((&expired["status"], &expired["expires_at"]), (&json!("canceled"), &Value::Null));
    let late = app.call(Method::POST, &format!("/api/payments/{id}/capture"), "anna", Some(json!({}))).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_cannot_be_captured_is_refused_with_the_field() {
    let app = TestApp::start().await;
    let (id, _) = held(&app).await;
    let path = format!("/api/payments/{id}/capture");
    for amount in [0, -1, 10_001] {
        let answer = app.call(Method::POST, &path, "anna", Some(json!({ "amount": amount }))).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{amount}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/amount");
    }
    app.accepted(Method::POST, &path, json!({})).await;
    let second = app.call(Method::POST, &path, "anna", Some(json!({}))).await;
    assert_eq!((second.status, second.json()["code"].clone()), (StatusCode::CONFLICT, json!("operation_in_progress")));
}

#[tokio::test]
async fn the_list_is_filtered() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let paid = app.create_payment(json!({ "payment_method": "pm_card_visa", "metadata": { "order": "17" } })).await;
    let open = app.create_payment(json!({ "currency": "eur", "metadata": { "order": "18", "a b": "c&d" } })).await;
    app.settle().await;
    let ids = async |query: &str| -> Vec<String> {
        let page = app.read(&format!("/api/payments?{query}")).await;
        let data = page["data"].as_array().expect("a list").clone();
        data.iter().map(|payment| payment["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids("status=succeeded").await, [paid.as_str()]);
    assert_eq!(ids("status=requires_action&provider=stripe").await, [open.as_str()]);
    assert_eq!(ids("currency=EUR").await, [open.as_str()]);
    assert_eq!(ids("metadata[order]=17").await, [paid.as_str()]);
    assert_eq!(ids("metadata%5Border%5D=18&metadata%5Ba+b%5D=c%26d").await, [open.as_str()]);
    assert_eq!(ids("metadata[order]=19").await, [] as [&str; 0]);
    assert_eq!(ids("created_after=2020-01-01T00:00:00Z").await.len(), 2);
    assert_eq!(ids("created_before=2020-01-01T00:00:00Z").await.len(), 0);
    for bad in ["status=paid", "currency=zzz", "created_after=yesterday", "metadata[]=1"] {
        let answer = app.call(Method::GET, &format!("/api/payments?{bad}"), "anna", None).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (StatusCode::BAD_REQUEST, json!("invalid_parameter")),
            "{bad}"
        );
    }
}
