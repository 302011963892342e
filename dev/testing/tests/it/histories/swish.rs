//! What happens at Swish on such a day.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use reqwest::Method;
use serde_json::json;
use simulator::Order;
use testing::TestApp;

use super::Day;

const FAULTS: [&str; 9] = [
    "error_before:500",
    "error_after:500",
    "drop_before",
    "drop_after",
    "rate_limit",
    "gateway:404",
    "gateway:502",
    "garbage",
    "garbage_after",
];
const FAULTY: [&str; 5] =
    ["payments.create", "payments.retrieve", "payments.cancel", "refunds.create", "refunds.retrieve"];
/// Few numbers, so that some payers have a request open already.
const PAYERS: [&str; 12] = [
    "46700000001",
    "46700000002",
    "46700000003",
    "46700000004",
    "46700000005",
    "46700000006",
    "46700000007",
    "46700000008",
    "46700000009",
    "46700000010",
    "46700000011",
    "46700000012",
];

impl Day {
    pub(super) async fn swish_step(&mut self) {
        match self.random.random_range(0..86) {
            0..25 => self.create_swish().await,
            25..41 => self.payer_acts(),
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
            61..63 => self.refund_fails(),
            63..71 => {
                let (mode, operation) = (FAULTS.choose(&mut self.random), FAULTY.choose(&mut self.random));
                self.app.swish_fault(operation.expect("an operation"), mode.expect("a mode"), 1);
            }
            71..77 => {
                let modes = ["webhook:duplicate", "webhook:lose", "webhook:lose"];
                self.app.swish_fault("*", modes.choose(&mut self.random).expect("a mode"), 1);
            }
            77..81 => {
                if self.random.random() {
                    self.app.swish.world.hold_callbacks(true);
                } else {
                    let seed = u64::from(self.random.random::<u32>());
                    self.app.swish.world.release_callbacks(Order::Shuffled(seed));
                }
            }
            81..83 => {
                let again = self.app.swish.world.payments().choose(&mut self.random).map(|payment| payment.id.clone());
                if let Some(id) = again {
                    // One of which nothing was sent yet has nothing to send again.
                    let _ = self.app.swish.world.send_again(&id);
                }
            }
            _ => self.app.poll().await,
        }
    }

    async fn create_swish(&mut self) {
        let mut body = json!({ "amount": self.random.random_range(1..20_000) });
        if self.random.random() {
            body["swish"] = json!({ "payer_alias": PAYERS.choose(&mut self.random) });
        }
        let id = self.app.create_swish(body).await;
        self.payments.push(id);
    }

    /// Mostly they pay.
    fn payer_acts(&mut self) {
        let Some(id) = self.app.swish.world.payments().choose(&mut self.random).map(|payment| payment.id.clone())
        else {
            return;
        };
        let world = &self.app.swish.world;
        // One that has ended refuses.
        let _ = match self.random.random_range(0..20) {
            0..14 => world.pay(&id),
            14..16 => world.decline(&id),
            16..18 => world.fail(&id, "RF07", false),
            18 => world.fail(&id, "BANKIDCL", false),
            _ => world.fail(&id, "DS24", self.random.random()),
        };
    }

    fn refund_fails(&mut self) {
        let refunds = self.app.swish.world.refunds();
        if let Some(refund) = refunds.choose(&mut self.random) {
            let (code, moved) =
                if self.random.random_ratio(1, 4) { ("DS24", self.random.random()) } else { ("RF07", false) };
            let _ = self.app.swish.world.fail(&refund.id, code, moved);
        }
    }
}

/// Until Swish has carried out the refunds and told of them, or was asked.
pub(super) async fn rest(app: &TestApp) {
    testing::wait_until("Swish at rest", async || {
        app.settle().await;
        app.poll().await;
        let open = "SELECT count(*) FROM refunds WHERE provider = 'swish' AND outcome_unknown_since IS NULL
                      AND status IN ('pending', 'processing')";
        let unasked = "SELECT count(*) FROM jobs WHERE state = 'queued' AND kind NOT LIKE 'poll_%'";
        (app.count(open).await + app.count(unasked).await == 0).then_some(())
    })
    .await;
}

/// What must hold once all is at rest and no payer can act any more.
pub(super) async fn check(app: &TestApp) {
    let open =
        "SELECT count(*) FROM payments WHERE provider = 'swish' AND status NOT IN ('succeeded', 'failed', 'canceled')
                  AND NOT (status = 'processing' AND outcome_unknown_since IS NOT NULL)";
    assert_eq!(app.count(open).await, 0, "every payer has paid or not");
    // What Swish itself does not know is left out on both sides.
    let known =
        |rows: &str| format!("SELECT coalesce(jsonb_object_agg(id, amount), '{{}}')::text FROM ({rows}) AS rows");
    let read = async |rows: &str| -> BTreeMap<String, i64> {
        serde_json::from_str(&app.text(&known(rows)).await).expect("amounts")
    };
    let paid = read(
        "SELECT provider_payment_id AS id, amount_captured AS amount FROM payments
         WHERE provider = 'swish' AND status = 'succeeded'",
    )
    .await;
    let refunded =
        read("SELECT provider_refund_id AS id, amount FROM refunds WHERE provider = 'swish' AND status = 'succeeded'")
            .await;
    let unknown = read(
        "SELECT provider_payment_id AS id, amount FROM payments WHERE provider = 'swish' AND outcome_unknown_since IS NOT NULL
         UNION ALL SELECT provider_refund_id, amount FROM refunds
         WHERE provider = 'swish' AND outcome_unknown_since IS NOT NULL",
    )
    .await;
    let (mut charges, mut refunds): (BTreeMap<String, i64>, BTreeMap<String, i64>) = Default::default();
    for entry in app.swish.world.ledger() {
        let (sums, amount) = match entry.kind.as_str() {
            "charge" => (&mut charges, entry.amount),
            "refund" => (&mut refunds, entry.amount),
            "refund_failure" => (&mut refunds, -entry.amount),
            other => panic!("a new kind of entry: {other}"),
        };
        if !unknown.contains_key(&entry.id) {
            *sums.entry(entry.id).or_default() += amount;
        }
    }
    refunds.retain(|_, amount| *amount != 0);
    assert_eq!(paid, charges, "what we call paid and what moved");
    assert_eq!(refunded, refunds, "what we call refunded and what moved");
}
