//! Every operation of the document, walked: no token, another user's token, a user's token where an administrator's is
//! needed. An operation that is added is walked too.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::TestApp;

/// What anybody may ask without a token.
const OPEN: [&str; 5] =
    ["get_health", "get_readiness", "get_metrics", "receive_stripe_event", "receive_swish_callback"];

/// One of everything of `anna`'s, by the path that an id of it stands in.
async fn things_of_anna(app: &TestApp) -> BTreeMap<&'static str, String> {
    let id = |body: &Value| body["id"].as_str().expect("an id").to_owned();
    let setup = id(&app.accepted(Method::POST, "/api/customers/me/setup", json!({})).await);
    app.settle().await;
    let begun = app.read(&format!("/api/customers/me/setup/{setup}")).await;
    app.confirm_in_browser(&begun, "pm_card_visa").await;
    app.settle().await;
    let card = id(&app.read("/api/customers/me/payment-methods").await["data"][0]);
    let payment = app.create_payment(json!({ "payment_method": "pm_card_createDispute" })).await;
    let refundable = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    let refund = id(&app.accepted(Method::POST, "/api/refunds", json!({ "payment_id": refundable })).await);
    let subscription = json!({
        "provider": "stripe", "amount": 9_900, "currency": "sek", "interval": "month", "product_name": "Coffee",
    });
    let subscription = id(&app.accepted(Method::POST, "/api/subscriptions", subscription).await);
    app.settle().await;
    BTreeMap::from([
        ("/api/payments/", payment),
        ("/api/refunds/", refund),
        ("/api/subscriptions/", subscription),
        ("/api/disputes/", id(&app.read("/api/disputes").await["data"][0])),
        ("/api/customers/me/setup/", setup),
        ("/api/customers/me/payment-methods/", card),
        ("/api/admin/disputes/", id(&app.read("/api/disputes").await["data"][0])),
        ("/api/admin/unknown-outcomes/", uuid::Uuid::nil().to_string()),
        ("/api/admin/payments/", app.text("SELECT id::text FROM payments LIMIT 1").await),
        ("/api/admin/jobs/", uuid::Uuid::nil().to_string()),
        ("/api/admin/provider-events/", app.text("SELECT id::text FROM provider_events LIMIT 1").await),
    ])
}

/// A body that an operation would accept of its owner, so that only ownership can refuse it.
fn body_of(operation: &str) -> Option<Value> {
    match operation {
        "update_subscription" => Some(json!({ "cancel_at_period_end": true })),
        "submit_dispute_evidence" => Some(json!({ "evidence": { "uncategorized_text": "x" } })),
        "replay_provider_events" => Some(json!({ "outcome": "applied" })),
        _ => Some(json!({})),
    }
}

#[tokio::test]
async fn every_operation_refuses_whoever_may_not() {
    let app = TestApp::start().await;
    let things = things_of_anna(&app).await;
    let before = app.text(ROWS).await;
    let document: Value = serde_json::from_str(&api::openapi()).expect("the document");
    let mut walked = 0;
    for (template, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let name = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {template} has no id"));
            let secured = operation["security"].as_array().is_some_and(|security| !security.is_empty());
            assert_eq!(secured, !OPEN.contains(&name), "{name}: {}", operation["security"]);
            if !secured {
                continue;
            }
            let method: Method = method.to_uppercase().parse().expect("a method");
            let path = match template.split_once("{id}") {
                None => template.clone(),
                Some((start, end)) => {
                    let thing = things.get(start).unwrap_or_else(|| panic!("{name}: nothing to put into {template}"));
                    format!("{start}{thing}{end}")
                }
            };
            let json_type = [("content-type", "application/json".to_owned())];
            let anonymous = app.raw(method.clone(), &path, &json_type, b"{}".to_vec()).await;
            assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED, "{name}");
            if template.starts_with("/api/admin/") {
                let user = app.call(method, &path, "anna", body_of(name)).await;
                assert_eq!(user.status, StatusCode::FORBIDDEN, "{name}: {user:?}");
            } else if template.contains("{id}") {
                let other = app.call(method, &path, "bo", body_of(name)).await;
                assert_eq!(other.status, StatusCode::NOT_FOUND, "{name}: {other:?}");
            } else if method == Method::GET && name.starts_with("list_") {
                let other = app.call(method, &path, "bo", None).await;
                assert_eq!(other.json()["data"], json!([]), "{name}");
            }
            walked += 1;
        }
    }
    assert!(walked >= 30, "{walked} operations");
    assert_eq!(app.text(ROWS).await, before, "nothing was changed");

    // What names another's object in a body is refused as if it were not there.
    let refund = json!({ "payment_id": things["/api/payments/"] });
    let answer = app.call(Method::POST, "/api/refunds", "bo", Some(refund)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
}

const ROWS: &str = "SELECT concat_ws(' ', (SELECT count(*) FROM jobs), (SELECT sum(version) FROM payments),
    (SELECT count(*) FROM refunds), (SELECT sum(version) FROM subscriptions), (SELECT sum(version) FROM disputes),
    (SELECT sum(version) FROM saved_payment_methods), (SELECT count(*) FROM payments))";
