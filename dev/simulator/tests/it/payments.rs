//! PaymentIntents, SetupIntents and payment methods.

use serde_json::json;
use simulator::Kind;

use crate::{Shop, days, id, moves, read};

const MANUAL: [(&str, &str); 6] = [
    ("amount", "20000"),
    ("currency", "sek"),
    ("payment_method", "pm_card_visa"),
    ("confirm", "true"),
    ("capture_method", "manual"),
    ("return_url", "https://shop.example"),
];

#[tokio::test]
async fn a_hold_moves_no_money_until_it_is_captured() {
    let shop = Shop::open().await;
    let intent = shop.make("/payment_intents", &[&MANUAL[..], &[("expand[]", "latest_charge")]].concat()).await;
    let charge = &intent["latest_charge"];
    assert_eq!((intent["status"].as_str(), charge["captured"].as_bool()), (Some("requires_capture"), Some(false)));
    let before = charge["payment_method_details"]["card"]["capture_before"].as_i64().unwrap();
    assert_eq!(before, charge["created"].as_i64().unwrap() + 7 * 86_400);
    assert!(shop.moved().is_empty());
    assert_eq!(shop.refusal("/refunds", &[("payment_intent", &id(&intent))]).await.1, "charge_not_captured");
    let path = format!("/payment_intents/{}/capture", id(&intent));
    assert_eq!(shop.refusal(&path, &[("amount_to_capture", "20001")]).await.1, "amount_too_large");
    let captured = shop.make(&path, &[("amount_to_capture", "15000")]).await;
    assert_eq!((&captured["amount_received"], &captured["amount_capturable"]), (&json!(15_000), &json!(0)));
    assert_eq!(shop.moved(), moves(&[("charge", 15_000)]));
    shop.world().advance(days(8));
    assert_eq!(shop.object(Kind::PaymentIntent, &id(&intent))["status"], "succeeded");
    assert_eq!((shop.events("charge.captured"), shop.events("charge.expired")), (1, 0));
}

#[tokio::test]
async fn a_hold_that_nobody_captures_expires() {
    let shop = Shop::open().await;
    let intent = id(&shop.make("/payment_intents", &MANUAL).await);
    shop.world().advance(days(7) - std::time::Duration::from_secs(60));
    assert_eq!(shop.object(Kind::PaymentIntent, &intent)["status"], "requires_capture");
    shop.world().advance(std::time::Duration::from_secs(61));
    let expired = shop.object(Kind::PaymentIntent, &intent);
    assert_eq!((&expired["status"], &expired["cancellation_reason"]), (&json!("canceled"), &json!("automatic")));
    assert_eq!((shop.events("charge.expired"), shop.events("payment_intent.canceled")), (1, 1));
    assert!(shop.moved().is_empty());
    let path = format!("/payment_intents/{intent}/capture");
    assert_eq!(shop.refusal(&path, &[]).await.1, "payment_intent_unexpected_state");
}

#[tokio::test]
async fn a_payer_who_is_away_cannot_authenticate() {
    let shop = Shop::open().await;
    let customer = shop.customer().await;
    let saved = shop.make("/payment_methods/pm_card_authenticationRequired/attach", &[("customer", &customer)]).await;
    let form = [
        ("amount", "20000"),
        ("currency", "sek"),
        ("customer", &customer),
        ("payment_method", &id(&saved)),
        ("confirm", "true"),
        ("off_session", "true"),
    ];
    let (status, body) = shop.post("/payment_intents", &form).await;
    assert_eq!((status, &body["error"]["code"]), (402, &json!("authentication_required")));
    assert_eq!(body["error"]["payment_intent"]["status"], "requires_payment_method");
    assert_eq!((shop.events("charge.failed"), shop.events("payment_intent.payment_failed")), (1, 1));
    assert!(shop.moved().is_empty());
}

#[tokio::test]
async fn a_payment_method_is_one_customers_and_used_once_unless_it_is_kept() {
    let shop = Shop::open().await;
    let (one, other) = (shop.customer().await, shop.customer().await);
    let spent = shop.pay("10000", "pm_card_visa").await["payment_method"].as_str().unwrap().to_owned();
    assert!(spent.starts_with("pm_") && spent != "pm_card_visa");
    let attach = |method: &str| format!("/payment_methods/{method}/attach");
    assert_eq!(shop.refusal(&attach(&spent), &[("customer", &one)]).await.0, 400, "it was used unattached");
    let form = [("amount", "10000"), ("currency", "sek"), ("customer", &one), ("payment_method", "pm_card_visa")];
    let confirmed = [("confirm", "true"), ("return_url", "https://a.example"), ("setup_future_usage", "off_session")];
    let intent = shop.make("/payment_intents", &[&form[..], &confirmed[..]].concat()).await;
    let kept = intent["payment_method"].as_str().unwrap();
    assert_eq!(shop.get(&format!("/customers/{one}/payment_methods")).await.1["data"][0]["id"], kept);
    let theirs = [("amount", "10000"), ("currency", "sek"), ("customer", &other), ("payment_method", kept)];
    let refused = (400, "resource_missing".to_owned(), "payment_method".to_owned());
    assert_eq!(shop.refusal("/payment_intents", &theirs).await, refused);
    shop.make(&format!("/payment_methods/{kept}/detach"), &[]).await;
    assert_eq!(shop.refusal(&attach(kept), &[("customer", &one)]).await.0, 400, "it was detached");
    assert_eq!((shop.events("payment_method.attached"), shop.events("payment_method.detached")), (1, 1));
}

#[tokio::test]
async fn a_setup_keeps_a_card_after_the_payer_authenticated() {
    let shop = Shop::open().await;
    let customer = shop.customer().await;
    let intent = shop.make("/setup_intents", &[("customer", &customer), ("usage", "off_session")]).await;
    let path = format!("{}/v1/setup_intents/{}/confirm", shop.simulator.url(), id(&intent));
    let confirm = |secret: &str, card: &str| {
        let form = [("client_secret", secret), ("payment_method", card), ("return_url", "https://shop.example")];
        read(shop.http.post(&path).bearer_auth("pk_test_x").form(&form))
    };
    let secret = intent["client_secret"].as_str().unwrap();
    assert_eq!(confirm("seti_other_secret", "pm_card_visa").await.0, 400);
    let (status, body) = confirm(secret, "pm_card_chargeDeclined").await;
    assert_eq!((status, &body["error"]["setup_intent"]["status"]), (402, &json!("requires_payment_method")));
    assert_eq!(confirm(secret, "pm_card_threeDSecure2Required").await.1["status"], "requires_action");
    let control = format!("/setup_intents/{}/authenticate", id(&intent));
    let (_, done) = shop.control(&control, &json!({ "result": "success" })).await;
    assert_eq!(done["status"], "succeeded");
    assert_eq!(
        shop.object(Kind::PaymentMethod, done["payment_method"].as_str().unwrap())["customer"],
        customer.as_str()
    );
    for event in ["created", "setup_failed", "requires_action", "succeeded"] {
        assert_eq!(shop.events(&format!("setup_intent.{event}")), 1, "{event}");
    }
}

#[tokio::test]
async fn a_bank_that_takes_its_time_is_waited_for() {
    let shop = Shop::open().await;
    let (good, bad) =
        (shop.pay("10000", "pm_simulated_processing").await, shop.pay("7000", "pm_simulated_processing").await);
    assert_eq!((good["status"].as_str(), shop.moved().len()), (Some("processing"), 0));
    assert_eq!(
        shop.refusal(&format!("/payment_intents/{}/cancel", id(&good)), &[]).await.1,
        "payment_intent_unexpected_state"
    );
    let settle = |intent: String, result: &str| {
        let (path, body) = (format!("/payment_intents/{intent}/settle"), json!({ "result": result }));
        let shop = &shop;
        async move { shop.control(&path, &body).await.1 }
    };
    let settled = settle(id(&good), "success").await;
    assert_eq!((&settled["status"], &settled["latest_charge"]), (&json!("succeeded"), &good["latest_charge"]));
    assert_eq!(settle(id(&bad), "failure").await["status"], "requires_payment_method");
    assert_eq!(shop.moved(), moves(&[("charge", 10_000)]));
}
