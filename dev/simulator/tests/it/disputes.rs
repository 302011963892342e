//! Disputes: whose the money is, and what may still be done.

use serde_json::json;
use simulator::Kind;

use crate::{Shop, days, id, moves};

#[tokio::test]
async fn a_dispute_takes_the_money_and_a_won_one_gives_it_back() {
    let shop = Shop::open().await;
    let intent = id(&shop.pay("10000", "pm_card_createDispute").await);
    let (_, list) = shop.get(&format!("/disputes?payment_intent={intent}")).await;
    let dispute = list["data"][0].clone();
    assert_eq!(
        (&dispute["status"], &dispute["balance_transactions"][0]["amount"]),
        (&json!("needs_response"), &json!(-10_000))
    );
    assert_eq!(shop.refusal("/refunds", &[("payment_intent", &intent)]).await.1, "charge_disputed");
    let path = format!("/disputes/{}", id(&dispute));
    let staged = shop.make(&path, &[("evidence[customer_name]", "Ann"), ("submit", "false")]).await;
    assert_eq!(
        (&staged["status"], &staged["evidence_details"]["has_evidence"]),
        (&json!("needs_response"), &json!(true))
    );
    let sent = shop.make(&path, &[("evidence[receipt]", "file_1"), ("submit", "true")]).await;
    assert_eq!((&sent["status"], &sent["evidence"]["customer_name"]), (&json!("under_review"), &json!("Ann")));
    assert_eq!(shop.refusal(&path, &[("evidence[receipt]", "file_2"), ("submit", "true")]).await.0, 400);
    shop.make(&path, &[("metadata[a]", "b")]).await;
    let (_, won) = shop.control(&format!("{path}/close"), &json!({ "result": "won" })).await;
    assert_eq!(
        (&won["status"], &won["balance_transactions"][1]["reporting_category"]),
        (&json!("won"), &json!("dispute_reversal"))
    );
    assert_eq!(shop.moved(), moves(&[("charge", 10_000), ("dispute", 10_000), ("dispute_reversal", 10_000)]));
    for event in ["created", "funds_withdrawn", "closed", "funds_reinstated"] {
        assert_eq!(shop.events(&format!("charge.dispute.{event}")), 1, "{event}");
    }
    assert_eq!(shop.events("charge.dispute.updated"), 3);
    shop.make("/refunds", &[("payment_intent", &intent)]).await;
    assert_eq!(shop.refusal(&format!("{path}/close"), &[]).await.0, 400, "it is closed");
}

#[tokio::test]
async fn an_inquiry_moves_nothing_until_it_is_escalated() {
    let shop = Shop::open().await;
    let intent = id(&shop.pay("10000", "pm_card_visa").await);
    let body = json!({ "reason": "duplicate", "amount": 4000, "status": "warning_needs_response" });
    let (_, inquiry) = shop.control(&format!("/payment_intents/{intent}/dispute"), &body).await;
    assert_eq!((&inquiry["is_charge_refundable"], shop.moved().len()), (&json!(true), 1));
    shop.make("/refunds", &[("payment_intent", &intent), ("amount", "1000")]).await;
    shop.world().escalate_dispute(&id(&inquiry)).unwrap();
    assert_eq!(shop.moved()[2..], moves(&[("dispute", 4_000)]));
    assert_eq!(shop.refusal("/refunds", &[("payment_intent", &intent)]).await.1, "charge_disputed");
    assert!(shop.world().dispute_payment_intent(&intent, None, None, None).is_err(), "once is enough");
}

#[tokio::test]
async fn who_gives_in_or_says_nothing_loses() {
    let shop = Shop::open().await;
    let mut disputes = Vec::new();
    for _ in 0..2 {
        let intent = id(&shop.pay("10000", "pm_card_visa").await);
        disputes.push(id(&shop.world().dispute_payment_intent(&intent, None, None, None).unwrap()));
    }
    let closed = shop.make(&format!("/disputes/{}/close", disputes[0]), &[]).await;
    assert_eq!(closed["status"], "lost");
    shop.world().advance(days(15));
    let late = shop.object(Kind::Dispute, &disputes[1]);
    assert_eq!((&late["status"], &late["evidence_details"]["past_due"]), (&json!("lost"), &json!(true)));
    assert_eq!(shop.events("charge.dispute.closed"), 2);
}
