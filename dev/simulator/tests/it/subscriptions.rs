//! How subscriptions begin, change and end.

use serde_json::{Value, json};
use simulator::Kind;

use crate::{Shop, hours, id, moves, read};

async fn confirm(shop: &Shop, secret: &Value, card: &str) -> (u16, Value) {
    let secret = secret.as_str().expect("a secret");
    let intent = secret.split("_secret_").next().expect("an id");
    let url = format!("{}/v1/payment_intents/{intent}/confirm", shop.simulator.url());
    read(shop.http.post(url).bearer_auth("pk_test_x").form(&[("client_secret", secret), ("payment_method", card)]))
        .await
}

async fn incomplete(shop: &Shop) -> Value {
    let (customer, price) = (shop.customer().await, shop.price("9900", "month").await);
    let form = [
        ("customer", customer.as_str()),
        ("items[0][price]", &price),
        ("payment_behavior", "default_incomplete"),
        ("payment_settings[save_default_payment_method]", "on_subscription"),
        ("expand[0]", "latest_invoice.confirmation_secret"),
        ("metadata[ours]", "17"),
    ];
    shop.make("/subscriptions", &form).await
}

#[tokio::test]
async fn a_browser_pays_the_first_invoice() {
    let shop = Shop::open().await;
    let subscription = incomplete(&shop).await;
    assert_eq!(
        (&subscription["status"], &subscription["latest_invoice"]["status"]),
        (&json!("incomplete"), &json!("open"))
    );
    assert!(subscription.get("current_period_end").is_none());
    let secret = &subscription["latest_invoice"]["confirmation_secret"]["client_secret"];
    assert_eq!(confirm(&shop, secret, "pm_card_chargeDeclined").await.0, 402);
    assert_eq!(shop.object(Kind::Subscription, &id(&subscription))["status"], "incomplete");
    let (status, intent) = confirm(&shop, secret, "pm_card_visa").await;
    assert_eq!((status, &intent["metadata"]), (200, &json!({})), "{intent}");
    let active = shop.object(Kind::Subscription, &id(&subscription));
    assert_eq!((&active["status"], &active["default_payment_method"]), (&json!("active"), &intent["payment_method"]));
    let method = shop.object(Kind::PaymentMethod, intent["payment_method"].as_str().unwrap());
    assert_eq!(method["customer"], active["customer"]);
    let invoice = shop.object(Kind::Invoice, active["latest_invoice"].as_str().unwrap());
    assert_eq!(
        (&invoice["status"], &invoice["amount_paid"], &invoice["attempt_count"]),
        (&json!("paid"), &json!(9_900), &json!(2))
    );
    assert_eq!(invoice["parent"]["subscription_details"]["metadata"]["ours"], "17");
    let updated =
        shop.world().events().into_iter().find(|event| event["type"] == "customer.subscription.updated").unwrap();
    assert_eq!(updated["data"]["previous_attributes"]["status"], "incomplete");
    assert_eq!(
        (shop.events("invoice.payment_failed"), shop.events("invoice.paid"), shop.events("invoice_payment.paid")),
        (1, 1, 1)
    );
    assert_eq!(shop.moved(), moves(&[("charge", 9_900)]));
}

#[tokio::test]
async fn an_unpaid_first_invoice_expires_after_23_hours() {
    let shop = Shop::open().await;
    let subscription = incomplete(&shop).await;
    shop.world().advance(hours(22));
    assert_eq!(shop.object(Kind::Subscription, &id(&subscription))["status"], "incomplete");
    shop.world().advance(hours(1));
    assert_eq!(shop.object(Kind::Subscription, &id(&subscription))["status"], "incomplete_expired");
    assert_eq!(shop.object(Kind::Invoice, &id(&subscription["latest_invoice"]))["status"], "void");
    let secret = &subscription["latest_invoice"]["confirmation_secret"]["client_secret"];
    assert_eq!(confirm(&shop, secret, "pm_card_visa").await.0, 400, "the PaymentIntent was canceled");
    shop.world().advance(hours(24 * 40));
    assert!(shop.moved().is_empty());
    assert_eq!(shop.post(&format!("/subscriptions/{}", id(&subscription)), &[("metadata[a]", "b")]).await.0, 404);
}

#[tokio::test]
async fn payment_behaviours_differ_in_what_a_decline_leaves() {
    let shop = Shop::open().await;
    let price = shop.price("9900", "month").await;
    let customer = shop.customer().await;
    let form = |customer: &str, behaviour: &str| {
        [
            ("customer", customer.to_owned()),
            ("items[0][price]", price.clone()),
            ("payment_behavior", behaviour.to_owned()),
        ]
    };
    let create = async |customer: &str, behaviour: &str| {
        read(shop.request(reqwest::Method::POST, "/subscriptions").form(&form(customer, behaviour))).await
    };
    let (status, body) = create(&customer, "allow_incomplete").await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("resource_missing")), "there is no payment method");
    let poor = shop.customer_with("pm_card_chargeCustomerFail").await;
    assert_eq!(create(&poor, "error_if_incomplete").await.0, 402);
    assert!(shop.world().objects(Kind::Subscription).is_empty());
    assert_eq!(create(&poor, "allow_incomplete").await.1["status"], "incomplete");
    let careful = shop.customer_with("pm_card_authenticationRequired").await;
    let (_, waits) = create(&careful, "allow_incomplete").await;
    assert_eq!((&waits["status"], shop.events("invoice.payment_action_required")), (&json!("incomplete"), 1));
    let invoice = waits["latest_invoice"].as_str().unwrap();
    let (_, payments) = shop.get(&format!("/invoice_payments?invoice={invoice}")).await;
    let intent = payments["data"][0]["payment"]["payment_intent"].as_str().unwrap();
    shop.world().authenticate_payment_intent(intent, true).unwrap();
    assert_eq!(shop.object(Kind::Subscription, &id(&waits))["status"], "active");
    let rich = shop.customer_with("pm_card_visa").await;
    assert_eq!(create(&rich, "error_if_incomplete").await.1["status"], "active");
}

#[tokio::test]
async fn a_change_of_price_is_billed_as_was_asked() {
    let shop = Shop::open().await;
    let customer = shop.customer_with("pm_card_visa").await;
    let (cheap, dear) = (shop.price("3000", "day").await, shop.price("6000", "day").await);
    let subscription = shop.make("/subscriptions", &[("customer", &customer), ("items[0][price]", &cheap)]).await;
    let (path, item) = (format!("/subscriptions/{}", id(&subscription)), id(&subscription["items"]["data"][0]));
    assert_eq!(shop.refusal(&path, &[("items[0][price]", &dear)]).await.2, "items[0][id]");
    shop.world().advance(hours(12));
    let now = |behaviour: &'static str| {
        [("items[0][id]", item.as_str()), ("items[0][price]", dear.as_str()), ("proration_behavior", behaviour)]
    };
    let changed = shop.make(&path, &now("always_invoice")).await;
    assert_eq!(changed["items"]["data"][0]["price"]["id"], dear.as_str());
    // Half a day at twice the price, less half a day paid for; the test itself takes some seconds.
    let paid = shop.moved()[1].1;
    assert!((1_495..=1_500).contains(&paid), "{paid}");
    let cheaper = [("items[0][id]", item.as_str()), ("items[0][price]", &cheap), ("proration_behavior", "none")];
    shop.make(&path, &cheaper).await;
    shop.world().advance(hours(13));
    assert_eq!(shop.moved()[2..], moves(&[("charge", 3_000)]), "no proration, and the new price from now on");
}

#[tokio::test]
async fn an_end_is_now_or_at_the_end_of_the_period() {
    let shop = Shop::open().await;
    let customer = shop.customer_with("pm_card_visa").await;
    let price = shop.price("3000", "month").await;
    let form = [("customer", customer.as_str()), ("items[0][price]", &price)];
    let (now, later, kept) = (
        id(&shop.make("/subscriptions", &form).await),
        id(&shop.make("/subscriptions", &form).await),
        id(&shop.make("/subscriptions", &form).await),
    );
    let gone = read(shop.request(reqwest::Method::DELETE, &format!("/subscriptions/{now}"))).await;
    assert_eq!((gone.0, &gone.1["status"]), (200, &json!("canceled")));
    assert_eq!(read(shop.request(reqwest::Method::DELETE, &format!("/subscriptions/{now}"))).await.0, 404);
    for id in [&later, &kept] {
        let marked = shop.make(&format!("/subscriptions/{id}"), &[("cancel_at_period_end", "true")]).await;
        assert_eq!(marked["cancel_at"], marked["items"]["data"][0]["current_period_end"]);
    }
    let kept_on = shop.make(&format!("/subscriptions/{kept}"), &[("cancel_at_period_end", "false")]).await;
    assert_eq!((&kept_on["cancel_at"], &kept_on["canceled_at"]), (&json!(null), &json!(null)));
    shop.world().advance(hours(24 * 32));
    assert_eq!(shop.object(Kind::Subscription, &later)["status"], "canceled");
    assert_eq!(shop.object(Kind::Subscription, &kept)["status"], "active");
    assert_eq!((shop.events("customer.subscription.deleted"), shop.moved().len()), (2, 4));
    assert_eq!(shop.get(&format!("/subscriptions?customer={customer}")).await.1["data"].as_array().unwrap().len(), 1);
    assert_eq!(shop.get("/subscriptions?status=all").await.1["data"].as_array().unwrap().len(), 3);
}
