//! What happens at Stripe on such a day.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use reqwest::Method;
use serde_json::{Value, json};
use simulator::Kind;
use testing::TestApp;

use super::Day;

const CARDS: [&str; 8] = [
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_mastercard",
    "pm_card_chargeDeclined",
    "pm_card_authenticationRequired",
    "pm_card_refundFail",
    "pm_card_pendingRefund",
    "pm_card_createDispute",
];
const FAULTS: [&str; 7] =
    ["error_before:500", "error_after:500", "drop_before", "drop_after", "rate_limit", "gateway:404", "gateway:502"];
const FAULTY: [&str; 9] = [
    "payment_intents.create",
    "payment_intents.capture",
    "payment_intents.cancel",
    "payment_intents.retrieve",
    "refunds.create",
    "refunds.retrieve",
    "disputes.retrieve",
    "subscriptions.create",
    "subscriptions.update",
];

impl Day {
    fn object(&mut self, kind: Kind) -> Option<Value> {
        self.app.simulator.world.objects(kind).choose(&mut self.random).cloned()
    }

    pub(super) async fn stripe_step(&mut self) {
        match self.random.random_range(0..86) {
            0..25 => self.create_payment().await,
            25..33 => {
                if let Some(id) = self.payment() {
                    let payment = self.app.payment(&id).await;
                    if payment["client_secret"].is_string() {
                        let card = *CARDS.choose(&mut self.random).expect("a card");
                        self.app.confirm_in_browser(&payment, card).await;
                    }
                }
            }
            33..41 => {
                if let Some(id) = self.payment() {
                    let amount = self.random.random_range(300..12_000);
                    let body = if self.random.random() { json!({}) } else { json!({ "amount": amount }) };
                    self.ask(Method::POST, &format!("/api/payments/{id}/capture"), body).await;
                }
            }
            41..46 => {
                if let Some(id) = self.payment() {
                    self.ask(Method::POST, &format!("/api/payments/{id}/cancel"), json!({})).await;
                }
            }
            46..61 => {
                if let Some(id) = self.payment() {
                    let amount = self.random.random_range(1..6_000);
                    self.ask(Method::POST, "/api/refunds", json!({ "payment_id": id, "amount": amount })).await;
                }
            }
            61..65 => self.somewhere_else().await,
            65..68 => self.subscribe().await,
            68..71 => self.change_subscription().await,
            71..78 => {
                let (mode, operation) = (FAULTS.choose(&mut self.random), FAULTY.choose(&mut self.random));
                self.app.fault(operation.expect("an operation"), mode.expect("a mode"), 1);
            }
            78..82 => {
                let mode = ["webhook:duplicate", "webhook:twin"].choose(&mut self.random).expect("a mode");
                self.app.fault("*", mode, 1);
            }
            _ => {
                let hold = self.random.random::<bool>();
                let seed = self.random.random::<u32>();
                self.app.control("webhooks", json!({ "hold": hold, "order": "shuffled", "seed": seed })).await;
            }
        }
    }

    async fn create_payment(&mut self) {
        let mut body = json!({ "amount": self.random.random_range(300..20_000) });
        if self.random.random_ratio(3, 4) {
            body["payment_method"] = json!(CARDS.choose(&mut self.random));
            body["return_url"] = json!("https://shop.example");
        }
        if self.random.random_ratio(1, 3) {
            body["capture_method"] = json!("manual");
        }
        let id = self.app.create_payment(body).await;
        self.payments.push(id);
    }

    /// What is done at Stripe's own pages, by banks and by payers.
    async fn somewhere_else(&mut self) {
        let (path, body) = match self.random.random_range(0..4) {
            0 => {
                let Some(intent) = self.object(Kind::PaymentIntent) else { return };
                let amount = self.random.random_range(1..3_000);
                ("refund".to_owned(), json!({ "payment_intent": intent["id"], "amount": amount }))
            }
            1 => {
                let Some(refund) = self.object(Kind::Refund) else { return };
                let what = if self.random.random() { "fail" } else { "succeed" };
                (format!("refunds/{}/{what}", refund["id"].as_str().unwrap_or_default()), json!({}))
            }
            2 => {
                let Some(dispute) = self.object(Kind::Dispute) else { return };
                let result = if self.random.random() { "won" } else { "lost" };
                (format!("disputes/{}/close", dispute["id"].as_str().unwrap_or_default()), json!({ "result": result }))
            }
            _ => {
                let Some(intent) = self.object(Kind::PaymentIntent) else { return };
                let result = if self.random.random() { "success" } else { "failure" };
                let id = intent["id"].as_str().unwrap_or_default();
                (format!("payment_intents/{id}/authenticate"), json!({ "result": result }))
            }
        };
        self.app.try_control(&path, body).await;
    }

    async fn subscribe(&mut self) {
        let body = json!({
            "provider": "stripe", "amount": self.random.random_range(300..20_000), "currency": "sek",
            "interval": "month", "product_name": format!("Plan {}", self.random.random_range(0..3)),
        });
        let made = self.app.accepted(Method::POST, "/api/subscriptions", body).await;
        self.subscriptions.push(made["id"].as_str().expect("an id").to_owned());
    }

    async fn change_subscription(&mut self) {
        let Some(id) = self.subscriptions.choose(&mut self.random).cloned() else { return };
        let path = format!("/api/subscriptions/{id}");
        let amount = self.random.random_range(300..9_000);
        match self.random.random_range(0..4) {
            0 => self.ask(Method::DELETE, &format!("{path}?immediate=true"), json!({})).await,
            1 => self.ask(Method::PATCH, &path, json!({ "amount": amount })).await,
            2 => self.ask(Method::DELETE, &path, json!({})).await,
            _ => {
                let subscription = self.app.read(&path).await;
                if subscription["client_secret"].is_string() {
                    self.app.confirm_in_browser(&subscription, "pm_card_visa").await;
                }
            }
        }
    }
}

/// What the ledger says of each PaymentIntent: captured, refunded, disputed.
fn ledger(app: &TestApp) -> BTreeMap<String, [i64; 3]> {
    let mut sums: BTreeMap<String, [i64; 3]> = BTreeMap::new();
    for entry in app.simulator.world.ledger() {
        let sum = sums.entry(entry.payment_intent.clone()).or_default();
        match entry.kind.as_str() {
            "charge" => sum[0] += entry.amount,
            "refund" => sum[1] += entry.amount,
            "refund_failure" => sum[1] -= entry.amount,
            "dispute" => sum[2] += entry.amount,
            "dispute_reversal" => sum[2] -= entry.amount,
            other => panic!("a new kind of entry: {other}"),
        }
    }
    sums
}

/// A failure that Stripe has stored under the key, and no refund to be found: nobody may say what became of it. Its
/// amount stays set aside, and its job is dead for a person to see.
pub(super) const UNKNOWN_REFUNDS: &str = "SELECT id FROM refunds WHERE provider = 'stripe'
     AND status = 'pending' AND outcome_unknown_since IS NOT NULL";

/// What must hold once all is at rest.
pub(super) async fn check(app: &TestApp) {
    let ours = app
        .text(&format!(
            "SELECT coalesce(jsonb_object_agg(provider_payment_id, jsonb_build_array(
                 amount_captured, amount_refunded - unknown, amount_disputed)), '{{}}')::text
             FROM payments, LATERAL (SELECT coalesce(sum(amount), 0) AS unknown FROM refunds
                 WHERE payment_id = payments.id AND id IN ({UNKNOWN_REFUNDS})) AS aside
             WHERE provider = 'stripe' AND amount_captured + amount_refunded + amount_disputed > 0"
        ))
        .await;
    let ours: BTreeMap<String, [i64; 3]> = serde_json::from_str(&ours).expect("sums");
    assert_eq!(ours, ledger(app), "our sums and Stripe's ledger");
    for subscription in app.simulator.world.objects(Kind::Subscription) {
        let id = subscription["id"].as_str().expect("an id");
        let ours = format!("SELECT status FROM subscriptions WHERE provider_subscription_id = '{id}'");
        assert_eq!(app.text(&ours).await, subscription["status"].as_str().expect("a status"), "{id}");
    }
}
