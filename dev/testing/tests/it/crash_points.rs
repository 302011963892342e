//! Every job that asks a provider for something, cut off at every point of its life, with no event to help it. In the
//! end what was wanted is so, once. (`create_payment` has more of this kind in a file of its own.)

use reqwest::Method;
use sea_orm::TransactionTrait as _;
use serde_json::{Value, json};
use testing::TestApp;
use worker::jobs::change_dispute::ChangeDispute;
use worker::jobs::change_payment::ChangePayment;
use worker::jobs::change_subscription::ChangeSubscription;
use worker::jobs::create_payment::CreatePayment;
use worker::jobs::create_refund::CreateRefund;
use worker::jobs::create_setup::CreateSetup;
use worker::jobs::create_subscription::CreateSubscription;
use worker::jobs::poll_stripe::PollStripe;
use worker::jobs::remove_payment_method::RemovePaymentMethod;
use worker::jobs::update_customer::UpdateCustomer;
use worker::runner::{Job, JobError, prepare, record};

use crate::customers::save_card;
use crate::disputes::disputed;
use crate::subscriptions::subscribe;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    BeforeThePreparationCommits,
    AfterThePreparation,
    AfterTheCall,
    BeforeTheRecordCommits,
    /// Not dead, only slow: another worker has done it meanwhile.
    LongAsleepAfterTheCall,
}

const POINTS: [Point; 5] = [
    Point::BeforeThePreparationCommits,
    Point::AfterThePreparation,
    Point::AfterTheCall,
    Point::BeforeTheRecordCommits,
    Point::LongAsleepAfterTheCall,
];

/// Runs the only job that is due as far as `point`, then lets it be picked up again.
async fn cut_off<J: Job>(app: &TestApp, point: Point) {
    app.fault("*", "webhook:lose", 1_000);
    let txn = app.db.begin().await.expect("a transaction");
    let lease = app.lease_only_job(&txn).await;
    if point == Point::BeforeThePreparationCommits {
        J::prepare(&txn, &lease).await.expect("prepared");
        txn.rollback().await.expect("the crash");
    } else {
        let prepared = prepare::<J>(&app.context, txn, &lease).await.expect("prepared").expect("work");
        if point != Point::AfterThePreparation {
            let outcome = J::call(&app.context, &prepared).await;
            if point == Point::BeforeTheRecordCommits {
                let txn = app.db.begin().await.expect("a transaction");
                J::record(&txn, &lease, prepared, outcome).await.expect("recorded");
                txn.rollback().await.expect("the crash");
            } else if point == Point::LongAsleepAfterTheCall {
                lease_runs_out(app).await;
                app.run_jobs().await;
                let late = record::<J>(&app.context, &lease, prepared, outcome).await;
                assert!(matches!(late, Err(JobError::LeaseLost | JobError::Stale)), "{late:?}");
            }
        }
    }
    lease_runs_out(app).await;
    app.settle().await;
    assert_eq!(
        app.count("SELECT count(*) FROM jobs WHERE state <> 'done' AND kind <> 'poll_stripe'").await,
        0,
        "{point:?}"
    );
}

/// Also that of a poll, which other time passes by.
async fn lease_runs_out(app: &TestApp) {
    app.pass_time().await;
    app.execute("UPDATE jobs SET leased_until = now() - interval '1 second' WHERE state = 'running'").await;
}

/// What money moved: its kind and how much.
fn moved(app: &TestApp) -> Vec<(String, i64)> {
    app.simulator.world.ledger().into_iter().map(|entry| (entry.kind, entry.amount)).collect()
}

fn id_of(thing: &Value) -> &str {
    thing["id"].as_str().unwrap_or_else(|| panic!("no id: {thing}"))
}

async fn payment(app: &TestApp, more: Value) -> String {
    app.make_stripe_customer().await;
    let id = app.create_payment(more).await;
    app.settle().await;
    id
}

/// The operation has succeeded.
fn assert_done(thing: &Value, status: &str, point: Point) {
    assert_eq!(
        (&thing["status"], &thing["last_operation"]["status"]),
        (&json!(status), &json!("succeeded")),
        "{point:?}"
    );
}

#[tokio::test]
async fn a_payment_is_created_once() {
    for point in POINTS {
        let app = TestApp::start().await;
        app.make_stripe_customer().await;
        let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
        cut_off::<CreatePayment>(&app, point).await;
        assert_eq!(app.payment(&id).await["status"], "succeeded", "{point:?}");
        assert_eq!(moved(&app), [("charge".to_owned(), 10_000)], "{point:?}");
    }
}

#[tokio::test]
async fn a_hold_is_captured_once() {
    for point in POINTS {
        let app = TestApp::start().await;
        let id = payment(&app, json!({ "payment_method": "pm_card_visa", "capture_method": "manual" })).await;
        app.accepted(Method::POST, &format!("/api/payments/{id}/capture"), json!({ "amount": 7_000 })).await;
        cut_off::<ChangePayment>(&app, point).await;
        assert_done(&app.payment(&id).await, "succeeded", point);
        assert_eq!(moved(&app), [("charge".to_owned(), 7_000)], "{point:?}");
    }
}

#[tokio::test]
async fn a_payment_is_canceled_and_never_called_failed() {
    for point in POINTS {
        let app = TestApp::start().await;
        let id = payment(&app, json!({})).await;
        app.accepted(Method::POST, &format!("/api/payments/{id}/cancel"), json!({})).await;
        cut_off::<ChangePayment>(&app, point).await;
        assert_done(&app.payment(&id).await, "canceled", point);
        assert_eq!(moved(&app), [], "{point:?}");
    }
}

#[tokio::test]
async fn a_refund_is_given_once() {
    for point in POINTS {
        let app = TestApp::start().await;
        let id = payment(&app, json!({ "payment_method": "pm_card_visa" })).await;
        app.accepted(Method::POST, "/api/refunds", json!({ "payment_id": id, "amount": 4_000 })).await;
        cut_off::<CreateRefund>(&app, point).await;
        assert_eq!(app.payment(&id).await["amount_refunded"], 4_000, "{point:?}");
        assert_eq!(moved(&app), [("charge".to_owned(), 10_000), ("refund".to_owned(), 4_000)], "{point:?}");
    }
}

#[tokio::test]
async fn a_subscription_is_begun_once() {
    for point in POINTS {
        let app = TestApp::start().await;
        let card = save_card(&app, "pm_card_visa").await;
        let made = app.accepted(
            Method::POST,
            "/api/subscriptions",
            crate::subscriptions::body(json!({ "payment_method": card })),
        );
        let id = id_of(&made.await).to_owned();
        cut_off::<CreateSubscription>(&app, point).await;
        assert_eq!(app.read(&format!("/api/subscriptions/{id}")).await["status"], "active", "{point:?}");
        assert_eq!(moved(&app), [("charge".to_owned(), 9_900)], "{point:?}");
    }
}

#[tokio::test]
async fn a_subscription_is_changed_and_ended() {
    for point in POINTS {
        let app = TestApp::start().await;
        let card = save_card(&app, "pm_card_visa").await;
        let id = subscribe(&app, json!({ "payment_method": card, "metadata": { "a": "1" } })).await;
        let path = format!("/api/subscriptions/{id}");
        app.accepted(Method::PATCH, &path, json!({ "amount": 12_900, "metadata": { "a": null, "b": "2" } })).await;
        cut_off::<ChangeSubscription>(&app, point).await;
        let changed = app.read(&path).await;
        assert_done(&changed, "active", point);
        assert_eq!((&changed["amount"], &changed["metadata"]), (&json!(12_900), &json!({ "b": "2" })), "{point:?}");

        app.accepted(Method::DELETE, &format!("{path}?immediate=true"), json!({})).await;
        cut_off::<ChangeSubscription>(&app, point).await;
        assert_done(&app.read(&path).await, "canceled", point);
    }
}

#[tokio::test]
async fn a_card_is_set_up_once_and_removed() {
    for point in POINTS {
        let app = TestApp::start().await;
        app.make_stripe_customer().await;
        app.accepted(Method::POST, "/api/customers/me/setup", json!({})).await;
        cut_off::<CreateSetup>(&app, point).await;
        assert_eq!(app.simulator.world.objects(simulator::Kind::SetupIntent).len(), 1, "{point:?}");

        let app = TestApp::start().await;
        let card = save_card(&app, "pm_card_visa").await;
        app.accepted(Method::DELETE, &format!("/api/customers/me/payment-methods/{card}"), json!({})).await;
        cut_off::<RemovePaymentMethod>(&app, point).await;
        assert_eq!(app.text("SELECT status FROM saved_payment_methods").await, "removed", "{point:?}");
    }
}

#[tokio::test]
async fn a_customer_is_changed() {
    for point in POINTS {
        let app = TestApp::start().await;
        app.make_stripe_customer().await;
        let patch = json!({ "name": "Anna A", "metadata": { "a": "1" } });
        app.call(Method::PATCH, "/api/customers/me", "anna", Some(patch)).await;
        cut_off::<UpdateCustomer>(&app, point).await;
        let customer = &app.simulator.world.objects(simulator::Kind::Customer)[0];
        assert_eq!((&customer["name"], &customer["metadata"]["a"]), (&json!("Anna A"), &json!("1")), "{point:?}");
    }
}

#[tokio::test]
async fn a_dispute_is_answered_or_accepted() {
    for point in POINTS {
        for (action, body, status) in [
            ("evidence", json!({ "evidence": { "uncategorized_text": "It was delivered." } }), "under_review"),
            ("accept", json!({}), "lost"),
        ] {
            let app = TestApp::start().await;
            let (_, dispute) = disputed(&app).await;
            let path = format!("/api/admin/disputes/{}/{action}", id_of(&dispute));
            app.call(Method::POST, &path, "root", Some(body)).await;
            cut_off::<ChangeDispute>(&app, point).await;
            assert_done(&app.read(&format!("/api/disputes/{}", id_of(&dispute))).await, status, point);
        }
    }
}

#[tokio::test]
async fn what_nothing_told_is_found_out_once() {
    for point in POINTS {
        let app = TestApp::start().await;
        let id = payment(&app, json!({})).await;
        app.fault("*", "webhook:lose", 1_000);
        app.confirm_in_browser(&app.payment(&id).await, "pm_card_visa").await;
        app.execute("UPDATE jobs SET run_at = now() WHERE kind = 'poll_stripe'").await;
        cut_off::<PollStripe>(&app, point).await;
        assert_eq!(app.payment(&id).await["status"], "succeeded", "{point:?}");
        assert_eq!(moved(&app), [("charge".to_owned(), 10_000)], "{point:?}");
        let told = app.timeline(&id).await.iter().filter(|step| step.contains(" succeeded ")).count();
        assert_eq!(told, 1, "{point:?}: {:?}", app.timeline(&id).await);
    }
}
