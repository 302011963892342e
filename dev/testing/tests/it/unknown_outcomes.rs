//! What nobody knows for long comes to an end all the same: by a look, or by a person's word, and never by discarding it.

use reqwest::{Method, StatusCode};
use sea_orm::TransactionTrait as _;
use serde_json::{Value, json};
use testing::{Answer, TestApp};
use worker::jobs::create_payment::CreatePayment;
use worker::runner::prepare;

use crate::races::at_stripe;

async fn admin(app: &TestApp, method: Method, path: &str, body: Option<Value>) -> Answer {
    app.call(method, &format!("/api/admin/{path}"), "root", body).await
}

async fn settle(app: &TestApp, id: &str, finding: &str) -> Answer {
    let body = json!({ "finding": finding, "reason": "looked into the dashboard" });
    admin(app, Method::POST, &format!("unknown-outcomes/{id}/settle"), Some(body)).await
}

async fn only_unknown(app: &TestApp) -> Value {
    let list = admin(app, Method::GET, "unknown-outcomes", None).await.json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "{list}");
    list["data"][0].clone()
}

fn refused_with(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!((answer.status, answer.json()["code"].clone()), (status, json!(code)), "{answer:?}");
}

/// A payment that Stripe was asked for, and of which it has nothing.
async fn never_arrived(app: &TestApp) -> String {
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.fault("payment_intents.create", "drop_before", 30);
    app.settle().await;
    id
}

const A_DAY: &str =
    "UPDATE attempts SET created_at = created_at - interval '24 hours', updated_at = updated_at - interval '3 minutes'";

#[tokio::test]
async fn a_payment_that_never_arrived_is_failed_once_a_person_says_so_and_a_look_finds_nothing() {
    let app = TestApp::start().await;
    let id = never_arrived(&app).await;
    let unknown = only_unknown(&app).await;
    assert_eq!(
        json!([unknown["kind"], unknown["id"], unknown["user_id"], unknown["job_state"], unknown["provider_id"]]),
        json!(["payment", id, "anna", "dead", null])
    );
    let job = unknown["job_id"].as_str().expect("a job");
    let discarded = admin(&app, Method::POST, &format!("jobs/{job}/discard"), Some(json!({ "reason": "x" }))).await;
    refused_with(&discarded, StatusCode::CONFLICT, "outcome_unknown");
    // The key is young: running it again tells.
    let young = settle(&app, &id, "not_made").await;
    refused_with(&young, StatusCode::CONFLICT, "outcome_not_final");
    assert!(young.json()["detail"].as_str().is_some_and(|text| text.starts_with("from 20")), "{young:?}");
    app.execute("UPDATE attempts SET created_at = created_at - interval '24 hours'").await;
    // The last try may still be on its way.
    refused_with(&settle(&app, &id, "not_made").await, StatusCode::CONFLICT, "outcome_not_final");
    app.execute(A_DAY).await;
    refused_with(&settle(&app, &id, "made").await, StatusCode::UNPROCESSABLE_ENTITY, "invalid_body");
    let path = format!("/api/admin/unknown-outcomes/{id}/settle");
    let body = json!({ "finding": "not_made", "reason": "x" });
    assert_eq!(app.call(Method::POST, &path, "anna", Some(body)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(app.accepted(Method::POST, &format!("/api/payments/{id}/cancel"), json!({})).await["status"], "pending");
    assert_eq!(settle(&app, &id, "not_made").await.status, StatusCode::ACCEPTED);
    app.settle().await;

    let over = app.payment(&id).await;
    assert_eq!(
        json!([over["status"], over["failure"]["code"], over["outcome_unknown_since"]]),
        json!(["failed", "not_made", null])
    );
    assert_eq!(over["last_operation"]["failure"]["code"], "payment_not_made");
    assert_eq!(app.charges(&id), 0);
    assert_eq!(app.requests("payment_intents.create"), 30, "nothing was sent again");
    let timeline = app.timeline(&id).await;
    for step in [
        "admin pending settled as not_made by root: looked into the dashboard",
        "job failed Stripe has nothing of it, and it was given up",
    ] {
        assert!(timeline.iter().any(|known| known == step), "{timeline:?}");
    }
    let audit = "SELECT concat_ws(' ', admin_id, action, subject, reason) FROM admin_actions";
    assert_eq!(app.text(audit).await, format!("root settle_unknown_outcome {id} looked into the dashboard"));
    refused_with(&settle(&app, &id, "not_made").await, StatusCode::NOT_FOUND, "unknown_outcome_not_found");

    // Stripe knows better after all.
    let customer = app.text("SELECT stripe_customer_id FROM customers").await;
    let late = [
        ("amount", "10000"),
        ("currency", "sek"),
        ("customer", &customer),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
        ("off_session", "true"),
        ("metadata[payment_id]", &id),
    ];
    at_stripe(&app, "payment_intents", &late).await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded", "{:?}", app.timeline(&id).await);
}

#[tokio::test]
async fn what_is_at_stripe_counts_whatever_a_person_says() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.fault("*", "webhook:lose", 10);
    app.fault("payment_intents.create", "drop_after", 1);
    app.run_jobs().await;
    app.execute(A_DAY).await;
    app.fault("payment_intents.list", "drop_before", 29);
    app.settle().await;
    assert_eq!((app.payment(&id).await["status"].clone(), app.charges(&id)), (json!("pending"), 1));
    app.execute(A_DAY).await;
    // Stripe is still away at the next look: that tells nothing.
    app.fault("payment_intents.list", "error_before:500", 2);
    assert_eq!(settle(&app, &id, "not_made").await.status, StatusCode::ACCEPTED);
    app.settle().await;
    let paid = app.payment(&id).await;
    assert_eq!((&paid["status"], &paid["outcome_unknown_since"]), (&json!("succeeded"), &Value::Null), "{paid}");
    assert_eq!(app.charges(&id), 1);
}

#[tokio::test]
async fn a_refund_that_never_arrived_frees_its_amount_once_a_person_says_so() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    app.fault("refunds.create", "drop_before", 30);
    app.accepted(Method::POST, "/api/refunds", json!({ "payment_id": id, "amount": 4_000 })).await;
    app.settle().await;
    let unknown = only_unknown(&app).await;
    assert_eq!(json!([unknown["kind"], unknown["amount"]]), json!(["refund", 4_000]));
    assert_eq!(app.payment(&id).await["amount_refunded"], 4_000);
    app.execute(A_DAY).await;
    let refund = unknown["id"].as_str().expect("an id");
    assert_eq!(settle(&app, refund, "not_made").await.status, StatusCode::ACCEPTED);
    app.settle().await;
    let over = app.read(&format!("/api/refunds/{refund}")).await;
    assert_eq!(json!([over["status"], over["failure"]["code"]]), json!(["failed", "not_made"]));
    assert_eq!(app.payment(&id).await["amount_refunded"], 0);
    assert_eq!(told(&app, &id, refund).await, ["not_made"]);
}

/// What the payment's timeline says of how a refund was settled.
async fn told(app: &TestApp, payment: &str, refund: &str) -> Vec<String> {
    let begins = format!("refund {refund}: settled as ");
    let steps = app.timeline(payment).await;
    let settled = steps.iter().filter_map(|step| step.split_once(&begins)?.1.split_once(" by root: "));
    settled.map(|(finding, _)| finding.to_owned()).collect()
}

#[tokio::test]
async fn what_swish_itself_does_not_know_ends_with_the_word_of_the_bank() {
    for (finding, status) in [("made", "succeeded"), ("not_made", "failed")] {
        let app = TestApp::start().await;
        let id = app.create_swish(json!({ "swish": { "payer_alias": "46712345678" } })).await;
        app.settle().await;
        let instruction = app.instruction(&id).await;
        app.swish.world.fail(&instruction, "DS24", finding == "made").expect("failed");
        app.settle().await;
        assert_eq!(only_unknown(&app).await["provider_id"], instruction);
        assert_eq!(settle(&app, &id, finding).await.status, StatusCode::ACCEPTED);
        let over = app.payment(&id).await;
        assert_eq!(json!([over["status"], over["outcome_unknown_since"]]), json!([status, null]));
        assert_eq!(over["amount_captured"], if finding == "made" { 10_000 } else { 0 });
        // Swish says once more that it does not know: that is no news to whom knows.
        app.execute("UPDATE provider_events SET processed_at = NULL, outcome = NULL").await;
        app.execute("UPDATE jobs SET state = 'queued', run_at = now(), finished_at = NULL, rung_until = NULL WHERE kind = 'apply_swish_callback'").await;
        app.settle().await;
        assert_eq!(app.payment(&id).await["status"], status, "{:?}", app.timeline(&id).await);
        assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'dead'").await, 0);
    }
}

#[tokio::test]
async fn a_refund_that_swish_itself_does_not_know_ends_with_the_word_of_the_bank() {
    for (finding, status, refunded) in [("made", "succeeded", 4_000), ("not_made", "failed", 0)] {
        let app = TestApp::start().await;
        let id = app.create_swish(json!({ "swish": { "payer_alias": "46712345678" } })).await;
        app.settle().await;
        app.swish.world.pay(&app.instruction(&id).await).expect("paid");
        app.settle().await;
        app.swish.world.set_settle(3_600_000);
        app.accepted(Method::POST, "/api/refunds", json!({ "payment_id": id, "amount": 4_000 })).await;
        app.settle().await;
        let refund = app.text("SELECT provider_refund_id FROM refunds").await;
        app.swish.world.fail(&refund, "DS24", finding == "made").expect("failed");
        app.settle().await;
        let unknown = only_unknown(&app).await;
        let refund = unknown["id"].as_str().expect("an id");
        assert_eq!(settle(&app, refund, finding).await.status, StatusCode::ACCEPTED);
        assert_eq!(app.read(&format!("/api/refunds/{refund}")).await["status"], status);
        assert_eq!(app.payment(&id).await["amount_refunded"], refunded);
        assert_eq!(told(&app, &id, refund).await, [finding]);
    }
}

#[tokio::test]
async fn administrators_find_and_read_anybodys_payment_without_what_pays() {
    let app = TestApp::start().await;
    let failed = app.create_payment(json!({ "payment_method": "pm_card_chargeDeclined" })).await;
    let open = app.create_payment(json!({})).await;
    app.settle().await;
    let ids = async |query: &str| {
        let list = admin(&app, Method::GET, &format!("payments?{query}"), None).await.json();
        let ids =
            list["data"].as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id").to_owned());
        ids.collect::<Vec<_>>()
    };
    let (open, failed) = (open.as_str(), failed.as_str());
    assert_eq!(ids("").await, [open, failed]);
    assert_eq!(ids("status=failed").await, [failed]);
    assert_eq!(ids("user_id=anna&limit=1").await, [open]);
    assert_eq!(ids(&format!("user_id=anna&starting_after={open}")).await, [failed]);
    assert_eq!(ids("user_id=bert").await, Vec::<String>::new());
    assert_eq!(ids("provider=swish").await, Vec::<String>::new());
    let detail = admin(&app, Method::GET, &format!("payments/{open}"), None).await.json();
    assert!(app.payment(open).await["client_secret"].is_string());
    assert_eq!(
        json!([detail["user_id"], detail["payment"]["status"], detail["payment"]["client_secret"]]),
        json!(["anna", "requires_action", null])
    );
    assert_eq!(detail["payment"]["next_action"], Value::Null);
    assert_eq!(
        json!([detail["attempts"][0]["operation"], detail["attempts"][0]["tries"], detail["attempts"][0]["outcome"]]),
        json!(["create_payment", 1, "done"])
    );
    assert!(detail["attempts"][0]["provider_request_id"].is_string(), "{detail}");
    assert!(detail["timeline"].as_array().is_some_and(|steps| steps.len() >= 2), "{detail}");
    let nobodys = admin(&app, Method::GET, &format!("payments/{}", uuid::Uuid::now_v7()), None).await;
    refused_with(&nobodys, StatusCode::NOT_FOUND, "payment_not_found");
    assert_eq!(app.call(Method::GET, "/api/admin/payments", "anna", None).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_a_worker_died_over_is_not_discarded() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    // Five workers die, each in the middle of the call: nothing says that the outcome is unknown.
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    prepare::<CreatePayment>(&app.context, txn, &lease).await.expect("prepared").expect("work");
    app.execute("UPDATE jobs SET leased_until = now() - interval '1 second', silences = 4").await;
    shared::store::jobs::bury_exhausted(&app.db).await.expect("buried");
    let job = app.text("SELECT id::text FROM jobs WHERE state = 'dead'").await;
    let reason = Some(json!({ "reason": "x" }));
    let discarded = admin(&app, Method::POST, &format!("jobs/{job}/discard"), reason.clone()).await;
    refused_with(&discarded, StatusCode::CONFLICT, "outcome_unknown");
    assert_eq!(admin(&app, Method::POST, &format!("jobs/{job}/retry"), reason).await.status, StatusCode::OK);
    app.settle().await;
    assert_eq!((app.payment(&id).await["status"].clone(), app.charges(&id)), (json!("succeeded"), 1));
}
