//! Payment requests.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use simulator::SwishConfig;
use simulator::swish::Status;

use super::{IDENTIFIER, Merchant, NEVER, PAYEE, PAYER, client, config, moves, read, uuid};

#[tokio::test]
async fn a_request_in_the_shop_is_paid() {
    let merchant = Merchant::open().await;
    let id = uuid();
    let answer = merchant.put(&format!("v2/paymentrequests/{id}"), merchant.request()).await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("content-length")), (201, "", "0"));
    let location = format!("{}v1/paymentrequests/{id}", merchant.swish.url());
    assert_eq!((answer.header("location"), answer.header("paymentrequesttoken")), (location.as_str(), ""));

    let answer = merchant.get(&format!("v1/paymentrequests/{id}")).await;
    assert!(answer.text.contains("\"amount\":100.00,"), "{}", answer.text);
    let mut object = answer.json();
    let created = object["dateCreated"].take();
    assert!(created.as_str().unwrap().ends_with('Z') && created.as_str().unwrap().len() == 24, "{created}");
    object["amount"].take();
    let expected = json!({
        "id": id, "payeePaymentReference": "order-1", "paymentReference": null,
        "callbackUrl": merchant.inbox.url, "callbackIdentifier": IDENTIFIER,
        "payerAlias": PAYER, "payeeAlias": PAYEE, "amount": null, "currency": "SEK", "message": "Kaffe åäö (2)",
        "status": "CREATED", "dateCreated": null, "datePaid": null, "errorCode": null, "errorMessage": null,
    });
    assert_eq!(object, expected);
    assert_eq!(merchant.moved(), moves(&[]));

    merchant.world().pay(&id.to_lowercase()).unwrap();
    let object = merchant.get(&format!("v1/paymentrequests/{id}")).await.json();
    assert_eq!((&object["status"], &object["errorCode"]), (&json!("PAID"), &Value::Null));
    assert_eq!(object["paymentReference"].as_str().unwrap().len(), 32);
    assert!(object["datePaid"].is_string());
    assert_eq!(merchant.moved(), moves(&[("charge", 10_000)]));
    assert!(merchant.world().pay(&id).is_err() && merchant.world().decline(&id).is_err());
}

#[tokio::test]
async fn a_request_in_the_app_has_a_token_that_is_told_once() {
    let merchant = Merchant::open().await;
    let id = uuid();
    let body = merchant.request_with(&json!({ "payerAlias": null }));
    let answer = merchant.put(&format!("v2/paymentrequests/{id}"), body).await;
    let token = answer.header("PaymentRequestToken").to_owned();
    assert!(token.len() == 32 && token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{token}");
    let object = merchant.get(&format!("v1/paymentrequests/{id}")).await;
    assert_eq!((object.json()["payerAlias"].clone(), object.text.contains(&token)), (Value::Null, false));
    // The next one is not in its way: nobody is named.
    merchant.ask(json!({ "payerAlias": null })).await;
    assert_eq!(merchant.world().pay(&token), Ok(Status::Paid));
    let object = merchant.get(&format!("v1/paymentrequests/{id}")).await;
    assert_eq!((object.json()["payerAlias"].clone(), object.text.contains(&token)), (json!("46464646464"), false));
}

#[tokio::test]
async fn every_field_has_its_rule() {
    let merchant = Merchant::open().await;
    let long = "a".repeat(51);
    let refusals = [
        (json!({ "payeePaymentReference": "" }), "FF08"),
        (json!({ "payeePaymentReference": "a_b" }), "FF08"),
        (json!({ "payeePaymentReference": "a".repeat(36) }), "FF08"),
        (json!({ "callbackUrl": null }), "RP03"),
        (json!({ "callbackUrl": "http://shop.example/" }), "RP03"),
        (json!({ "callbackUrl": "shop" }), "RP03"),
        (json!({ "payerAlias": "+46712345678" }), "BE18"),
        (json!({ "payerAlias": "0712345678" }), "BE18"),
        (json!({ "payerAlias": "4671234" }), "BE18"),
        (json!({ "payerAlias": "" }), "BE18"),
        (json!({ "payeeAlias": null }), "RP01"),
        (json!({ "payeeAlias": "" }), "RP01"),
        (json!({ "amount": null }), "PA02"),
        (json!({ "amount": "100,00" }), "PA02"),
        (json!({ "amount": "1.001" }), "PA02"),
        (json!({ "amount": "-1" }), "PA02"),
        (json!({ "amount": true }), "PA02"),
        (json!({ "amount": "0.00" }), "AM06"),
        (json!({ "amount": "1000000000000.00" }), "AM02"),
        (json!({ "currency": null }), "AM03"),
        (json!({ "currency": "EUR" }), "AM03"),
        (json!({ "message": long }), "RP02"),
        (json!({ "message": "<b>" }), "RP02"),
        (json!({ "message": "" }), "RP02"),
        (json!({ "ageLimit": "0" }), "PA08"),
        (json!({ "ageLimit": 100 }), "PA08"),
    ];
    for (changes, code) in refusals {
        assert_eq!(merchant.refused(changes.clone()).await, (422, vec![code.to_owned()]), "{changes}");
    }
    let both = merchant.refused(json!({ "currency": "EUR", "amount": "x" })).await;
    assert_eq!(both, (422, vec!["PA02".to_owned(), "AM03".to_owned()]));
    for alias in ["1231181189", "9991181189"] {
        assert_eq!(merchant.refused(json!({ "payeeAlias": alias })).await, (403, vec!["PA01".to_owned()]));
    }
    // `null` is not left out.
    let mut body = merchant.request();
    body["payeePaymentReference"] = Value::Null;
    let answer = merchant.put(&format!("v2/paymentrequests/{}", uuid()), body).await;
    assert_eq!(answer.refusal(), (422, vec!["FF08".to_owned()]));
    assert!(merchant.world().payments().is_empty());
}

#[tokio::test]
async fn what_is_no_request_at_all_is_refused() {
    let merchant = Merchant::open().await;
    let path = format!("v2/paymentrequests/{}", uuid());
    let malformed = [
        json!({ "colour": "red" }),
        json!({ "payerAlias": null, "payeealias": PAYEE }),
        json!({ "callbackIdentifier": "short" }),
        json!({ "payerSSN": "19" }),
    ];
    for changes in malformed {
        assert_eq!(merchant.put(&path, merchant.request_with(&changes)).await.status, 400, "{changes}");
    }
    assert_eq!(merchant.put(&path, json!([])).await.status, 400);
    let lower = uuid().to_lowercase();
    for id in [lower.as_str(), "7d70445e-c41e-4d1e-a7e8-d2e3e7e8c1aa", "X"] {
        assert_eq!(merchant.put(&format!("v2/paymentrequests/{id}"), merchant.request()).await.status, 400, "{id}");
    }
    let plain = merchant.http.put(format!("{}{path}", merchant.swish.url())).body(merchant.request().to_string());
    let answer = read(plain).await.unwrap();
    assert_eq!((answer.status, answer.text.as_str()), (415, ""));
    assert!(merchant.world().payments().is_empty());
    let sent = merchant.request_with(&json!({ "amount": 1, "ageLimit": "18", "payerSSN": "199001012385" }));
    assert_eq!(merchant.put(&path, sent).await.status, 201);
    assert_eq!(merchant.world().payments()[0].amount, 100);
}

#[tokio::test]
async fn a_number_is_read_by_its_digits() {
    let merchant = Merchant::open().await;
    let id = uuid();
    let body = merchant.request().to_string().replace("\"100.00\"", "999999999999.99");
    let request = merchant.http.put(format!("{}v2/paymentrequests/{id}", merchant.swish.url()));
    let answer = read(request.header("content-type", "application/json; charset=utf-8").body(body)).await.unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(merchant.payment(&id).amount, 99_999_999_999_999);
    let object = merchant.get(&format!("v1/paymentrequests/{id}")).await;
    assert!(object.text.contains("\"amount\":999999999999.99,"), "{}", object.text);
}

#[tokio::test]
async fn one_open_request_for_each_payer_and_each_uuid_once() {
    let merchant = Merchant::open().await;
    let id = merchant.ask(json!({})).await;
    assert_eq!(merchant.refused(json!({})).await, (422, vec!["RP06".to_owned()]));
    merchant.ask(json!({ "payerAlias": "46700000000" })).await;
    let again = merchant.put(&format!("v2/paymentrequests/{id}"), merchant.request()).await;
    assert_eq!(again.refusal(), (422, vec!["RP09".to_owned()]));
    merchant.world().decline(&id).unwrap();
    assert_eq!(merchant.payment(&id).status, Status::Declined);
    let again = merchant.put(&format!("v2/paymentrequests/{id}"), merchant.request()).await;
    assert_eq!(again.refusal(), (422, vec!["RP09".to_owned()]), "for ever");
    merchant.ask(json!({})).await;
    assert_eq!(merchant.moved(), moves(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_only_one_is_made() {
    let merchant = Merchant::open().await;
    let id = uuid();
    let attempts = (0..40).map(|n| {
        let id = if n % 2 == 0 { id.clone() } else { uuid() };
        let url = format!("{}v2/paymentrequests/{id}", merchant.swish.url());
        tokio::spawn(read(merchant.http.put(url).json(&merchant.request())))
    });
    let mut made = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        let answer = attempt.await.unwrap().unwrap();
        match answer.status {
            201 => made += 1,
            422 => assert!(matches!(answer.codes()[0].as_str(), "RP06" | "RP09")),
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!((made, merchant.world().payments().len(), merchant.world().requests().len()), (1, 1, 40));
}

#[tokio::test]
async fn an_open_request_can_be_cancelled() {
    let merchant = Merchant::open().await;
    let id = merchant.ask(json!({})).await;
    let path = format!("v1/paymentrequests/{id}");
    let wrong = [
        json!([{ "op": "replace", "path": "/status", "value": "CANCELLED" }]),
        json!([{ "op": "replace", "path": "/status", "value": "cancelled", "from": "" }]),
        json!({ "op": "replace", "path": "/status", "value": "cancelled" }),
    ];
    for patch in wrong {
        let answer = merchant.call_as(&merchant.http, Method::PATCH, &path, Some(patch)).await;
        assert_eq!(answer.refusal(), (422, vec!["PA01".to_owned()]));
    }
    let request = merchant.http.patch(format!("{}{path}", merchant.swish.url())).json(&json!([]));
    assert_eq!(read(request).await.unwrap().status, 415);
    assert_eq!(merchant.cancel(&uuid()).await.refusal(), (404, vec!["RP04".to_owned()]));
    let cancelled = merchant.cancel(&id).await;
    assert_eq!((cancelled.status, cancelled.json()["status"].clone()), (200, json!("CANCELLED")));
    assert_eq!(merchant.cancel(&id).await.refusal(), (422, vec!["RP07".to_owned()]));
    let paid = merchant.paid().await;
    assert_eq!(merchant.cancel(&paid.id).await.refusal(), (422, vec!["RP07".to_owned()]));
    merchant.settle().await;
    assert_eq!(merchant.inbox.statuses(), ["CANCELLED", "PAID"]);
    assert_eq!(merchant.moved(), moves(&[("charge", 10_000)]));
}

#[tokio::test]
async fn a_message_asks_for_an_error() {
    let merchant = Merchant::open().await;
    for code in ["RP06", "ACMT03", "ACMT07", "UNKW", "VR01", "VR02"] {
        assert_eq!(merchant.refused(json!({ "message": code })).await, (422, vec![code.to_owned()]));
    }
    assert_eq!(merchant.refused(json!({ "message": "PA01" })).await, (403, vec!["PA01".to_owned()]));
    let later = ["RF07", "BANKIDCL", "BANKIDONGOING", "BANKIDUNKN", "FF10", "TM01", "DS24", "VR01", "VR02"];
    for code in later {
        let id = merchant.ask(json!({ "message": code, "payerAlias": null })).await;
        merchant.until_status(&id, Status::Error).await;
        let object = merchant.get(&format!("v1/paymentrequests/{id}")).await.json();
        assert_eq!(object["errorCode"], code);
        assert!(!object["errorMessage"].as_str().unwrap().is_empty());
    }
    assert_eq!(merchant.moved(), moves(&[]));
    merchant.settle().await;
    assert_eq!(merchant.inbox.came().len(), later.len());
}

#[tokio::test]
async fn a_request_that_nobody_answers_times_out() {
    let merchant = Merchant::open_slowly().await;
    let id = merchant.ask(json!({})).await;
    merchant.world().advance(Duration::from_secs(179));
    assert_eq!(merchant.payment(&id).status, Status::Created);
    assert_eq!(merchant.world().advance(Duration::from_secs(2)), 1);
    let payment = merchant.payment(&id);
    assert_eq!((payment.status, payment.error_code.as_deref()), (Status::Error, Some("TM01")));
    assert!(merchant.world().pay(&id).is_err());
    assert_eq!(merchant.cancel(&id).await.refusal(), (422, vec!["RP07".to_owned()]));
    merchant.ask(json!({})).await;
    let paid = merchant.world().payments()[1].id.clone();
    merchant.world().pay(&paid).unwrap();
    merchant.world().advance(Duration::from_secs(600));
    assert_eq!(merchant.payment(&paid).status, Status::Paid);
}

#[tokio::test]
async fn what_is_unknown_may_have_moved_money() {
    let merchant = Merchant::open().await;
    for (moved, ledger) in [(false, vec![]), (true, vec![("charge", 10_000)])] {
        let id = merchant.ask(json!({})).await;
        assert_eq!(merchant.world().fail(&id, "DS24", moved), Ok(Status::Error));
        let object = merchant.get(&format!("v1/paymentrequests/{id}")).await.json();
        assert_eq!((&object["status"], &object["errorCode"]), (&json!("ERROR"), &json!("DS24")));
        assert_eq!(merchant.moved(), moves(&ledger));
    }
    let id = merchant.ask(json!({})).await;
    assert!(merchant.world().fail(&id, "RF07", true).is_err(), "only DS24 leaves it open");
    assert!(merchant.world().fail(&id, "RP06", false).is_err(), "no such end");
    assert_eq!(merchant.world().fail(&id, "RF07", false), Ok(Status::Error));
}

#[tokio::test]
async fn payers_can_pay_by_themselves() {
    let merchant = Merchant::open_with(SwishConfig { auto_pay_ms: Some(4_000), ..config() }).await;
    let id = merchant.ask(json!({})).await;
    merchant.world().advance(Duration::from_secs(4));
    assert_eq!(merchant.payment(&id).status, Status::Paid);
    merchant.world().set_auto_pay(None);
    let id = merchant.ask(json!({})).await;
    merchant.world().advance(Duration::from_secs(4));
    assert_eq!(merchant.payment(&id).status, Status::Created);
}

#[tokio::test]
async fn everything_comes_back_from_the_state_file() {
    let file = std::env::temp_dir().join(format!("swish-{}.json", uuid()));
    let own = || SwishConfig { state_file: Some(file.clone()), settle_ms: NEVER, ..config() };
    let merchant = Merchant::open_with(own()).await;
    let paid = merchant.paid().await;
    let open = merchant.ask(json!({ "message": "RF07" })).await;
    merchant.world().advance(Duration::from_secs(100));
    let now = merchant.world().now();
    merchant.swish.save().unwrap();
    drop(merchant);
    let merchant = Merchant::open_with(own()).await;
    std::fs::remove_file(&file).unwrap();
    assert!((now..now + 60).contains(&merchant.world().now()), "the clock is where it was");
    assert_eq!(merchant.payment(&paid.id), paid);
    assert_eq!(merchant.moved(), moves(&[("charge", 10_000)]));
    merchant.world().advance(Duration::from_secs(2_000));
    assert_eq!(merchant.payment(&open).error_code.as_deref(), Some("TM01"), "that was still on the agenda");
    merchant.world().reset();
    assert!(merchant.world().payments().is_empty() && merchant.world().ledger().is_empty());
    assert!((now - 200..now).contains(&merchant.world().now()));
}

#[tokio::test]
async fn a_connection_ends_with_the_simulator() {
    let merchant = Merchant::open().await;
    let (url, certificates) = (merchant.swish.url(), merchant.swish.certificates().clone());
    assert_eq!(merchant.get("v1/refunds/X").await.status, 404);
    let Merchant { swish, http, inbox: _ } = merchant;
    drop(swish);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(read(http.get(format!("{url}v1/refunds/X"))).await.is_err(), "the connection that was open");
    assert!(read(client(&certificates.certificate, &certificates.key).get(url)).await.is_err(), "a new one");
}
