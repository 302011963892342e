//! Control, and the payer's pages.

use reqwest::Method;
use serde_json::{Value, json};
use simulator::swish::Status;

use super::{Merchant, PAYER, until, uuid};

#[tokio::test]
async fn control_shows_and_does_what_the_world_can() {
    let merchant = Merchant::open_slowly().await;
    let show = |path: &'static str| merchant.control(Method::GET, path, None);
    let act = |path: String, body: Option<Value>| {
        let merchant = &merchant;
        async move { merchant.control(Method::POST, &format!("/_control/{path}"), body).await }
    };
    let paid = merchant.ask(json!({})).await;
    let answer = act(format!("pay/{}", paid.to_lowercase()), None).await;
    assert_eq!((answer.status, answer.json()["status"].clone()), (200, json!("PAID")));
    assert_eq!(act(format!("pay/{paid}"), None).await.status, 400);
    let declined = merchant.ask(json!({ "payerAlias": null })).await;
    let token = merchant.payment(&declined).token.unwrap();
    assert_eq!(act(format!("decline/{token}"), None).await.json()["token"], token.as_str());
    let failed = merchant.ask(json!({})).await;
    let answer = act(format!("fail/{failed}"), Some(json!({ "code": "DS24", "moved": true }))).await;
    assert_eq!((answer.json()["status"].clone(), answer.json()["errorCode"].clone()), (json!("ERROR"), json!("DS24")));
    let forged = act(format!("forge/{failed}"), Some(json!({ "status": "PAID" }))).await;
    assert_eq!(forged.json(), json!({ "answered": 200 }));
    assert_eq!(act(format!("callback/{failed}"), None).await.status, 200);
    merchant.settle().await;

    let ledger = show("/_control/ledger").await.json();
    assert_eq!((&ledger["data"][0]["type"], &ledger["data"][0]["status"]), (&json!("charge"), &json!("PAID")));
    assert_eq!((&ledger["data"][1]["amount"], &ledger["data"][1]["status"]), (&json!(10_000), &json!("ERROR")));
    assert_eq!(show("/_control/requests").await.json()["data"].as_array().unwrap().len(), 3);
    let callbacks = show("/_control/callbacks").await.json();
    assert_eq!((&callbacks["data"][2]["sent"], &callbacks["deliveries_pending"]), (&json!(2), &json!(0)));
    assert_eq!(
        callbacks["data"][0],
        json!({ "kind": "payments", "id": paid, "status": "PAID", "sent": 1, "taken": true })
    );
    let payments = show("/_control/objects/payments").await;
    assert!(payments.text.contains("\"amount\":100.00") && payments.json()["data"].as_array().unwrap().len() == 3);
    assert_eq!(show("/_control/objects/refunds").await.json(), json!({ "data": [] }));
    assert_eq!(show("/_control/objects/cats").await.status, 400);
    let fault = json!({ "operation": "payments.create", "mode": "drop_after" });
    assert_eq!(act("faults".to_owned(), Some(fault)).await.status, 201);
    assert_eq!(act("faults".to_owned(), Some(json!({ "operation": "x", "mode": "drop_after" }))).await.status, 400);
    let faults = show("/_control/faults").await.json();
    assert_eq!((&faults["data"][0]["times"], &faults["operations"][4]), (&json!(1), &json!("refunds.retrieve")));
    assert_eq!(merchant.control(Method::DELETE, "/_control/faults", None).await.status, 200);
    assert_eq!(show("/_control/faults").await.json()["data"], json!([]));
    assert_eq!(act("webhooks".to_owned(), Some(json!({ "hold": true }))).await.json()["hold"], true);
    let shuffled = json!({ "hold": false, "order": "shuffled", "seed": 1 });
    assert_eq!(act("webhooks".to_owned(), Some(shuffled)).await.status, 200);
    assert_eq!(act("webhooks".to_owned(), Some(json!({ "hold": false, "order": "up" }))).await.status, 400);
    assert_eq!(act("reset".to_owned(), None).await.json(), json!({ "reset": true }));
    let timed = merchant.ask(json!({})).await;
    let now = show("/_control/clock").await.json()["now"].as_i64().unwrap();
    let moved = act("clock".to_owned(), Some(json!({ "advance_seconds": 200 }))).await.json();
    assert_eq!((moved["fell_due"].clone(), moved["now"].as_i64().unwrap() >= now + 200), (json!(1), true));
    assert_eq!(merchant.payment(&timed).error_code.as_deref(), Some("TM01"));
    assert_eq!(act("auto_pay".to_owned(), Some(json!({ "after_ms": 1 }))).await.status, 200);
    let by_itself = merchant.ask(json!({})).await;
    merchant.until_status(&by_itself, Status::Paid).await;
}

#[tokio::test]
async fn a_payer_pays_and_declines_on_a_page() {
    let merchant = Merchant::open().await;
    let get = |path: String| {
        let merchant = &merchant;
        async move { merchant.control(Method::GET, &path, None).await }
    };
    assert!(get("/".to_owned()).await.text.contains("Nobody asks for money"));
    let id = merchant.ask(json!({})).await;
    let in_app = merchant.ask(json!({ "payerAlias": null, "amount": "7.50" })).await;
    let list = get("/".to_owned()).await;
    assert!(list.text.contains(&format!("/pay/{id}")) && list.text.contains("7.50 SEK") && list.text.contains(PAYER));
    let page = get(format!("/pay/{id}")).await;
    assert!(page.header("content-type").starts_with("text/html"));
    for part in ["100.00", "Kaffe åäö (2)", "order-1", ">Pay</button>", ">Decline</button>", "Time left"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let after = merchant.control(Method::POST, &format!("/pay/{id}/approve"), None).await;
    assert!(after.text.contains(">Paid</p>") && !after.text.contains("<button"), "{}", after.text);
    let token = merchant.payment(&in_app).token.unwrap();
    assert!(get(format!("/pay/{token}")).await.text.contains("7.50"));
    let after = merchant.control(Method::POST, &format!("/pay/{token}/decline"), None).await;
    assert!(after.text.contains(">Declined</p>"));
    // Who comes late sees how it ended.
    let after = merchant.control(Method::POST, &format!("/pay/{token}/approve"), None).await;
    assert!(after.text.contains(">Declined</p>"));
    let failed = merchant.ask(json!({})).await;
    merchant.world().fail(&failed, "RF07", false).unwrap();
    assert!(get(format!("/pay/{failed}")).await.text.contains("Transaction declined (RF07)"));
    assert_eq!(get(format!("/pay/{}", uuid())).await.status, 404);
    let merchant = &merchant;
    until("both are told", || merchant.inbox.came().len() == 3).await;
}
