//! Subscriptions: begun, renewed, changed, overdue, ended.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::TestApp;

use crate::customers::save_card;

const DAY: u64 = 24 * 3_600;

pub(crate) fn body(more: Value) -> Value {
    let mut body = json!({
        "provider": "stripe", "amount": 9_900, "currency": "sek", "interval": "month", "product_name": "Coffee club",
    });
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

pub(crate) async fn subscribe(app: &TestApp, more: Value) -> String {
    let made = app.accepted(Method::POST, "/api/subscriptions", body(more)).await;
    assert_eq!(made["status"], "pending");
    app.settle().await;
    made["id"].as_str().expect("an id").to_owned()
}

async fn read(app: &TestApp, id: &str) -> Value {
    app.read(&format!("/api/subscriptions/{id}")).await
}

fn charged(app: &TestApp) -> Vec<i64> {
    app.simulator.world.ledger().iter().filter(|entry| entry.kind == "charge").map(|entry| entry.amount).collect()
}

#[tokio::test]
async fn the_payer_confirms_the_first_payment_and_renewals_are_payments_of_their_own() {
    let app = TestApp::start().await;
    let id = subscribe(&app, json!({ "metadata": { "plan": "a" } })).await;
    let incomplete = read(&app, &id).await;
    assert_eq!(incomplete["status"], "incomplete", "{incomplete}");
    assert_eq!(app.confirm_in_browser(&incomplete, "pm_card_visa").await, StatusCode::OK);
    app.settle().await;
    let active = read(&app, &id).await;
    assert_eq!((&active["status"], &active["client_secret"]), (&json!("active"), &Value::Null));
    let first = active["latest_payment_id"].as_str().unwrap_or_else(|| panic!("{active}")).to_owned();
    let payment = app.payment(&first).await;
    assert_eq!((&payment["status"], &payment["subscription_id"]), (&json!("succeeded"), &json!(id)));

    app.simulator.world.advance(Duration::from_secs(32 * DAY));
    app.settle().await;
    let renewed = read(&app, &id).await;
    assert_ne!(renewed["current_period_end"], active["current_period_end"]);
    assert_ne!(renewed["latest_payment_id"], json!(first));
    assert_eq!(app.payment(renewed["latest_payment_id"].as_str().expect("an id")).await["amount_captured"], 9_900);
    assert_eq!(charged(&app), [9_900, 9_900]);
    assert_eq!(app.read("/api/payments").await["data"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn a_saved_card_is_charged_at_once_and_products_and_prices_are_made_once() {
    let app = TestApp::start().await;
    let card = save_card(&app, "pm_card_visa").await;
    for _ in 0..2 {
        let id = subscribe(&app, json!({ "payment_method": card })).await;
        assert_eq!(read(&app, &id).await["status"], "active");
    }
    assert_eq!((app.requests("products.create"), app.requests("prices.create")), (1, 1));
    assert_eq!(charged(&app), [9_900, 9_900]);
    let list = app.read("/api/subscriptions?status=active&limit=1").await;
    assert_eq!((list["data"].as_array().expect("a list").len(), &list["has_more"]), (1, &json!(true)));
}

#[tokio::test]
async fn a_subscription_ends_with_its_period_unless_it_is_resumed() {
    let app = TestApp::start().await;
    let card = save_card(&app, "pm_card_visa").await;
    let id = subscribe(&app, json!({ "payment_method": card })).await;
    let path = format!("/api/subscriptions/{id}");
    app.accepted(Method::DELETE, &path, json!({})).await;
    app.settle().await;
    let ending = read(&app, &id).await;
    assert_eq!((&ending["status"], &ending["cancel_at_period_end"]), (&json!("active"), &json!(true)));
    app.accepted(Method::POST, &format!("{path}/resume"), json!({})).await;
    app.settle().await;
    assert_eq!(read(&app, &id).await["cancel_at_period_end"], false);
    let nothing = app.call(Method::POST, &format!("{path}/resume"), "anna", Some(json!({}))).await;
    assert_eq!(nothing.status, StatusCode::CONFLICT);
    app.accepted(Method::PATCH, &path, json!({ "cancel_at_period_end": true })).await;
    app.settle().await;
    app.simulator.world.advance(Duration::from_secs(32 * DAY));
    app.settle().await;
    assert_eq!(read(&app, &id).await["status"], "canceled");
    assert_eq!(charged(&app), [9_900]);
}

#[tokio::test]
async fn a_subscription_is_ended_at_once_whatever_goes_wrong_on_the_way() {
    for mode in ["error_before:500", "error_after:500", "drop_before", "drop_after", "rate_limit"] {
        let app = TestApp::start().await;
        let id = subscribe(&app, json!({})).await;
        app.fault("*", "webhook:lose", 20);
        app.fault("subscriptions.cancel", mode, 1);
        app.accepted(Method::DELETE, &format!("/api/subscriptions/{id}?immediate=true"), json!({})).await;
        app.settle().await;
        let ended = read(&app, &id).await;
        assert_eq!(
            (&ended["status"], &ended["last_operation"]["status"]),
            (&json!("canceled"), &json!("succeeded")),
            "{mode}"
        );
    }
}

#[tokio::test]
async fn a_new_amount_counts_from_the_next_period_and_metadata_is_merged() {
    let app = TestApp::start().await;
    let card = save_card(&app, "pm_card_visa").await;
    let id = subscribe(&app, json!({ "payment_method": card, "metadata": { "a": "1", "b": "2" } })).await;
    let path = format!("/api/subscriptions/{id}");
    app.accepted(Method::PATCH, &path, json!({ "amount": 12_900, "metadata": { "a": null, "c": "3" } })).await;
    app.settle().await;
    let changed = read(&app, &id).await;
    assert_eq!((&changed["amount"], &changed["metadata"]), (&json!(12_900), &json!({ "b": "2", "c": "3" })));
    app.simulator.world.advance(Duration::from_secs(32 * DAY));
    app.settle().await;
    assert_eq!(charged(&app), [9_900, 12_900]);
}

#[tokio::test]
async fn a_first_payment_that_is_not_made_in_time_ends_the_subscription() {
    let app = TestApp::start().await;
    let id = subscribe(&app, json!({})).await;
    app.simulator.world.advance(Duration::from_secs(DAY));
    app.settle().await;
    assert_eq!(read(&app, &id).await["status"], "incomplete_expired");
}

#[tokio::test]
async fn a_trial_charges_nothing_until_it_ends() {
    let app = TestApp::start().await;
    let card = save_card(&app, "pm_card_visa").await;
    let id = subscribe(&app, json!({ "payment_method": card, "trial_period_days": 7 })).await;
    let trial = read(&app, &id).await;
    assert_eq!((&trial["status"], &trial["latest_payment_id"]), (&json!("trialing"), &Value::Null));
    assert!(charged(&app).is_empty());
    app.simulator.world.advance(Duration::from_secs(8 * DAY));
    app.settle().await;
    assert_eq!(read(&app, &id).await["status"], "active");
    assert_eq!(charged(&app), [9_900]);
}

#[tokio::test]
async fn a_declined_renewal_is_past_due_then_unpaid() {
    let app = TestApp::start().await;
    let card = save_card(&app, "pm_card_visa").await;
    let id = subscribe(&app, json!({ "payment_method": card })).await;
    let customer = app.read("/api/customers/me").await["stripe_customer_id"].as_str().expect("an id").to_owned();
    app.control(&format!("customers/{customer}/card"), json!({ "payment_method": "pm_card_chargeDeclined" })).await;
    app.simulator.world.advance(Duration::from_secs(31 * DAY));
    app.settle().await;
    let overdue = read(&app, &id).await;
    assert_eq!(overdue["status"], "past_due");
    let failed = app.payment(overdue["latest_payment_id"].as_str().expect("an id")).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    app.simulator.world.advance(Duration::from_secs(20 * DAY));
    app.settle().await;
    assert_eq!(read(&app, &id).await["status"], "unpaid");
}

#[tokio::test]
async fn every_fault_of_the_create_call_ends_in_one_subscription() {
    for mode in ["error_before:500", "error_after:500", "drop_before", "drop_after", "rate_limit", "gateway:404"] {
        for operation in ["subscriptions.create", "prices.list", "prices.create", "products.create"] {
            let app = TestApp::start().await;
            app.fault(operation, mode, 1);
            let id = subscribe(&app, json!({})).await;
            assert_eq!(read(&app, &id).await["status"], "incomplete", "{operation} {mode}");
            assert_eq!(
                app.count("SELECT count(*) FROM jobs WHERE state <> 'done' AND kind <> 'poll_stripe'").await,
                0,
                "{operation} {mode}"
            );
        }
    }
}

#[tokio::test]
async fn bad_subscriptions_are_refused_with_the_field() {
    let app = TestApp::start().await;
    for (more, pointer) in [
        (json!({ "amount": 0 }), "/amount"),
        (json!({ "currency": "zzz" }), "/currency"),
        (json!({ "interval": "decade" }), "/interval"),
        (json!({ "interval_count": 0 }), "/interval_count"),
        (json!({ "interval": "year", "interval_count": 4 }), "/interval_count"),
        (json!({ "product_name": "" }), "/product_name"),
        (json!({ "trial_period_days": 0 }), "/trial_period_days"),
        (json!({ "payment_method": "pm_of_nobody" }), "/payment_method"),
        (json!({ "metadata": { "subscription_id": "x" } }), "/metadata/subscription_id"),
    ] {
        let answer = app.call(Method::POST, "/api/subscriptions", "anna", Some(body(more.clone()))).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{more} {answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{more}");
    }
    assert_eq!(app.count("SELECT count(*) FROM subscriptions").await, 0);
}

#[tokio::test]
async fn a_subscription_that_had_to_be_looked_up_can_be_confirmed_too() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    app.fault("*", "webhook:lose", 100);
    app.fault("subscriptions.create", "error_after:500", 1);
    let id = subscribe(&app, json!({})).await;
    assert_eq!(app.requests("subscriptions.list"), 1);
    let incomplete = read(&app, &id).await;
    assert_eq!(incomplete["status"], "incomplete");
    assert_eq!(app.confirm_in_browser(&incomplete, "pm_card_visa").await, StatusCode::OK);
}
