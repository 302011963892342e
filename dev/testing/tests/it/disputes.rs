//! Disputes: what the bank takes back, and what an administrator can do about it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::TestApp;

pub(crate) async fn disputed(app: &TestApp) -> (String, Value) {
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_createDispute" })).await;
    app.settle().await;
    let page = app.read("/api/disputes").await;
    assert_eq!(page["data"].as_array().expect("a list").len(), 1, "{page}");
    (id, page["data"][0].clone())
}

async fn admin(app: &TestApp, method: Method, path: &str, body: Option<Value>) -> testing::Answer {
    app.call(method, path, "root", body).await
}

#[tokio::test]
async fn a_dispute_takes_the_money_and_a_won_one_brings_it_back() {
    let app = TestApp::start().await;
    let (id, dispute) = disputed(&app).await;
    assert_eq!((&dispute["status"], &dispute["funds"]), (&json!("needs_response"), &json!("withdrawn")));
    assert_eq!(dispute["payment_id"], json!(id));
    assert!(dispute["evidence_due_by"].is_string());
    assert_eq!(app.payment(&id).await["amount_disputed"], 10_000);

    let path = format!("/api/admin/disputes/{}/evidence", dispute["id"].as_str().expect("an id"));
    let body = json!({ "evidence": { "uncategorized_text": "It was delivered." } });
    assert_eq!(app.call(Method::POST, &path, "anna", Some(body.clone())).await.status, StatusCode::FORBIDDEN);
    let answer = admin(&app, Method::POST, &path, Some(body.clone())).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    app.settle().await;
    let own = format!("/api/disputes/{}", dispute["id"].as_str().expect("an id"));
    let submitted = app.read(&own).await;
    assert_eq!((&submitted["status"], &submitted["evidence_submitted"]), (&json!("under_review"), &json!(true)));
    let again = admin(&app, Method::POST, &path, Some(body)).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "evidence is final");

    let provider_id = dispute["provider_dispute_id"].as_str().expect("an id");
    app.control(&format!("disputes/{provider_id}/close"), json!({ "result": "won" })).await;
    app.settle().await;
    let won = app.read(&own).await;
    assert_eq!((&won["status"], &won["funds"]), (&json!("won"), &json!("reinstated")));
    assert_eq!(app.payment(&id).await["amount_disputed"], 0);
}

#[tokio::test]
async fn an_accepted_dispute_is_lost() {
    let app = TestApp::start().await;
    let (id, dispute) = disputed(&app).await;
    let path = format!("/api/admin/disputes/{}/accept", dispute["id"].as_str().expect("an id"));
    app.fault("disputes.close", "drop_after", 1);
    assert_eq!(admin(&app, Method::POST, &path, Some(json!({}))).await.status, StatusCode::ACCEPTED);
    app.settle().await;
    let lost = app.read(&format!("/api/disputes/{}", dispute["id"].as_str().expect("an id"))).await;
    assert_eq!((&lost["status"], &lost["funds"]), (&json!("lost"), &json!("withdrawn")));
    assert_eq!(app.payment(&id).await["amount_disputed"], 10_000);
    let steps = app.timeline(&id).await;
    assert!(steps.iter().any(|step| step.starts_with("admin ")), "{steps:?}");
}

#[tokio::test]
async fn a_refund_of_disputed_money_is_refused_by_stripe_and_its_amount_comes_free() {
    let app = TestApp::start().await;
    let (id, _) = disputed(&app).await;
    let made = app.accepted(Method::POST, "/api/refunds", json!({ "payment_id": id })).await;
    app.settle().await;
    let failed = app.read(&format!("/api/refunds/{}", made["id"].as_str().expect("an id"))).await;
    assert_eq!((&failed["status"], &failed["failure"]["code"]), (&json!("failed"), &json!("charge_disputed")));
    assert_eq!(app.payment(&id).await["amount_refunded"], 0);
}
