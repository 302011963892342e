//! Refunds.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::swish::{Payment, Status};

use super::{Answer, IDENTIFIER, Merchant, PAYEE, PAYER, changed, moves, uuid};

impl Merchant {
    fn refund_of(&self, payment: &Payment, changes: &Value) -> Value {
        let body = json!({
            "originalPaymentReference": payment.payment_reference,
            "callbackUrl": self.inbox.url,
            "callbackIdentifier": IDENTIFIER,
            "payerAlias": PAYEE,
            "payeeAlias": PAYER,
            "amount": "40.00",
            "currency": "SEK",
            "payerPaymentReference": "refund-1",
            "message": "Sorry",
        });
        changed(body, changes)
    }

    async fn try_refund(&self, payment: &Payment, changes: &Value) -> (String, Answer) {
        let id = uuid();
        let answer = self.put(&format!("v2/refunds/{id}"), self.refund_of(payment, changes)).await;
        (id, answer)
    }

    async fn refund_with(&self, payment: &Payment, changes: Value) -> String {
        let (id, answer) = self.try_refund(payment, &changes).await;
        assert_eq!((answer.status, answer.text.as_str()), (201, ""), "{answer:?}");
        assert_eq!(answer.header("location"), format!("{}v1/refunds/{id}", self.swish.url()));
        id
    }

    async fn refund_refused(&self, payment: &Payment, changes: Value) -> (u16, String) {
        let (_, answer) = self.try_refund(payment, &changes).await;
        (answer.status, answer.codes().join(" "))
    }
}

#[tokio::test]
async fn a_refund_is_debited_and_then_paid() {
    let merchant = Merchant::open_slowly().await;
    let payment = merchant.paid().await;
    let id = merchant.refund_with(&payment, json!({})).await;
    let path = format!("v1/refunds/{id}");
    let answer = merchant.get(&path).await;
    assert!(answer.text.contains("\"amount\":40.00,"), "{}", answer.text);
    let object = answer.json();
    assert_eq!((&object["status"], &object["paymentReference"]), (&json!("CREATED"), &Value::Null));
    assert_eq!(object["originalPaymentReference"].as_str(), payment.payment_reference.as_deref());
    assert_eq!((&object["payerAlias"], &object["payeeAlias"]), (&json!(PAYEE), &json!(PAYER)));
    assert_eq!(merchant.moved(), moves(&[("charge", 10_000)]));
    merchant.world().advance(Duration::from_secs(1_000));
    let object = merchant.get(&path).await.json();
    assert_eq!((&object["status"], &object["datePaid"]), (&json!("DEBITED"), &Value::Null));
    assert_eq!(merchant.moved(), moves(&[("charge", 10_000), ("refund", 4_000)]));
    merchant.world().advance(Duration::from_secs(1_000));
    let object = merchant.get(&path).await.json();
    assert_eq!(object["status"], "PAID");
    assert_eq!(object["paymentReference"].as_str().unwrap().len(), 32);
    let ledger = merchant.world().ledger();
    assert_eq!(
        (ledger[1].payment.as_str(), ledger[1].id.as_str(), ledger[1].status),
        (payment.id.as_str(), id.as_str(), Status::Paid)
    );
    merchant.settle().await;
    assert_eq!(merchant.inbox.statuses(), ["PAID", "DEBITED", "PAID"]);
    assert_eq!(merchant.inbox.came()[2].body["id"], id.as_str());
}

#[tokio::test]
async fn no_more_is_refunded_than_was_paid() {
    let merchant = Merchant::open_slowly().await;
    let payment = merchant.paid().await;
    merchant.refund_with(&payment, json!({})).await;
    let (_, answer) = merchant.try_refund(&payment, &json!({ "amount": "60.01" })).await;
    assert_eq!(answer.refusal(), (422, vec!["RF08".to_owned()]));
    assert_eq!(answer.json()[0]["additionalInformation"], "60.00");
    let failed = merchant.refund_with(&payment, json!({ "amount": "60.00" })).await;
    assert_eq!(merchant.refund_refused(&payment, json!({ "amount": "0.01" })).await, (422, "RF08".to_owned()));
    merchant.world().fail(&failed, "RF07", false).unwrap();
    let object = merchant.get(&format!("v1/refunds/{failed}")).await.json();
    assert_eq!((&object["status"], &object["errorCode"]), (&json!("ERROR"), &json!("RF07")));
    let last = merchant.refund_with(&payment, json!({ "amount": "60.00" })).await;
    let path = format!("v2/refunds/{last}");
    let again = merchant.put(&path, merchant.refund_of(&payment, &json!({}))).await;
    assert_eq!(again.refusal(), (422, vec!["RP09".to_owned()]));
    assert_eq!(merchant.world().pay(&last), Ok(Status::Paid));
    assert_eq!(merchant.moved(), moves(&[("charge", 10_000), ("refund", 6_000)]));
}

#[tokio::test]
async fn a_refund_must_fit_its_payment() {
    let merchant = Merchant::open_slowly().await;
    let open = merchant.ask(json!({})).await;
    let refusals = |payment: Payment, changes: Value| {
        let merchant = &merchant;
        async move { merchant.refund_refused(&payment, changes).await }
    };
    let unpaid = Payment { payment_reference: Some("0".repeat(32)), ..merchant.payment(&open) };
    assert_eq!(refusals(unpaid, json!({})).await, (422, "RF02".to_owned()));
    merchant.world().pay(&open).unwrap();
    let payment = merchant.payment(&open);
    let expected = [
        (json!({ "originalPaymentReference": null }), 422, "RF02"),
        (json!({ "originalPaymentReference": payment.id }), 422, "RF02"),
        (json!({ "payeeAlias": "46700000000" }), 422, "BE18"),
        (json!({ "payeeAlias": "0" }), 422, "BE18"),
        (json!({ "payerAlias": null }), 422, "RP01"),
        (json!({ "payerAlias": PAYER }), 403, "PA01"),
        (json!({ "payerPaymentReference": "" }), 422, "FF08"),
        (json!({ "callbackUrl": "http://shop.example" }), 422, "RP03"),
        (json!({ "amount": "1,5" }), 422, "PA02"),
        (json!({ "amount": "0" }), 422, "AM06"),
        (json!({ "currency": "NOK" }), 422, "AM03"),
        (json!({ "message": "a-b" }), 422, "RP02"),
        (json!({ "message": "RF03" }), 422, "RF03"),
        (json!({ "message": "ACMT07" }), 422, "ACMT07"),
        (json!({ "amount": "100.01" }), 422, "RF08"),
    ];
    for (changes, status, code) in expected {
        assert_eq!(refusals(payment.clone(), changes.clone()).await, (status, code.to_owned()), "{changes}");
    }
    let (_, answer) = merchant.try_refund(&payment, &json!({ "payerSSN": "199001012385" })).await;
    assert_eq!(answer.status, 400, "not a field of a refund");
    let day = Duration::from_secs(86_400);
    merchant.world().advance(day * 390);
    let id = merchant.refund_with(&payment, json!({})).await;
    merchant.world().advance(day * 10);
    assert_eq!(refusals(payment, json!({})).await, (422, "RF02".to_owned()), "13 months are over");
    assert_eq!(merchant.refund(&id).status, Status::Paid);
}

#[tokio::test]
async fn a_refund_can_fail_at_every_point() {
    let merchant = Merchant::open_slowly().await;
    let payment = merchant.paid().await;
    let by_message = merchant.refund_with(&payment, json!({ "message": "BANKIDCL" })).await;
    merchant.world().advance(Duration::from_secs(2_000));
    let refund = merchant.refund(&by_message);
    assert_eq!((refund.status, refund.error_code.as_deref()), (Status::Error, Some("BANKIDCL")));
    assert_eq!(merchant.moved(), moves(&[("charge", 10_000)]));

    let debited = merchant.refund_with(&payment, json!({})).await;
    merchant.world().advance(Duration::from_secs(1_000));
    merchant.world().fail(&debited, "RF07", false).unwrap();
    assert_eq!(merchant.refund(&debited).payment_reference, None);
    assert_eq!(merchant.moved()[1..], moves(&[("refund", 4_000), ("refund_failure", 4_000)]));
    assert!(merchant.world().fail(&debited, "RF07", false).is_err() && merchant.world().pay(&debited).is_err());

    let unknown = merchant.refund_with(&payment, json!({})).await;
    merchant.world().fail(&unknown, "DS24", true).unwrap();
    let object = merchant.get(&format!("v1/refunds/{unknown}")).await.json();
    assert_eq!((&object["status"], &object["errorCode"]), (&json!("ERROR"), &json!("DS24")));
    assert_eq!(merchant.moved()[3..], moves(&[("refund", 4_000)]));
    assert_eq!(merchant.refund_refused(&payment, json!({ "amount": "60.01" })).await, (422, "RF08".to_owned()));
    assert!(merchant.world().decline(&unknown).is_err(), "nobody is asked");
}

#[tokio::test]
async fn a_payment_that_moved_unknown_to_swish_can_be_refunded() {
    let merchant = Merchant::open().await;
    let id = merchant.ask(json!({})).await;
    merchant.world().fail(&id, "DS24", true).unwrap();
    let refund = merchant.refund_with(&merchant.payment(&id), json!({ "amount": "100.00" })).await;
    merchant.until_status(&refund, Status::Paid).await;
    assert_eq!(merchant.moved(), moves(&[("charge", 10_000), ("refund", 10_000)]));
}
