//! What every provider must hold, by the same code for each.

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::StatusCode;
use sea_orm::TransactionTrait as _;
use serde_json::{Value, json};
use testing::TestApp;
use testing::swish::swish_body;
use worker::jobs::create_payment::CreatePayment;
use worker::runner::{Job as _, prepare, record};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Provider {
    Stripe,
    Swish,
}

const ALL: [Provider; 2] = [Provider::Stripe, Provider::Swish];

impl Provider {
    async fn app(self) -> TestApp {
        let app = TestApp::start().await;
        if self == Self::Stripe {
            app.make_stripe_customer().await;
        }
        app
    }

    /// Accepted, and not sent yet. `pays`: whether the payer will approve.
    async fn create(self, app: &TestApp, pays: bool) -> String {
        static PAYERS: AtomicU64 = AtomicU64::new(46_700_000_000);
        match self {
            Self::Stripe => {
                let card = if pays { "pm_card_visa" } else { "pm_card_chargeDeclined" };
                app.create_payment(json!({ "payment_method": card })).await
            }
            Self::Swish => {
                let payer = PAYERS.fetch_add(1, Ordering::Relaxed).to_string();
                app.create_swish(json!({ "swish": { "payer_alias": payer } })).await
            }
        }
    }

    /// Sends it, lets the payer act, and waits for what comes.
    async fn run(self, app: &TestApp, id: &str, pays: bool) -> Value {
        app.settle().await;
        if self == Self::Swish && app.payment(id).await["status"] == "requires_action" {
            let instruction = app.instruction(id).await;
            let done = if pays { app.swish.world.pay(&instruction) } else { app.swish.world.decline(&instruction) };
            done.expect("the payer acts");
            app.settle().await;
            app.poll().await;
        }
        app.payment(id).await
    }

    fn fault(self, app: &TestApp, mode: &str) {
        match self {
            Self::Stripe => app.fault("payment_intents.create", mode, 1),
            Self::Swish => app.swish_fault("payments.create", mode, 1),
        }
    }

    fn notifications(self, app: &TestApp, mode: &str) {
        match self {
            Self::Stripe => app.fault("*", mode, 10),
            Self::Swish => app.swish_fault("*", mode, 10),
        }
    }

    /// How much money moved, each time that it did.
    fn charges(self, app: &TestApp) -> Vec<i64> {
        match self {
            Self::Stripe => app.simulator.world.ledger().iter().map(|entry| entry.amount).collect(),
            Self::Swish => app.swish.world.ledger().iter().map(|entry| entry.amount).collect(),
        }
    }

    /// A notification that says *paid* and is not the provider's.
    async fn forge(self, app: &TestApp, id: &str) -> StatusCode {
        let provider_id = app.payment(id).await["provider_payment_id"].as_str().unwrap_or("pi_x").to_owned();
        match self {
            Self::Stripe => {
                let intent = json!({ "id": provider_id, "object": "payment_intent", "status": "succeeded" });
                let event = json!({
                    "id": "evt_forged", "object": "event", "type": "payment_intent.succeeded", "data": { "object": intent },
                });
                let headers =
                    [("content-type", "application/json".to_owned()), ("stripe-signature", "t=1,v1=00".to_owned())];
                let body = event.to_string().into_bytes();
                app.raw(reqwest::Method::POST, "/api/webhooks/stripe", &headers, body).await.status
            }
            Self::Swish => {
                let body = json!({ "id": provider_id, "status": "PAID", "amount": 100.0 });
                app.send_callback(&body, &"0".repeat(32)).await.status
            }
        }
    }
}

fn assert_paid_once(provider: Provider, app: &TestApp, payment: &Value, what: &str) {
    assert_eq!(payment["status"], "succeeded", "{provider:?} {what}: {payment}");
    assert_eq!((&payment["amount_captured"], &payment["outcome_unknown_since"]), (&json!(10_000), &Value::Null));
    assert_eq!(provider.charges(app), [10_000], "{provider:?} {what}");
}

#[tokio::test]
async fn a_charge_and_a_decline() {
    for provider in ALL {
        let app = provider.app().await;
        let id = provider.create(&app, true).await;
        let paid = provider.run(&app, &id, true).await;
        assert_paid_once(provider, &app, &paid, "charge");

        let app = provider.app().await;
        let id = provider.create(&app, false).await;
        let declined = provider.run(&app, &id, false).await;
        assert_eq!(declined["status"], "failed", "{provider:?}: {declined}");
        assert!(declined["failure"]["code"].is_string(), "{declined}");
        assert_eq!(provider.charges(&app), [] as [i64; 0]);
    }
}

#[tokio::test]
async fn the_same_attempt_sent_twice_is_one_charge() {
    for provider in ALL {
        let app = provider.app().await;
        let id = provider.create(&app, true).await;
        let txn = app.db.begin().await.expect("a transaction");
        let lease = app.lease_only_job(&txn).await;
        let prepared = prepare::<CreatePayment>(&app.context, txn, &lease).await.expect("prepared").expect("work");
        CreatePayment::call(&app.context, &prepared).await;
        let second = CreatePayment::call(&app.context, &prepared).await;
        record::<CreatePayment>(&app.context, &lease, prepared, second).await.expect("recorded");
        let paid = provider.run(&app, &id, true).await;
        assert_paid_once(provider, &app, &paid, "twice");
        assert_eq!(app.count("SELECT count(*) FROM attempts").await, 1);
    }
}

#[tokio::test]
async fn every_fault_of_the_call_ends_in_one_charge_and_no_false_word() {
    for provider in ALL {
        for mode in [
            "error_before:500",
            "error_after:500",
            "error_before:503",
            "drop_before",
            "drop_after",
            "rate_limit",
            "gateway:404",
            "gateway:502",
            "garbage",
            "garbage_after",
            // Longer than the client waits.
            "delay_ms:2500",
        ] {
            for notifications in ["arrive", "webhook:lose"] {
                let app = provider.app().await;
                if notifications == "webhook:lose" {
                    provider.notifications(&app, notifications);
                }
                provider.fault(&app, mode);
                let id = provider.create(&app, true).await;
                app.run_jobs().await;
                let meanwhile = app.payment(&id).await;
                assert_ne!(meanwhile["status"], "failed", "{provider:?} {mode}: unknown is not failed");
                let paid = provider.run(&app, &id, true).await;
                assert_paid_once(provider, &app, &paid, &format!("{mode}, notifications {notifications}"));
                assert_eq!(
                    app.count("SELECT count(*) FROM jobs WHERE state <> 'done'").await,
                    0,
                    "{provider:?} {mode}"
                );
            }
        }
    }
}

#[tokio::test]
async fn notifications_that_come_twice_late_or_in_another_order_change_nothing() {
    for provider in ALL {
        for mode in ["webhook:duplicate", "webhook:delay", "webhook:reorder"] {
            let app = provider.app().await;
            provider.notifications(&app, mode);
            let id = provider.create(&app, true).await;
            let paid = provider.run(&app, &id, true).await;
            assert_paid_once(provider, &app, &paid, mode);
        }
    }
}

#[tokio::test]
async fn a_forged_notification_is_refused_and_counted_and_changes_nothing() {
    for provider in ALL {
        let app = provider.app().await;
        let id = match provider {
            // Open, so that there is something to lie about.
            Provider::Stripe => app.create_payment(json!({})).await,
            Provider::Swish => provider.create(&app, true).await,
        };
        app.settle().await;
        let before = app.payment(&id).await;
        assert_eq!(before["status"], "requires_action");
        let stored = app.count("SELECT count(*) FROM provider_events").await;
        assert_eq!(provider.forge(&app, &id).await, StatusCode::BAD_REQUEST, "{provider:?}");
        app.settle().await;
        assert_eq!(app.payment(&id).await, before);
        assert_eq!(app.count("SELECT count(*) FROM provider_events").await, stored);
        let metrics = app.raw(reqwest::Method::GET, "/metrics", &[], Vec::new()).await.text;
        let name = format!("{provider:?}").to_lowercase();
        let line = format!(
            "payment_service_webhooks_received_total{{event_type=\"other\",provider=\"{name}\",result=\"refused\"}} 1"
        );
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test]
async fn a_genuine_callback_is_only_a_reason_to_ask() {
    let app = TestApp::start().await;
    let id = app.create_swish(swish_body(json!({}))).await;
    app.settle().await;
    let instruction = app.instruction(&id).await;
    // With the right identifier, as somebody could who had seen one; and of a payment that nobody has paid.
    let identifier =
        shared::providers::swish::callback::identifier(&testing::swish::CALLBACK_SECRET.into(), &instruction);
    let answer = app.send_callback(&json!({ "id": instruction, "status": "PAID", "amount": 100.0 }), &identifier).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "requires_action");
    // One that comes before we know that it is ours is kept for when we do.
    let early = "0123456789ABCDEF0123456789ABCDEF";
    let identifier = shared::providers::swish::callback::identifier(&testing::swish::CALLBACK_SECRET.into(), early);
    assert_eq!(app.send_callback(&json!({ "id": early, "status": "PAID" }), &identifier).await.status, StatusCode::OK);
    app.settle().await;
    assert_eq!(app.text(&format!("SELECT outcome FROM provider_events WHERE object_id = '{early}'")).await, "ignored");
}
