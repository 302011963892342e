//! `Idempotency-Key`: what is asked twice is done once, and answered twice.

use std::collections::HashSet;

use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use serde_json::{Value, json};
use testing::{Answer, TestApp, payment_body, token};

async fn send(app: &TestApp, user: &str, path: &str, key: &str, body: &Value, more: &[(&str, &str)]) -> Answer {
    let mut headers = vec![
        ("authorization", format!("Bearer {}", token(user))),
        ("content-type", "application/json".to_owned()),
        ("idempotency-key", key.to_owned()),
    ];
    headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    app.raw(Method::POST, path, &headers, body.to_string().into_bytes()).await
}

async fn payments(app: &TestApp) -> i64 {
    app.count("SELECT count(*) FROM payments").await
}

#[tokio::test]
async fn the_second_answer_is_the_first_to_the_byte() {
    let app = TestApp::start().await;
    let body = payment_body(json!({ "metadata": { "a": "1", "b": "2", "c": "3" } }));
    let first = send(&app, "anna", "/api/payments", "key-1", &body, &[]).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{first:?}");
    assert!(first.headers.get("idempotent-replayed").is_none());
    app.settle().await;
    // In quotes, as the draft writes it, it is the same key.
    for key in ["key-1", "\"key-1\""] {
        let again = send(&app, "anna", "/api/payments", key, &body, &[]).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text));
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(again.header("content-type"), first.header("content-type"));
    }
    assert_eq!(payments(&app).await, 1);
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'create_payment'").await, 1);
}

#[tokio::test]
async fn a_key_has_its_answer_also_when_the_same_could_not_be_asked_any_more() {
    let app = TestApp::start().await;
    let card = crate::customers::save_card(&app, "pm_card_visa").await;
    let body = payment_body(json!({ "payment_method": card, "off_session": true }));
    let first = send(&app, "anna", "/api/payments", "key", &body, &[]).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{first:?}");
    app.execute("UPDATE saved_payment_methods SET status = 'removed'").await;
    let again = send(&app, "anna", "/api/payments", "key", &body, &[]).await;
    assert_eq!(
        (again.status, &again.text),
        (first.status, &first.text),
        "who asks again must not hear that it is not made"
    );
    let new = send(&app, "anna", "/api/payments", "another key", &body, &[]).await;
    assert_eq!(new.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(new.json()["errors"][0]["pointer"], "/payment_method");
    assert_eq!(payments(&app).await, 1);
    app.execute("UPDATE saved_payment_methods SET status = 'saved'").await;
    let free = send(&app, "anna", "/api/payments", "another key", &body, &[]).await;
    assert_eq!(free.status, StatusCode::ACCEPTED, "what was refused leaves the key free: {free:?}");
}

#[tokio::test]
async fn a_key_is_of_its_user_its_method_its_path_and_its_body() {
    let app = TestApp::start().await;
    let body = payment_body(json!({}));
    let first = send(&app, "anna", "/api/payments", "key", &body, &[]).await;
    let theirs = send(&app, "bo", "/api/payments", "key", &body, &[]).await;
    assert_ne!(first.json()["id"], theirs.json()["id"]);
    let other = send(&app, "anna", "/api/payments", "key", &payment_body(json!({ "amount": 1 })), &[]).await;
    assert_eq!(
        (other.status, other.json()["code"].clone()),
        (StatusCode::UNPROCESSABLE_ENTITY, json!("idempotency_key_reused"))
    );
    assert_eq!(payments(&app).await, 2);
    app.settle().await;
    let path = format!("/api/payments/{}/cancel", first.json()["id"].as_str().expect("an id"));
    let canceled = send(&app, "anna", &path, "key", &json!({}), &[]).await;
    assert_eq!(canceled.status, StatusCode::ACCEPTED, "another path is another request: {canceled:?}");
    app.settle().await;
    let again = send(&app, "anna", &path, "key", &json!({}), &[]).await;
    assert_eq!((again.status, &again.text), (StatusCode::ACCEPTED, &canceled.text), "not refused as already canceled");
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let app = TestApp::start().await;
    for key in ["", "\"\"", &"x".repeat(256), "a\"b"] {
        let answer = send(&app, "anna", "/api/payments", key, &payment_body(json!({})), &[]).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (StatusCode::BAD_REQUEST, json!("invalid_idempotency_key")),
            "{key}"
        );
    }
    let two = [("idempotency-key", "second")];
    let answer = send(&app, "anna", "/api/payments", "first", &payment_body(json!({})), &two).await;
    assert_eq!(answer.json()["code"], "invalid_idempotency_key");
    assert_eq!(payments(&app).await, 0);
}

#[tokio::test]
async fn what_was_refused_leaves_the_key_free() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa", "capture_method": "manual" })).await;
    let path = format!("/api/payments/{id}/capture");
    let early = send(&app, "anna", &path, "capture", &json!({}), &[]).await;
    assert_eq!(early.status, StatusCode::CONFLICT, "it is not held yet");
    app.settle().await;
    let done = send(&app, "anna", &path, "capture", &json!({}), &[]).await;
    assert_eq!(done.status, StatusCode::ACCEPTED, "{done:?}");
    assert_eq!(app.count("SELECT count(*) FROM idempotency_keys").await, 1);
}

#[tokio::test]
async fn five_hundred_at_once_are_one_payment() {
    let app = std::sync::Arc::new(TestApp::start().await);
    let body = payment_body(json!({ "payment_method": "pm_card_visa" }));
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let (app, body) = (app.clone(), body.clone());
        asked.spawn(async move { send(&app, "anna", "/api/payments", "key", &body, &[]).await });
    }
    let mut texts = HashSet::new();
    let mut answers = 0;
    while let Some(answer) = asked.join_next().await {
        let answer = answer.expect("an answer");
        match answer.status {
            StatusCode::ACCEPTED => {
                answers += 1;
                texts.insert(answer.text);
            }
            StatusCode::CONFLICT => assert_eq!(answer.json()["code"], "idempotency_key_in_use"),
            other => panic!("{other}: {}", answer.text),
        }
    }
    eprintln!("{answers} of 500 got the answer, the others 409");
    assert_eq!((texts.len(), payments(&app).await), (1, 1));
    app.settle().await;
    assert_eq!(app.simulator.world.ledger().len(), 1);
}

#[tokio::test]
async fn who_waited_gets_again_what_came_of_it() {
    let app = TestApp::start().await;
    let worker = app.start_worker();
    let body = payment_body(json!({ "payment_method": "pm_card_visa" }));
    let first = send(&app, "anna", "/api/payments", "key", &body, &[("prefer", "wait=20")]).await;
    assert_eq!((first.status, first.json()["status"].clone()), (StatusCode::CREATED, json!("succeeded")));
    let again = send(&app, "anna", "/api/payments", "key", &body, &[("prefer", "wait=20")]).await;
    assert_eq!((again.status, &again.text), (StatusCode::CREATED, &first.text));
    let refund = json!({ "payment_id": first.json()["id"], "amount": 4_000 });
    for _ in 0..2 {
        let refunded = send(&app, "anna", "/api/refunds", "refund", &refund, &[]).await;
        assert_eq!(refunded.status, StatusCode::ACCEPTED);
    }
    assert_eq!(app.payment(first.json()["id"].as_str().expect("an id")).await["amount_refunded"], 4_000);
    worker.stop().await;
}

#[tokio::test]
async fn where_the_later_answer_cannot_be_kept_the_client_gets_the_one_that_is() {
    let app = std::sync::Arc::new(TestApp::start().await);
    let body = payment_body(json!({ "payment_method": "pm_card_visa" }));
    let waiting = {
        let (app, body) = (app.clone(), body.clone());
        tokio::spawn(async move { send(&app, "anna", "/api/payments", "key", &body, &[("prefer", "wait=30")]).await })
    };
    testing::wait_until("the key", async || {
        (app.count("SELECT count(*) FROM idempotency_keys").await == 1).then_some(())
    })
    .await;
    // Somebody holds the row for longer than a statement may take.
    let txn = app.db.begin().await.expect("a transaction");
    txn.execute_unprepared("SELECT * FROM idempotency_keys FOR UPDATE").await.expect("locked");
    app.run_jobs().await;
    let first = waiting.await.expect("an answer");
    txn.rollback().await.expect("free again");
    assert_eq!((first.status, first.json()["status"].clone()), (StatusCode::ACCEPTED, json!("pending")));
    let again = send(&app, "anna", "/api/payments", "key", &body, &[]).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
}

#[tokio::test]
async fn a_key_is_good_for_a_day() {
    let app = TestApp::start().await;
    let body = payment_body(json!({}));
    let first = send(&app, "anna", "/api/payments", "key", &body, &[]).await;
    app.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'").await;
    let later = send(&app, "anna", "/api/payments", "key", &payment_body(json!({ "amount": 5_000 })), &[]).await;
    assert_eq!(later.status, StatusCode::ACCEPTED);
    assert_ne!(later.json()["id"], first.json()["id"]);
    assert_eq!(shared::store::idempotency_keys::reap(&app.db, 10).await.expect("reaped"), 0);
    app.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'").await;
    assert_eq!(shared::store::idempotency_keys::reap(&app.db, 10).await.expect("reaped"), 1);
}
