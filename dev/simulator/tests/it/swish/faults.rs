//! Faults on demand, at each operation.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use simulator::swish::Status;

use super::{Answer, Merchant, PAYEE, read, uuid};

/// A create that may end without an answer.
async fn create(merchant: &Merchant, id: &str) -> reqwest::Result<Answer> {
    let url = format!("{}v2/paymentrequests/{id}", merchant.swish.url());
    read(merchant.http.put(url).json(&merchant.request())).await
}

#[tokio::test]
async fn a_create_fails_before_and_after_it_began() {
    let merchant = Merchant::open().await;
    let modes = [
        ("error_before:500", Some(500), false),
        ("error_after:504", Some(504), true),
        ("drop_before", None, false),
        ("drop_after", None, true),
        ("gateway:502", Some(502), false),
        ("rate_limit", Some(429), false),
        ("garbage", Some(200), false),
        ("garbage_after", Some(200), true),
    ];
    for (mode, status, done) in modes {
        merchant.world().add_fault("payments.create", mode, 1).unwrap();
        let id = uuid();
        let answer = create(&merchant, &id).await.ok();
        assert_eq!(answer.as_ref().map(|answer| answer.status), status, "{mode}");
        assert_eq!(merchant.world().payment(&id).is_some(), done, "{mode}");
        let found = merchant.get(&format!("v1/paymentrequests/{id}")).await;
        assert_eq!(found.status, if done { 200 } else { 404 }, "{mode}");
        let text = answer.map(|answer| answer.text).unwrap_or_default();
        match mode {
            "gateway:502" => assert!(text.starts_with("<html>")),
            "garbage" | "garbage_after" => assert!(serde_json::from_str::<serde_json::Value>(&text).is_err()),
            _ => assert_eq!(text, ""),
        }
        // The same once more: what was done is not done again.
        let expected = if done { vec!["RP09".to_owned()] } else { vec![] };
        let again = create(&merchant, &id).await.unwrap();
        assert_eq!(if again.status == 201 { vec![] } else { again.codes() }, expected, "{mode}");
        merchant.world().pay(&id).unwrap();
    }
}

#[tokio::test]
async fn every_operation_has_its_faults() {
    let merchant = Merchant::open_slowly().await;
    let payment = merchant.paid().await;
    let open = merchant.ask(json!({})).await;
    for operation in ["payments.create", "payments.retrieve", "payments.cancel", "refunds.create", "refunds.retrieve"] {
        merchant.world().add_fault(operation, "error_after:503", 1).unwrap();
    }
    let refund = uuid();
    let body = json!({
        "originalPaymentReference": payment.payment_reference, "callbackUrl": merchant.inbox.url,
        "payerAlias": PAYEE, "amount": "1.00", "currency": "SEK",
    });
    assert_eq!(merchant.get(&format!("v1/paymentrequests/{open}")).await.status, 503);
    assert_eq!(merchant.cancel(&open).await.status, 503);
    assert_eq!(create(&merchant, &uuid()).await.unwrap().status, 503);
    assert_eq!(merchant.put(&format!("v2/refunds/{refund}"), body).await.status, 503);
    assert_eq!(merchant.get(&format!("v1/refunds/{refund}")).await.status, 503);
    assert_eq!(merchant.payment(&open).status, Status::Cancelled);
    assert_eq!(merchant.refund(&refund).status, Status::Created);
    assert_eq!(merchant.get(&format!("v1/refunds/{refund}")).await.status, 200);
    let operations: Vec<String> = merchant.world().requests().into_iter().map(|request| request.operation).collect();
    assert_eq!(operations.iter().filter(|operation| *operation == "refunds.retrieve").count(), 2);
    assert!(merchant.world().add_fault("payments.eat", "drop_after", 1).is_err());
    assert!(merchant.world().add_fault("payments.create", "burn", 1).is_err());
}

#[tokio::test]
async fn an_operation_takes_longer_and_is_limited() {
    let merchant = Merchant::open().await;
    merchant.world().add_fault("*", "delay_ms:300", 1).unwrap();
    let began = Instant::now();
    assert_eq!(merchant.get("v1/refunds/X").await.status, 404);
    assert!(began.elapsed() >= Duration::from_millis(300));
    let limit = merchant.control(Method::POST, "/_control/rate_limit", Some(json!({ "per_second": 1 }))).await;
    assert_eq!(limit.status, 200);
    assert_eq!(merchant.get("v1/refunds/X").await.status, 404);
    let limited = merchant.get("v1/refunds/X").await;
    assert_eq!((limited.status, limited.text.as_str()), (429, ""));
    assert_eq!(merchant.get("v1/paymentrequests/X").await.status, 404, "the limit is each operation's own");
}
