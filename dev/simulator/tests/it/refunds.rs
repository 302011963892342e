//! Refunds: sums, and those that end otherwise than they began.

use serde_json::json;
use simulator::Kind;

use crate::{Shop, hours, id, moves};

#[tokio::test]
async fn no_more_is_refunded_than_was_paid() {
    let shop = Shop::open().await;
    let intent = id(&shop.pay("10000", "pm_card_visa").await);
    let refund = |amount: &'static str| [("payment_intent", intent.as_str()), ("amount", amount)];
    shop.make("/refunds", &[&refund("4000")[..], &[("metadata[a]", "b"), ("reason", "duplicate")]].concat()).await;
    let too_large = (400, "amount_too_large".to_owned(), "amount".to_owned());
    assert_eq!(shop.refusal("/refunds", &refund("6001")).await, too_large);
    assert_eq!(shop.refusal("/refunds", &refund("0")).await.1, "parameter_invalid_integer");
    let rest = shop.make("/refunds", &[("payment_intent", &intent)]).await;
    assert_eq!(rest["amount"], 6_000);
    assert_eq!(shop.refusal("/refunds", &refund("1")).await.1, "charge_already_refunded");
    assert_eq!(shop.moved(), moves(&[("charge", 10_000), ("refund", 4_000), ("refund", 6_000)]));
    assert_eq!(shop.world().ledger()[1].metadata["a"], "b");
    let (_, charges) = shop.get(&format!("/charges?payment_intent={intent}")).await;
    assert_eq!(
        (&charges["data"][0]["amount_refunded"], &charges["data"][0]["refunded"]),
        (&json!(10_000), &json!(true))
    );
    assert_eq!((shop.events("charge.refunded"), shop.events("refund.created")), (2, 2));
    let (_, list) = shop.get(&format!("/refunds?payment_intent={intent}&limit=1")).await;
    assert_eq!((&list["data"][0]["id"], &list["has_more"]), (&rest["id"], &json!(true)));
}

#[tokio::test]
async fn a_refund_that_fails_later_can_be_made_again() {
    let shop = Shop::open().await;
    let intent = id(&shop.pay("10000", "pm_card_refundFail").await);
    let refund = shop.make("/refunds", &[("payment_intent", &intent)]).await;
    assert_eq!(refund["status"], "succeeded");
    assert_eq!(shop.refusal("/refunds", &[("payment_intent", &intent)]).await.1, "charge_already_refunded");
    shop.world().advance(hours(2));
    let failed = shop.object(Kind::Refund, &id(&refund));
    assert_eq!((&failed["status"], &failed["failure_reason"]), (&json!("failed"), &json!("expired_or_canceled_card")));
    assert_eq!((shop.events("refund.failed"), shop.events("charge.refund.updated")), (1, 1));
    shop.make("/refunds", &[("payment_intent", &intent), ("amount", "10000")]).await;
    let expected = [("charge", 10_000), ("refund", 10_000), ("refund_failure", 10_000), ("refund", 10_000)];
    assert_eq!(shop.moved(), moves(&expected));
    assert_eq!(shop.world().ledger()[1].status, "failed");
}

#[tokio::test]
async fn a_pending_refund_counts_from_the_start() {
    let shop = Shop::open().await;
    let intent = id(&shop.pay("10000", "pm_card_pendingRefund").await);
    let refund = id(&shop.make("/refunds", &[("payment_intent", &intent), ("amount", "7000")]).await);
    assert_eq!(shop.object(Kind::Refund, &refund)["status"], "pending");
    assert_eq!(
        shop.refusal("/refunds", &[("payment_intent", &intent), ("amount", "3001")]).await.1,
        "amount_too_large"
    );
    assert_eq!(shop.refusal(&format!("/refunds/{refund}/cancel"), &[]).await.0, 400);
    shop.world().advance(hours(2));
    assert_eq!(shop.object(Kind::Refund, &refund)["status"], "succeeded");
    let (status, _) = shop.control(&format!("/refunds/{refund}/fail"), &json!({ "failure_reason": "declined" })).await;
    assert_eq!(status, 200);
    assert_eq!(shop.object(Kind::Refund, &refund)["failure_reason"], "declined");
    let (_, events) = shop.get("/events?type=refund.updated").await;
    assert_eq!(events["data"][1]["data"]["previous_attributes"], json!({ "status": "pending" }));
}

#[tokio::test]
async fn a_refund_that_waits_for_the_payer_can_be_canceled() {
    let shop = Shop::open().await;
    let intent = id(&shop.pay("10000", "pm_simulated_refund_requires_action").await);
    let refund = shop.make("/refunds", &[("payment_intent", &intent)]).await;
    assert_eq!((refund["status"].as_str(), shop.events("charge.refunded")), (Some("requires_action"), 0));
    shop.make(&format!("/refunds/{}/cancel", id(&refund)), &[]).await;
    let (status, dashboard) = shop.control("/refund", &json!({ "payment_intent": intent, "amount": 500 })).await;
    assert_eq!((status, &dashboard["metadata"]), (200, &json!({})));
    let (_, charges) = shop.get("/charges").await;
    assert_eq!(charges["data"][0]["amount_refunded"], 500);
}

#[tokio::test]
async fn the_last_of_three_decimals_is_zero() {
    let shop = Shop::open().await;
    let form = [("amount", "10000"), ("currency", "kwd"), ("payment_method", "pm_card_visa"), ("confirm", "true")];
    let intent =
        id(&shop.make("/payment_intents", &[&form[..], &[("return_url", "https://a.example")]].concat()).await);
    assert_eq!(shop.refusal("/refunds", &[("payment_intent", &intent), ("amount", "1001")]).await.2, "amount");
    shop.make("/refunds", &[("payment_intent", &intent), ("amount", "1010")]).await;
}
