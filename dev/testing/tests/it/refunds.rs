//! Refunds: full, partial, many, at once, refused, sent back, made elsewhere.

use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use testing::TestApp;

async fn paid_with(app: &TestApp, card: &str) -> String {
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": card })).await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded");
    id
}

async fn refund(app: &TestApp, payment: &str, more: Value) -> Value {
    let mut body = json!({ "payment_id": payment });
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    app.accepted(Method::POST, "/api/refunds", body).await
}

async fn read(app: &TestApp, refund: &Value) -> Value {
    app.read(&format!("/api/refunds/{}", refund["id"].as_str().expect("an id"))).await
}

/// What went back, less what came back again.
fn given_back(app: &TestApp) -> i64 {
    let ledger = app.simulator.world.ledger();
    let sum = |kind: &str| ledger.iter().filter(|entry| entry.kind == kind).map(|entry| entry.amount).sum::<i64>();
    sum("refund") - sum("refund_failure")
}

#[tokio::test]
async fn a_payment_is_refunded_in_parts_until_nothing_is_left() {
    let app = TestApp::start().await;
    let id = paid_with(&app, "pm_card_visa").await;
    let part = refund(&app, &id, json!({ "amount": 4_000, "reason": "requested_by_customer" })).await;
    assert_eq!((&part["status"], &part["amount"]), (&json!("pending"), &json!(4_000)));
    assert_eq!(app.payment(&id).await["amount_refunded"], 4_000, "set aside at once");
    app.settle().await;
    let part = read(&app, &part).await;
    assert_eq!((&part["status"], &part["reason"]), (&json!("succeeded"), &json!("requested_by_customer")));
    let rest = refund(&app, &id, json!({})).await;
    assert_eq!(rest["amount"], 6_000);
    app.settle().await;
    assert_eq!((&app.payment(&id).await["amount_refunded"], given_back(&app)), (&json!(10_000), 10_000));
    let more = app.call(Method::POST, "/api/refunds", "anna", Some(json!({ "payment_id": id, "amount": 1 }))).await;
    assert_eq!(
        (more.status, more.json()["code"].clone()),
        (StatusCode::UNPROCESSABLE_ENTITY, json!("refund_exceeds_captured"))
    );
    let of_payment = app.read(&format!("/api/payments/{id}/refunds")).await;
    assert_eq!(of_payment["data"].as_array().expect("a list").len(), 2);
    assert_eq!(app.read("/api/refunds?limit=1").await["has_more"], true);
}

#[tokio::test]
async fn fifty_refunds_at_once_never_exceed_what_was_captured() {
    let app = TestApp::start().await;
    let id = paid_with(&app, "pm_card_visa").await;
    let mut answers = tokio::task::JoinSet::new();
    let app = std::sync::Arc::new(app);
    for _ in 0..50 {
        let (app, body) = (app.clone(), json!({ "payment_id": id, "amount": 700 }));
        answers.spawn(async move { app.call(Method::POST, "/api/refunds", "anna", Some(body)).await.status });
    }
    let answers = answers.join_all().await;
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((count(StatusCode::ACCEPTED), count(StatusCode::UNPROCESSABLE_ENTITY)), (14, 36));
    app.settle().await;
    assert_eq!((&app.payment(&id).await["amount_refunded"], given_back(&app)), (&json!(9_800), 9_800));
}

#[tokio::test]
async fn postgres_itself_refuses_to_refund_more() {
    let app = TestApp::start().await;
    let id = paid_with(&app, "pm_card_visa").await;
    let insert = format!(
        "INSERT INTO refunds (id, user_id, payment_id, provider, status, amount, currency, metadata, created_at, updated_at)
         VALUES (gen_random_uuid(), 'anna', '{id}', 'stripe', 'pending', 10001, 'sek', '{{}}', now(), now())"
    );
    let error = app.db.execute_unprepared(&insert).await.expect_err("refused").to_string();
    assert!(error.contains("payments_refunds_within_captured"), "{error}");
    // What Postgres says of a refusal it also writes to its log: no row of a payment, no client secret.
    let says = format!(
        "CREATE FUNCTION said() RETURNS text LANGUAGE plpgsql AS $$ DECLARE said text; BEGIN {insert}; RETURN 'accepted';
         EXCEPTION WHEN check_violation THEN GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL; RETURN 'refused: ' || said;
         END $$"
    );
    app.execute(&says).await;
    assert_eq!(app.text("SELECT said()").await, "refused: ");
}

#[tokio::test]
async fn every_fault_of_a_refund_ends_in_one_refund() {
    for mode in ["error_before:500", "error_after:500", "drop_before", "drop_after", "rate_limit", "gateway:404"] {
        for webhooks in ["arrive", "are lost"] {
            let app = TestApp::start().await;
            let id = paid_with(&app, "pm_card_visa").await;
            if webhooks == "are lost" {
                app.fault("*", "webhook:lose", 10);
            }
            app.fault("refunds.create", mode, 1);
            let made = refund(&app, &id, json!({ "amount": 2_500 })).await;
            app.settle().await;
            assert_eq!(
                read(&app, &made).await["status"],
                "succeeded",
                "{mode} {webhooks}: {:?}",
                app.timeline(&id).await
            );
            assert_eq!(given_back(&app), 2_500, "{mode} {webhooks}");
            assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state <> 'done'").await, 0, "{mode} {webhooks}");
        }
    }
}

#[tokio::test]
async fn a_refund_that_the_bank_sends_back_can_be_made_again() {
    let app = TestApp::start().await;
    let id = paid_with(&app, "pm_card_refundFail").await;
    let made = refund(&app, &id, json!({})).await;
    app.settle().await;
    assert_eq!(read(&app, &made).await["status"], "succeeded");
    let provider_id = read(&app, &made).await["provider_refund_id"].as_str().expect("an id").to_owned();
    app.control(&format!("refunds/{provider_id}/fail"), json!({})).await;
    app.settle().await;
    let failed = read(&app, &made).await;
    assert_eq!(failed["status"], "failed");
    assert!(failed["failure"]["code"].is_string(), "{failed}");
    assert_eq!((&app.payment(&id).await["amount_refunded"], given_back(&app)), (&json!(0), 0));
    refund(&app, &id, json!({ "amount": 10_000 })).await;
}

#[tokio::test]
async fn a_refund_takes_its_time_where_the_bank_does() {
    let app = TestApp::start().await;
    let id = paid_with(&app, "pm_card_pendingRefund").await;
    let made = refund(&app, &id, json!({})).await;
    app.settle().await;
    let pending = read(&app, &made).await;
    assert_eq!((&pending["status"], &pending["completed_at"]), (&json!("processing"), &Value::Null));
    let provider_id = pending["provider_refund_id"].as_str().expect("an id");
    app.control(&format!("refunds/{provider_id}/succeed"), json!({})).await;
    app.settle().await;
    assert_eq!(read(&app, &made).await["status"], "succeeded");
}

#[tokio::test]
async fn a_refund_made_in_the_dashboard_is_ours_too_and_one_of_ours_that_it_overtook_fails() {
    let app = TestApp::start().await;
    let id = paid_with(&app, "pm_card_visa").await;
    let intent = app.payment(&id).await["provider_payment_id"].clone();
    let ours = refund(&app, &id, json!({ "amount": 8_000 })).await;
    app.control("refund", json!({ "payment_intent": intent, "amount": 5_000 })).await;
    app.settle().await;
    assert_eq!(read(&app, &ours).await["status"], "failed");
    assert_eq!((&app.payment(&id).await["amount_refunded"], given_back(&app)), (&json!(5_000), 5_000));
    let list = app.read("/api/refunds").await;
    assert_eq!(list["data"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn what_cannot_be_refunded_is_refused() {
    let app = TestApp::start().await;
    let open = app.create_payment(json!({})).await;
    let ask = async |body: Value| app.call(Method::POST, "/api/refunds", "anna", Some(body)).await;
    let early = ask(json!({ "payment_id": open })).await;
    assert_eq!((early.status, early.json()["code"].clone()), (StatusCode::CONFLICT, json!("invalid_status")));
    for (body, pointer) in [
        (json!({}), "/payment_id"),
        (json!({ "payment_id": "x" }), "/payment_id"),
        (json!({ "payment_id": "01900000-0000-7000-8000-000000000000" }), "/payment_id"),
        (json!({ "payment_id": open, "reason": "because" }), "/reason"),
        (json!({ "payment_id": open, "colour": "red" }), "/colour"),
        (json!({ "payment_id": open, "metadata": { "refund_id": "x" } }), "/metadata/refund_id"),
    ] {
        let answer = ask(body.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body} {answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(app.count("SELECT count(*) FROM refunds").await, 0);
}
