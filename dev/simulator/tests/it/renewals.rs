//! What time does to subscriptions.

use serde_json::json;
use simulator::{AfterRetries, Kind};

use crate::{Shop, days, hours, id, moves};

/// An active monthly subscription: its id, and the customer's.
async fn subscribe(shop: &Shop, more: &[(&str, &str)]) -> (String, String) {
    let (customer, price) = (shop.customer_with("pm_card_visa").await, shop.price("9900", "month").await);
    let form = [("customer", customer.as_str()), ("items[0][price]", &price)];
    (id(&shop.make("/subscriptions", &[&form[..], more].concat()).await), customer)
}

#[tokio::test]
async fn each_month_is_charged_once_at_its_moment() {
    let shop = Shop::open().await;
    let (subscription, _) = subscribe(&shop, &[]).await;
    let first = shop.object(Kind::Subscription, &subscription)["items"]["data"][0]["current_period_end"].clone();
    shop.world().advance(days(100));
    assert_eq!(shop.moved(), moves(&[("charge", 9_900); 4]));
    let invoices = shop.world().objects(Kind::Invoice);
    assert_eq!((&invoices[1]["created"], &invoices[1]["billing_reason"]), (&first, &json!("subscription_cycle")));
    let now = shop.object(Kind::Subscription, &subscription);
    let item = &now["items"]["data"][0];
    assert_eq!((&now["status"], &now["latest_invoice"]), (&json!("active"), &invoices[3]["id"]));
    assert_eq!(item["current_period_start"], invoices[3]["created"]);
    let created: Vec<i64> = shop.world().events().iter().map(|event| event["created"].as_i64().unwrap()).collect();
    assert!(created.is_sorted(), "events come in the order of the moved clock");
}

#[tokio::test]
async fn a_declined_renewal_is_retried_and_in_the_end_given_up() {
    for (after, status) in [(AfterRetries::Unpaid, "unpaid"), (AfterRetries::Canceled, "canceled")] {
        let shop = Shop::open().await;
        let (subscription, customer) = subscribe(&shop, &[]).await;
        shop.world().set_after_retries(after);
        shop.world().set_customer_card(&customer, "pm_card_chargeDeclined").unwrap();
        shop.world().advance(days(32));
        let behind = shop.object(Kind::Subscription, &subscription);
        assert_eq!(behind["status"], "past_due");
        shop.world().advance(days(16));
        assert_eq!(shop.object(Kind::Subscription, &subscription)["status"], status);
        let invoice = shop.object(Kind::Invoice, behind["latest_invoice"].as_str().unwrap());
        assert_eq!((&invoice["status"], &invoice["attempt_count"]), (&json!("open"), &json!(4)));
        assert_eq!(shop.events("invoice.payment_failed"), 4);
        assert_eq!(shop.moved().len(), 1);
    }
}

#[tokio::test]
async fn a_card_that_is_mended_pays_at_the_next_retry() {
    let shop = Shop::open().await;
    let (subscription, customer) = subscribe(&shop, &[]).await;
    let card = |token: &str| json!({ "payment_method": token });
    shop.control(&format!("/customers/{customer}/card"), &card("pm_card_chargeDeclined")).await;
    shop.world().advance(days(32));
    shop.control(&format!("/customers/{customer}/card"), &card("pm_card_visa")).await;
    let (status, clock) = shop.control("/clock", &json!({ "advance_seconds": 3 * 86_400 })).await;
    assert_eq!((status, clock["fell_due"].as_u64()), (200, Some(1)));
    assert_eq!(shop.object(Kind::Subscription, &subscription)["status"], "active");
    assert_eq!(shop.moved(), moves(&[("charge", 9_900), ("charge", 9_900)]));
}

#[tokio::test]
async fn a_renewal_that_asks_for_the_payer_is_paid_by_the_payer() {
    let shop = Shop::open().await;
    let (subscription, customer) = subscribe(&shop, &[]).await;
    shop.world().set_customer_card(&customer, "pm_card_authenticationRequired").unwrap();
    shop.world().advance(days(32));
    assert_eq!(shop.object(Kind::Subscription, &subscription)["status"], "past_due");
    assert_eq!((shop.events("invoice.payment_action_required"), shop.events("invoice.payment_failed")), (1, 1));
    let (_, waiting) = shop.get(&format!("/payment_intents?customer={customer}&limit=1")).await;
    assert_eq!(waiting["data"][0]["status"], "requires_action");
    shop.world().authenticate_payment_intent(&id(&waiting["data"][0]), true).unwrap();
    assert_eq!(shop.object(Kind::Subscription, &subscription)["status"], "active");
    shop.world().advance(days(20));
    assert_eq!(shop.moved().len(), 2, "nothing is retried that was paid");
}

#[tokio::test]
async fn a_trial_is_paid_for_when_it_ends() {
    let shop = Shop::open().await;
    let (subscription, _) = subscribe(&shop, &[("trial_period_days", "14")]).await;
    let trial = shop.object(Kind::Subscription, &subscription);
    assert_eq!(
        (&trial["status"], &trial["trial_end"]),
        (&json!("trialing"), &trial["items"]["data"][0]["current_period_end"])
    );
    let free = shop.object(Kind::Invoice, trial["latest_invoice"].as_str().unwrap());
    assert_eq!((&free["status"], &free["total"]), (&json!("paid"), &json!(0)));
    assert!(shop.moved().is_empty());
    shop.world().advance(days(13));
    assert_eq!((shop.events("customer.subscription.trial_will_end"), shop.moved().len()), (1, 0));
    shop.world().advance(days(2));
    assert_eq!(shop.object(Kind::Subscription, &subscription)["status"], "active");
    assert_eq!(shop.moved(), moves(&[("charge", 9_900)]));
}

#[tokio::test]
async fn a_trial_without_a_card_ends_as_was_asked() {
    for (setting, status) in [("create_invoice", "past_due"), ("pause", "paused"), ("cancel", "canceled")] {
        let shop = Shop::open().await;
        let (customer, price) = (shop.customer().await, shop.price("9900", "month").await);
        let form = [
            ("customer", customer.as_str()),
            ("items[0][price]", &price),
            ("trial_period_days", "7"),
            ("trial_settings[end_behavior][missing_payment_method]", setting),
        ];
        let subscription = shop.make("/subscriptions", &form).await;
        assert!(subscription["pending_setup_intent"].is_string());
        shop.world().advance(days(7) + hours(1));
        assert_eq!(shop.object(Kind::Subscription, &id(&subscription))["status"], status, "{setting}");
        if setting == "pause" {
            shop.world().set_customer_card(&customer, "pm_card_visa").unwrap();
            let resumed = shop.make(&format!("/subscriptions/{}/resume", id(&subscription)), &[]).await;
            assert_eq!((&resumed["status"], shop.events("customer.subscription.resumed")), (&json!("active"), 1));
        }
    }
}

#[tokio::test]
async fn a_deleted_customer_is_charged_no_more() {
    let shop = Shop::open().await;
    let (subscription, customer) = subscribe(&shop, &[]).await;
    let url = format!("/customers/{customer}");
    crate::read(shop.request(reqwest::Method::DELETE, &url)).await;
    assert_eq!(shop.object(Kind::Subscription, &subscription)["status"], "canceled");
    assert_eq!((shop.events("customer.deleted"), shop.events("payment_method.detached")), (1, 1));
    shop.world().advance(days(70));
    assert_eq!(shop.moved().len(), 1);
}
