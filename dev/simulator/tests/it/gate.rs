//! What is checked before an operation begins: parameters, expansion, keys, limits, faults.

use serde_json::json;
use simulator::Kind;

use crate::{Shop, days, id, read};

#[tokio::test]
async fn parameters_are_checked_before_anything_is_done() {
    let shop = Shop::open().await;
    let refusals = [
        ("/refunds", vec![("payment_intent", "pi_x"), ("reasons", "duplicate")], "parameter_unknown", "reasons"),
        ("/refunds", vec![("amount", "1e3")], "parameter_invalid_integer", "amount"),
        ("/refunds", vec![("reason", "bored")], "", "reason"),
        ("/refunds", vec![], "parameter_missing", "payment_intent"),
        ("/refunds", vec![("payment_intent", "pi_x")], "resource_missing", "payment_intent"),
        ("/prices", vec![("currency", "sek"), ("unit_amount", "1")], "parameter_missing", "product"),
        ("/subscriptions", vec![("items[0][price]", "price_x")], "parameter_missing", "customer"),
        ("/subscriptions", vec![("customer", "c"), ("items[1][price]", "p")], "parameter_unknown", "items[1][price]"),
        ("/payment_intents", vec![("amount", "1000")], "parameter_missing", "currency"),
        (
            "/setup_intents",
            vec![("payment_method_types[0]", "card")],
            "payment_method_types_no_longer_supported",
            "payment_method_types",
        ),
        ("/customers", vec![("metadata[a[b]", "c")], "parameter_invalid_string_key", "metadata[a[b]"),
    ];
    for (path, form, code, param) in refusals {
        let expected = (400, code.to_owned(), param.to_owned());
        assert_eq!(shop.refusal(path, &form).await, expected, "{path} {form:?}");
    }
    assert_eq!(shop.get("/subscriptions?status=asleep").await.0, 400);
    assert_eq!(shop.get("/charges?limit=101").await.0, 400);
    assert_eq!(shop.get("/nothing").await.0, 404);
    assert!(shop.world().events().is_empty());
}

#[tokio::test]
async fn only_what_can_be_expanded_is() {
    let shop = Shop::open().await;
    let customer = shop.customer_with("pm_card_visa").await;
    let price = shop.price("9900", "month").await;
    let form = [("customer", customer.as_str()), ("items[0][price]", &price), ("expand[0]", "latest_invoice.payments")];
    let subscription = shop.make("/subscriptions", &form).await;
    let payment = &subscription["latest_invoice"]["payments"]["data"][0];
    assert_eq!(payment["status"], "paid");
    let intent = payment["payment"]["payment_intent"].as_str().unwrap();
    let (_, found) =
        shop.get(&format!("/invoice_payments?payment[type]=payment_intent&payment[payment_intent]={intent}")).await;
    assert_eq!(found["data"][0]["invoice"], subscription["latest_invoice"]["id"]);
    let (_, intent) = shop.get(&format!("/payment_intents/{intent}?expand[]=latest_charge&expand[]=customer")).await;
    assert_eq!(intent["latest_charge"]["payment_method_details"]["card"]["last4"], "4242");
    assert_eq!(intent["customer"]["email"], "a@example.com");
    assert!(intent.get("invoice").is_none());
    let (_, list) = shop.get("/subscriptions?expand[]=data.latest_invoice.confirmation_secret").await;
    assert_eq!(list["data"][0]["latest_invoice"]["confirmation_secret"]["type"], "payment_intent");
    assert!(!list.to_string().contains("_simulator"), "{list}");
    for path in ["latest_invoice.payment_intent", "nothing", "latest_invoice.confirmation_secret.client_secret"] {
        let (status, _) = shop.get(&format!("/subscriptions/{}?expand[]={path}", id(&subscription))).await;
        assert_eq!(status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_key_replays_what_began_and_only_that() {
    let shop = Shop::open().await;
    let keyed = |form: &[(&str, &str)]| {
        shop.request(reqwest::Method::POST, "/refunds").header("idempotency-key", "k1").form(form).send()
    };
    let intent = id(&shop.pay("10000", "pm_card_visa").await);
    // Refused before it began: the key is still free.
    assert_eq!(keyed(&[("payment_intent", "pi_none")]).await.unwrap().status(), 400);
    let form = [("payment_intent", intent.as_str()), ("amount", "4000")];
    let first = keyed(&form).await.unwrap();
    assert_eq!((first.status().as_u16(), first.headers().contains_key("idempotent-replayed")), (200, false));
    let first = first.text().await.unwrap();
    let again = keyed(&form).await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(again.text().await.unwrap(), first);
    let other = keyed(&[("payment_intent", intent.as_str())]).await.unwrap();
    assert_eq!(other.status(), 400);
    assert!(other.text().await.unwrap().contains("idempotency_error"));
    assert_eq!(shop.world().objects(Kind::Refund).len(), 1);
    // After a day the key is forgotten.
    shop.world().advance(days(1));
    assert_eq!(keyed(&form).await.unwrap().status(), 200);
    assert_eq!(shop.world().objects(Kind::Refund).len(), 2);
}

#[tokio::test]
async fn a_limit_a_proxy_and_a_cut_connection_stand_in_the_way_of_every_method() {
    let shop = Shop::open().await;
    let customer = shop.customer().await;
    let path = format!("/customers/{customer}");
    shop.world().add_fault("customers.retrieve", "gateway:404", 1).unwrap();
    let (status, page) = shop.get(&path).await;
    assert_eq!((status, page.as_str().unwrap().starts_with("<html>")), (404, true));
    assert_eq!(shop.get(&path).await.1["id"], customer.as_str());
    shop.world().set_rate_limit(Some(1));
    assert_eq!(shop.get("/prices").await.0, 200);
    let limited = shop.request(reqwest::Method::GET, "/prices").send().await.unwrap();
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["stripe-rate-limited-reason"]),
        (429, &"endpoint-rate".parse().unwrap())
    );
    assert_eq!(shop.get("/products").await.0, 200, "the limit is each operation's own");
    shop.world().set_rate_limit(None);
    shop.world().add_fault("customers.delete", "error_after:503", 1).unwrap();
    assert_eq!(read(shop.request(reqwest::Method::DELETE, &path)).await.0, 503);
    assert_eq!(shop.get(&path).await.1, json!({ "id": customer, "object": "customer", "deleted": true }));
    assert_eq!(shop.refusal("/setup_intents", &[("customer", &customer)]).await.2, "customer");
    shop.world().add_fault("customers.retrieve", "drop_after", 1).unwrap();
    assert!(shop.request(reqwest::Method::GET, &path).send().await.is_err());
    assert!(shop.world().add_fault("customers.eat", "drop_after", 1).is_err());
}

#[tokio::test]
async fn an_answer_can_be_garbage_with_and_without_a_deed() {
    let shop = Shop::open().await;
    let form = [("email", "a@example.com")];
    for (mode, customers) in [("garbage", 0), ("garbage_after", 1)] {
        shop.world().add_fault("customers.create", mode, 1).unwrap();
        let (status, body) = shop.post("/customers", &form).await;
        assert_eq!((status, body.is_string()), (200, true), "{mode}: no JSON");
        assert_eq!(shop.world().objects(Kind::Customer).len(), customers, "{mode}");
    }
}

#[tokio::test]
async fn lists_are_pages_in_both_directions() {
    let shop = Shop::open().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(shop.customer().await);
    }
    let (_, page) = shop.get("/customers?limit=2").await;
    assert_eq!((page["data"][0]["id"].as_str(), page["has_more"].as_bool()), (Some(made[4].as_str()), Some(true)));
    let (_, page) = shop.get(&format!("/customers?starting_after={}", made[2])).await;
    assert_eq!((page["data"].as_array().unwrap().len(), page["has_more"].as_bool()), (2, Some(false)));
    let (_, page) = shop.get(&format!("/customers?limit=1&ending_before={}", made[2])).await;
    assert_eq!((page["data"][0]["id"].as_str(), page["has_more"].as_bool()), (Some(made[3].as_str()), Some(true)));
    let now = shop.world().now();
    let (_, page) = shop.get(&format!("/customers?created[gt]={now}")).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 0);
    assert_eq!(shop.get("/customers?starting_after=cus_none").await.0, 400);
}

#[tokio::test]
async fn everything_comes_back_from_the_state_file() {
    let file = std::env::temp_dir().join(format!("simulator-{}.json", std::process::id()));
    let shop = Shop::open_with(None, Some(file.clone())).await;
    let customer = shop.customer_with("pm_card_visa").await;
    let price = shop.price("9900", "month").await;
    let form = [("customer", customer.as_str()), ("items[0][price]", &price)];
    let subscription = id(&shop.make("/subscriptions", &form).await);
    shop.world().advance(days(10));
    let now = shop.world().now();
    shop.simulator.save().unwrap();
    drop(shop);
    let shop = Shop::open_with(None, Some(file.clone())).await;
    std::fs::remove_file(file).unwrap();
    assert!((now..now + 60).contains(&shop.world().now()), "the clock is where it was");
    assert_eq!(shop.object(Kind::Subscription, &subscription)["status"], "active");
    shop.world().advance(days(22));
    assert_eq!(shop.world().ledger().len(), 2, "the renewal was still on the agenda");
}
