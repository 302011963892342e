//! The job `create_payment`: every crash point, every fault. In the end one charge, and no false word about it.

use reqwest::Method;
use sea_orm::TransactionTrait as _;
use serde_json::{Value, json};
use testing::TestApp;
use worker::jobs::create_payment::CreatePayment;
use worker::runner::{Job as _, prepare, record};

async fn app_with_a_payment() -> (TestApp, String) {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    (app, id)
}

/// One charge, `succeeded`, nothing unknown, every job done.
async fn assert_paid_once(app: &TestApp, id: &str) {
    let payment = app.payment(id).await;
    assert_eq!(payment["status"], "succeeded", "{payment} {:?}", app.timeline(id).await);
    assert_eq!(payment["outcome_unknown_since"], Value::Null);
    assert_eq!(app.charges(id), 1);
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state <> 'done'").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM attempts").await, 1, "one attempt, one key");
}

#[tokio::test]
async fn a_crash_before_the_preparation_commits_leaves_nothing() {
    let (app, id) = app_with_a_payment().await;
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    CreatePayment::prepare(&txn, &lease).await.expect("prepared");
    txn.rollback().await.expect("the crash");
    assert_eq!(app.count("SELECT count(*) FROM attempts").await, 0);
    app.run_jobs().await;
    assert_paid_once(&app, &id).await;
}

#[tokio::test]
async fn a_crash_after_the_preparation_is_carried_on_when_the_lease_runs_out() {
    let (app, id) = app_with_a_payment().await;
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    prepare::<CreatePayment>(&app.context, txn, &lease).await.expect("prepared");
    app.run_jobs().await;
    assert_eq!(app.payment(&id).await["status"], "pending", "the lease still holds");
    app.pass_time().await;
    app.run_jobs().await;
    assert_paid_once(&app, &id).await;
}

#[tokio::test]
async fn a_crash_after_the_call_sends_the_same_key_again() {
    let (app, id) = app_with_a_payment().await;
    app.fault("*", "webhook:lose", 10);
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    let prepared = prepare::<CreatePayment>(&app.context, txn, &lease).await.expect("prepared").expect("work");
    CreatePayment::call(&app.context, &prepared).await;
    assert_eq!(app.charges(&id), 1);
    app.pass_time().await;
    app.run_jobs().await;
    assert_paid_once(&app, &id).await;
    let keys: std::collections::HashSet<_> = app
        .simulator
        .world
        .requests()
        .into_iter()
        .filter(|request| request.operation == "payment_intents.create")
        .map(|request| request.idempotency_key)
        .collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
}

#[tokio::test]
async fn a_crash_while_recording_leaves_all_or_nothing() {
    let (app, id) = app_with_a_payment().await;
    app.fault("*", "webhook:lose", 10);
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    let prepared = prepare::<CreatePayment>(&app.context, txn, &lease).await.expect("prepared").expect("work");
    let outcome = CreatePayment::call(&app.context, &prepared).await;
    let txn = app.db.begin().await.expect("a transaction");
    CreatePayment::record(&txn, &lease, prepared, outcome).await.expect("recorded");
    txn.rollback().await.expect("the crash");
    assert_eq!(app.payment(&id).await["status"], "pending");
    app.pass_time().await;
    app.run_jobs().await;
    assert_paid_once(&app, &id).await;
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_writes_nothing() {
    let (app, id) = app_with_a_payment().await;
    app.fault("*", "webhook:lose", 10);
    let txn = app.db.begin().await.expect("a transaction");
    let slow = app.lease_only_job(&txn).await;
    let prepared = prepare::<CreatePayment>(&app.context, txn, &slow).await.expect("prepared").expect("work");
    let outcome = CreatePayment::call(&app.context, &prepared).await;
    app.pass_time().await;
    app.run_jobs().await;
    let steps = app.timeline(&id).await;
    let late = record::<CreatePayment>(&app.context, &slow, prepared, outcome).await;
    assert!(matches!(late, Err(worker::runner::JobError::LeaseLost)), "{late:?}");
    assert_eq!(app.timeline(&id).await, steps);
    assert_paid_once(&app, &id).await;
}

#[tokio::test]
async fn every_fault_of_the_create_call_ends_in_one_charge() {
    for mode in [
        "error_before:500",
        "error_after:500",
        "error_before:503",
        "drop_before",
        "drop_after",
        "rate_limit",
        "gateway:404",
        "gateway:413",
        "delay_ms:2500",
    ] {
        for webhooks in ["arrive", "are lost"] {
            let (app, id) = app_with_a_payment().await;
            if webhooks == "are lost" {
                app.fault("*", "webhook:lose", 10);
            }
            app.fault("payment_intents.create", mode, 1);
            app.settle().await;
            eprintln!("{mode}, webhooks {webhooks}: {:?}", app.timeline(&id).await);
            assert_paid_once(&app, &id).await;
        }
    }
}

#[tokio::test]
async fn faults_of_the_customer_call_end_in_one_customer_and_one_charge() {
    for mode in ["error_before:500", "error_after:500", "drop_before", "drop_after", "rate_limit", "gateway:404"] {
        let app = TestApp::start().await;
        let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
        app.fault("customers.create", mode, 1);
        app.settle().await;
        assert_paid_once(&app, &id).await;
        let made = app.simulator.world.events().iter().filter(|event| event["type"] == "customer.created").count();
        // A failure that is stored under the key tells nothing for a day: another customer is made, which costs nothing.
        assert_eq!(made, if mode == "error_after:500" { 2 } else { 1 }, "{mode}");
    }
}

#[tokio::test]
async fn while_the_outcome_is_unknown_the_payment_says_so_and_never_failed() {
    let (app, id) = app_with_a_payment().await;
    app.fault("*", "webhook:lose", 10);
    app.fault("payment_intents.create", "drop_after", 3);
    app.run_jobs().await;
    for _ in 0..2 {
        let payment = app.payment(&id).await;
        assert_eq!((&payment["status"], &payment["failure"]), (&json!("pending"), &Value::Null));
        assert!(payment["outcome_unknown_since"].is_string(), "{payment}");
        app.pass_time().await;
        app.run_jobs().await;
    }
    app.settle().await;
    assert_paid_once(&app, &id).await;
    let timeline = app.timeline(&id).await;
    assert!(timeline.iter().any(|step| step.contains("the outcome is unknown; trying again")), "{timeline:?}");
}

#[tokio::test]
async fn an_attempt_from_before_customers_were_pinned_goes_on_under_its_key() {
    let (app, id) = app_with_a_payment().await;
    app.fault("*", "webhook:lose", 10);
    app.fault("payment_intents.create", "drop_after", 1);
    let job = app.due_jobs().await[0];
    worker::runner::run(&app.context, job).await;
    app.execute("UPDATE attempts SET stripe_customer_id = NULL").await;
    app.settle().await;
    assert_paid_once(&app, &id).await;
}

#[tokio::test]
async fn every_try_is_for_the_customer_of_the_first() {
    for now in ["'cus_another'", "NULL"] {
        let (app, id) = app_with_a_payment().await;
        app.fault("*", "webhook:lose", 10);
        app.fault("payment_intents.create", "drop_after", 1);
        let job = app.due_jobs().await[0];
        worker::runner::run(&app.context, job).await;
        app.execute(&format!("UPDATE customers SET stripe_customer_id = {now}")).await;
        // So old that it is looked for among the payments of its customer.
        app.execute("UPDATE attempts SET created_at = created_at - interval '24 hours'").await;
        app.settle().await;
        assert_paid_once(&app, &id).await;
    }
}

#[tokio::test]
async fn a_key_too_old_to_be_sent_again_is_looked_up_instead() {
    let (app, id) = app_with_a_payment().await;
    app.fault("*", "webhook:lose", 10);
    app.fault("payment_intents.create", "drop_after", 1);
    app.run_jobs().await;
    app.execute("UPDATE attempts SET created_at = created_at - interval '24 hours'").await;
    app.settle().await;
    assert_paid_once(&app, &id).await;
    assert_eq!(app.requests("payment_intents.create"), 1);
    assert_eq!(app.requests("payment_intents.list"), 1);
}

#[tokio::test]
async fn a_key_too_old_whose_payment_is_not_found_stays_unknown_and_is_never_sent_again() {
    let (app, id) = app_with_a_payment().await;
    app.fault("payment_intents.create", "drop_before", 1);
    app.run_jobs().await;
    app.execute("UPDATE attempts SET created_at = created_at - interval '24 hours'").await;
    app.settle().await;
    let payment = app.payment(&id).await;
    assert_eq!(payment["status"], "pending");
    assert!(payment["outcome_unknown_since"].is_string());
    assert_eq!((app.requests("payment_intents.create"), app.charges(&id)), (1, 0));
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'dead'").await, 1);
    assert!(app.timeline(&id).await.last().expect("a step").ends_with("a person must look"));
}

#[tokio::test]
async fn a_webhook_that_is_faster_than_the_answer_settles_the_payment() {
    let (app, id) = app_with_a_payment().await;
    app.fault("payment_intents.create", "drop_after", 1);
    app.run_jobs().await;
    // The answer was cut off; the event was not.
    assert_paid_once_by(&app, &id, "webhook succeeded payment_intent.succeeded").await;
    app.settle().await;
    assert_paid_once(&app, &id).await;
    assert_eq!(app.requests("payment_intents.create"), 1, "nothing was left to ask");
}

async fn assert_paid_once_by(app: &TestApp, id: &str, step: &str) {
    assert_eq!(app.payment(id).await["status"], "succeeded");
    let timeline = app.timeline(id).await;
    assert!(timeline.iter().any(|known| known == step), "{timeline:?}");
}

#[tokio::test]
async fn a_wrong_api_key_fails_no_payment() {
    let (app, id) = app_with_a_payment().await;
    app.fault("payment_intents.create", "error_before:401", 3);
    app.run_jobs().await;
    let payment = app.payment(&id).await;
    assert_eq!((&payment["status"], &payment["outcome_unknown_since"]), (&json!("pending"), &Value::Null));
    app.settle().await;
    assert_paid_once(&app, &id).await;
}

#[tokio::test]
async fn fifty_payments_at_once_through_faults_are_fifty_charges() {
    let app = TestApp::start().await;
    for (mode, times) in [("drop_after", 5), ("error_after:500", 5), ("drop_before", 5), ("rate_limit", 5)] {
        app.fault("payment_intents.create", mode, times);
    }
    app.fault("*", "webhook:duplicate", 10);
    app.fault("*", "webhook:lose", 10);
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(app.create_payment(json!({ "payment_method": "pm_card_visa" })).await);
    }
    app.settle().await;
    for id in &ids {
        assert_eq!(app.payment(id).await["status"], "succeeded", "{:?}", app.timeline(id).await);
        assert_eq!(app.charges(id), 1);
    }
    assert_eq!(app.simulator.world.ledger().len(), 50);
    let listed = app.call(Method::GET, "/api/payments?limit=100", "anna", None).await.json();
    assert_eq!(listed["data"].as_array().expect("a list").len(), 50);
}
