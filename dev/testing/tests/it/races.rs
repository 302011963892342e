//! What comes late, at the same time, or from another hand: the last word is the newest, and nobody is told a false one.

use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use serde_json::{Value, json};
use shared::domain::ids::PaymentId;
use shared::domain::timeline::{Actor, Step};
use shared::store::payments;
use testing::{TestApp, wait_until};
use worker::jobs::apply_stripe_event::ApplyStripeEvent;
use worker::jobs::change_subscription::ChangeSubscription;
use worker::jobs::create_payment::CreatePayment;
use worker::jobs::create_refund::CreateRefund;
use worker::runner::{Job as _, JobError, prepare, record};

use crate::customers::save_card;
use crate::disputes::disputed;
use crate::subscriptions::subscribe;

/// What others do with the same Stripe account: the dashboard, another program.
pub(crate) async fn at_stripe(app: &TestApp, path: &str, form: &[(&str, &str)]) -> Value {
    let url = format!("{}/v1/{path}", app.simulator.url());
    let answer = reqwest::Client::new().post(url).bearer_auth("sk_test_x").form(form).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.expect("JSON")
}

#[tokio::test]
async fn an_update_that_was_long_on_its_way_does_not_undo_a_newer_one() {
    let app = TestApp::start().await;
    let card = save_card(&app, "pm_card_visa").await;
    let id = subscribe(&app, json!({ "payment_method": card })).await;
    let path = format!("/api/subscriptions/{id}");
    app.accepted(Method::PATCH, &path, json!({ "amount": 20_000 })).await;
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    let slow = prepare::<ChangeSubscription>(&app.context, txn, &lease).await.expect("prepared").expect("work");
    app.pass_time().await;
    app.settle().await;
    app.accepted(Method::PATCH, &path, json!({ "amount": 1_000 })).await;
    app.settle().await;

    ChangeSubscription::call(&app.context, &slow).await;
    app.settle().await;
    let price = &app.simulator.world.objects(simulator::Kind::Subscription)[0]["items"]["data"][0]["price"];
    assert_eq!(price["unit_amount"], 1_000);
    assert_eq!(app.read(&path).await["amount"], 1_000);
}

#[tokio::test]
async fn news_that_was_read_before_newer_news_is_read_again_also_where_the_newer_changed_nothing() {
    let app = TestApp::start().await;
    let card = save_card(&app, "pm_card_visa").await;
    let id = subscribe(&app, json!({ "payment_method": card })).await;
    let stripe_id = app.text("SELECT provider_subscription_id FROM subscriptions").await;
    let events = async |count: i64| {
        testing::wait_until("the event", async || {
            let jobs = app.count("SELECT count(*) FROM jobs WHERE state = 'queued'").await;
            (jobs >= count).then_some(())
        })
        .await;
    };
    at_stripe(&app, &format!("subscriptions/{stripe_id}"), &[("cancel_at_period_end", "true")]).await;
    events(1).await;
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    let slow = prepare::<ApplyStripeEvent>(&app.context, txn, &lease).await.expect("prepared").expect("work");
    let old_news = ApplyStripeEvent::call(&app.context, &slow).await;

    at_stripe(&app, &format!("subscriptions/{stripe_id}"), &[("cancel_at_period_end", "false")]).await;
    events(1).await;
    app.run_jobs().await;
    let late = record::<ApplyStripeEvent>(&app.context, &lease, slow, old_news).await;
    assert!(matches!(late, Err(JobError::Stale)), "{late:?}");
    app.pass_time().await;
    app.settle().await;
    assert_eq!(app.read(&format!("/api/subscriptions/{id}")).await["cancel_at_period_end"], false);
}

#[tokio::test]
async fn what_changes_while_the_stripe_customer_is_made_is_told_afterwards() {
    let app = TestApp::start().await;
    app.create_payment(json!({})).await;
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    let prepared = prepare::<CreatePayment>(&app.context, txn, &lease).await.expect("prepared").expect("work");
    let made = CreatePayment::call(&app.context, &prepared).await;
    let patch = json!({ "name": "Anna B", "email": "anna.b@example.com" });
    assert_eq!(app.call(Method::PATCH, "/api/customers/me", "anna", Some(patch)).await.status, StatusCode::OK);
    record::<CreatePayment>(&app.context, &lease, prepared, made).await.expect("recorded");
    app.settle().await;
    let customers = app.simulator.world.objects(simulator::Kind::Customer);
    assert_eq!(customers.len(), 1);
    assert_eq!((&customers[0]["name"], &customers[0]["email"]), (&json!("Anna B"), &json!("anna.b@example.com")));
}

#[tokio::test]
async fn a_night_without_the_provider_ends_no_job() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.fault("payment_intents.create", "error_before:401", 40);
    for _ in 0..40 {
        app.run_jobs().await;
        app.pass_time().await;
    }
    let payment = app.payment(&id).await;
    assert_eq!((&payment["status"], &payment["outcome_unknown_since"]), (&json!("pending"), &Value::Null));
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'queued' AND last_error LIKE '%401%'").await, 1);
    app.settle().await;
    assert_eq!((app.payment(&id).await["status"].clone(), app.charges(&id)), (json!("succeeded"), 1));
}

#[tokio::test]
async fn evidence_that_another_hand_submitted_is_not_ours() {
    let app = TestApp::start().await;
    let (_, dispute) = disputed(&app).await;
    let stripe_id = dispute["provider_dispute_id"].as_str().expect("an id");
    app.fault("*", "webhook:lose", 10);
    let theirs = [("evidence[uncategorized_text]", "From the dashboard."), ("submit", "true")];
    at_stripe(&app, &format!("disputes/{stripe_id}"), &theirs).await;
    let id = dispute["id"].as_str().expect("an id");
    let body = json!({ "evidence": { "uncategorized_text": "It was delivered." } });
    app.call(Method::POST, &format!("/api/admin/disputes/{id}/evidence"), "root", Some(body)).await;
    app.settle().await;
    let dispute = app.read(&format!("/api/disputes/{id}")).await;
    assert_eq!((&dispute["status"], &dispute["evidence_submitted"]), (&json!("under_review"), &json!(true)));
    assert_eq!(dispute["last_operation"]["status"], "failed", "{dispute}");
}

#[tokio::test]
async fn a_refund_that_names_an_id_of_another_program_is_followed_all_the_same() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    let payment = app.payment(&id).await;
    let intent = payment["provider_payment_id"].as_str().expect("an id");
    let theirs = uuid::Uuid::new_v4().to_string();
    let form = [("payment_intent", intent), ("amount", "4000"), ("metadata[refund_id]", theirs.as_str())];
    let refund = at_stripe(&app, "refunds", &form).await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["amount_refunded"], 4_000);
    app.control(&format!("refunds/{}/fail", refund["id"].as_str().expect("an id")), json!({})).await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["amount_refunded"], 0);
}

#[tokio::test]
async fn a_payment_method_whose_removal_died_can_be_removed_again() {
    let app = TestApp::start().await;
    let card = save_card(&app, "pm_card_visa").await;
    let path = format!("/api/customers/me/payment-methods/{card}");
    app.accepted(Method::DELETE, &path, json!({})).await;
    app.execute("UPDATE jobs SET state = 'dead', finished_at = now() WHERE state = 'queued'").await;
    app.accepted(Method::DELETE, &path, json!({})).await;
    app.settle().await;
    assert_eq!(app.text("SELECT status FROM saved_payment_methods").await, "removed");
}

#[tokio::test]
async fn a_step_has_the_status_that_the_payment_has_when_it_is_written() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    app.settle().await;
    let payment = app.payment(&id).await;
    app.simulator.world.hold_webhooks(true);
    app.confirm_in_browser(&payment, "pm_card_createDispute").await;
    app.simulator.world.release_webhooks(simulator::Order::InOrder);
    let of_the_dispute =
        "SELECT coalesce((SELECT jobs.id::text FROM jobs JOIN provider_events ON provider_events.id = subject_id
                          WHERE event_type = 'charge.dispute.created'), '')";
    let job = testing::wait_until("the dispute's event", async || {
        let job = app.text(of_the_dispute).await;
        job.parse().ok().map(shared::domain::ids::JobId)
    })
    .await;
    let txn = app.db.begin().await.expect("a transaction");
    let lease = shared::store::jobs::lease(&txn, job, "a slow worker").await.expect("the database").expect("a lease");
    let slow = prepare::<ApplyStripeEvent>(&app.context, txn, &lease).await.expect("prepared").expect("work");
    let news = ApplyStripeEvent::call(&app.context, &slow).await;
    // Meanwhile the payment succeeds.
    app.run_jobs().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded");
    record::<ApplyStripeEvent>(&app.context, &lease, slow, news).await.ok();
    app.pass_time().await;
    app.settle().await;
    let steps = app.timeline(&id).await;
    let step = steps.iter().find(|step| step.contains("charge.dispute.created")).expect("the step");
    assert!(step.starts_with("webhook succeeded "), "{steps:?}");
}

/// A payer of Swish's with a request open: another one is refused (`RP06`).
async fn busy_payer(app: &TestApp) -> (String, Value) {
    let busy = json!({ "swish": { "payer_alias": "46700000099" } });
    let first = app.create_swish(busy.clone()).await;
    app.settle().await;
    (app.instruction(&first).await, busy)
}

#[tokio::test]
async fn a_request_that_arrives_after_its_twin_was_refused_is_seen_all_the_same() {
    let app = TestApp::start().await;
    let (first, busy) = busy_payer(&app).await;
    let id = app.create_swish(busy).await;
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    let slow = prepare::<CreatePayment>(&app.context, txn, &lease).await.expect("prepared").expect("work");
    app.pass_time().await;
    app.run_jobs().await;
    let waiting = app.payment(&id).await;
    assert_eq!(waiting["status"], "pending", "an earlier try may still be on its way: {waiting}");
    assert!(waiting["outcome_unknown_since"].is_string());
    app.execute("UPDATE attempts SET created_at = created_at - interval '3 minutes'").await;
    app.settle().await;
    let refused = app.payment(&id).await;
    assert_eq!((&refused["status"], &refused["failure"]["code"]), (&json!("failed"), &json!("payer_has_open_payment")));

    app.swish.world.decline(&first).expect("declined");
    CreatePayment::call(&app.context, &slow).await;
    let late = app.swish.world.payments().last().expect("a request").id.clone();
    app.swish.world.pay(&late).expect("paid");
    app.settle().await;
    let paid = app.payment(&id).await;
    assert_eq!(
        (&paid["status"], &paid["failure"]),
        (&json!("succeeded"), &Value::Null),
        "{:?}",
        app.timeline(&id).await
    );
    app.poll().await;
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state <> 'done'").await, 0);
}

#[tokio::test]
async fn a_request_that_arrives_late_is_found_by_the_last_look_where_its_callback_is_lost() {
    let app = TestApp::start().await;
    let (first, busy) = busy_payer(&app).await;
    app.swish_fault("*", "webhook:lose", 100);
    let id = app.create_swish(busy).await;
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    let slow = prepare::<CreatePayment>(&app.context, txn, &lease).await.expect("prepared").expect("work");
    app.execute("UPDATE attempts SET created_at = created_at - interval '3 minutes'").await;
    app.pass_time().await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "failed");
    app.swish.world.decline(&first).expect("declined");
    CreatePayment::call(&app.context, &slow).await;
    app.poll().await;
    assert_eq!(app.payment(&id).await["status"], "requires_action", "{:?}", app.timeline(&id).await);
    app.swish.world.pay(&app.instruction(&id).await).expect("paid");
    app.poll().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded");
}

#[tokio::test]
async fn a_refund_that_arrives_after_its_twin_was_refused_counts_again() {
    let app = TestApp::start().await;
    let id = app.create_swish(json!({})).await;
    app.settle().await;
    app.swish.world.pay(&app.instruction(&id).await).expect("paid");
    app.settle().await;
    let reference = app.text("SELECT swish->>'payment_reference' FROM payments").await;
    app.accepted(Method::POST, "/api/refunds", json!({ "payment_id": id, "amount": 4_000 })).await;
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    let slow = prepare::<CreateRefund>(&app.context, txn, &lease).await.expect("prepared").expect("work");
    // Refused, for a reason that does not last.
    app.execute("UPDATE payments SET swish = jsonb_set(swish, '{payment_reference}', '\"NONE\"')").await;
    app.execute("UPDATE attempts SET created_at = created_at - interval '3 minutes'").await;
    app.pass_time().await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["amount_refunded"], 0);
    app.execute(&format!("UPDATE payments SET swish = jsonb_set(swish, '{{payment_reference}}', '\"{reference}\"')"))
        .await;
    CreateRefund::call(&app.context, &slow).await;
    testing::wait_until("the refund", async || {
        app.settle().await;
        app.poll().await;
        (app.read("/api/refunds").await["data"][0]["status"] == "succeeded").then_some(())
    })
    .await;
    assert_eq!(app.payment(&id).await["amount_refunded"], 4_000);
}

#[tokio::test]
async fn polls_do_not_wear_out() {
    let app = TestApp::start().await;
    app.swish_fault("*", "webhook:lose", 100);
    let id = app.create_swish(json!({})).await;
    app.settle().await;
    app.swish.world.pay(&app.instruction(&id).await).expect("paid");
    for mode in ["error_before:500", "gateway:502", "garbage"] {
        app.swish_fault("payments.retrieve", mode, 15);
    }
    for _ in 0..45 {
        app.poll().await;
    }
    assert_eq!(app.payment(&id).await["status"], "requires_action");
    app.poll().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded");
}

fn step(detail: &str) -> Step {
    Step { actor: Actor::Webhook, cause: "evt_1".to_owned(), detail: detail.to_owned() }
}

#[tokio::test]
async fn a_step_waits_for_whoever_is_changing_the_payment_and_has_the_status_that_comes_of_it() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    let payment = PaymentId(id.parse().expect("an id"));
    let changes = app.db.begin().await.expect("a transaction");
    let paid = format!("UPDATE payments SET status = 'succeeded', version = version + 1 WHERE id = '{id}'");
    changes.execute_unprepared(&paid).await.expect("a change");
    let db = app.db.clone();
    let tells = tokio::spawn(async move { payments::add_step(&db, payment, &step("heard")).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_until("it waits", async || (app.count(waits).await == 1).then_some(())).await;
    changes.commit().await.expect("a commit");
    tells.await.expect("no panic").expect("a step");
    assert_eq!(app.timeline(&id).await, ["api pending accepted", "webhook succeeded heard"]);
}

#[tokio::test]
async fn a_step_of_a_payment_that_is_over_waits_for_nobody() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    let payment = PaymentId(id.parse().expect("an id"));
    app.execute("UPDATE payments SET status = 'succeeded'").await;
    // A refund is being accepted.
    let refunds = app.db.begin().await.expect("a transaction");
    payments::lock_any(&refunds, payment).await.expect("a lock").expect("the payment");
    refunds.execute_unprepared("UPDATE payments SET amount_captured = amount").await.expect("a change");
    payments::add_step(&app.db, payment, &step("heard")).await.expect("a step, within the three seconds of a lock");
    refunds.commit().await.expect("a commit");
    assert_eq!(app.timeline(&id).await, ["api pending accepted", "webhook succeeded heard"]);
}
