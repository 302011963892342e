//! Customers: what is known of them, what they have saved, and paying with it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::TestApp;

pub(crate) async fn save_card(app: &TestApp, card: &str) -> String {
    let setup = app.accepted(Method::POST, "/api/customers/me/setup", json!({})).await;
    app.settle().await;
    let path = format!("/api/customers/me/setup/{}", setup["id"].as_str().expect("an id"));
    let setup = app.read(&path).await;
    assert_eq!(setup["status"], "requires_payment_method", "{setup}");
    app.confirm_in_browser(&setup, card).await;
    app.settle().await;
    assert_eq!(app.read(&path).await["status"], "succeeded");
    let methods = app.read("/api/customers/me/payment-methods").await;
    methods["data"][0]["id"].as_str().unwrap_or_else(|| panic!("{methods}")).to_owned()
}

#[tokio::test]
async fn a_saved_card_pays_also_when_the_payer_is_away() {
    let app = TestApp::start().await;
    let card = save_card(&app, "pm_card_visa").await;
    let methods = app.read("/api/customers/me/payment-methods").await;
    assert_eq!((&methods["data"][0]["brand"], &methods["data"][0]["last4"]), (&json!("visa"), &json!("4242")));
    let id = app.create_payment(json!({ "payment_method": card, "off_session": true })).await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded", "{:?}", app.timeline(&id).await);
    assert_eq!(app.charges(&id), 1);

    // Another user's card is nobody's.
    let body = testing::payment_body(json!({ "payment_method": card }));
    let theirs = app.call(Method::POST, "/api/payments", "bo", Some(body)).await;
    assert_eq!(theirs.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(theirs.json()["errors"][0]["pointer"], "/payment_method");
    let unsaved = testing::payment_body(json!({ "payment_method": "pm_card_visa", "off_session": true }));
    let answer = app.call(Method::POST, "/api/payments", "anna", Some(unsaved)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_removed_card_is_gone_and_pays_no_more() {
    for mode in ["none", "drop_before", "drop_after", "error_after:500"] {
        let app = TestApp::start().await;
        let card = save_card(&app, "pm_card_visa").await;
        if mode != "none" {
            app.fault("payment_methods.detach", mode, 1);
        }
        let path = format!("/api/customers/me/payment-methods/{card}");
        assert_eq!(app.call(Method::DELETE, &path, "bo", None).await.status, StatusCode::NOT_FOUND);
        let answer = app.call(Method::DELETE, &path, "anna", None).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        assert_eq!(app.read("/api/customers/me/payment-methods").await["data"], json!([]));
        app.settle().await;
        assert_eq!(app.text("SELECT status FROM saved_payment_methods").await, "removed", "{mode}");
        let body = testing::payment_body(json!({ "payment_method": card }));
        let answer = app.call(Method::POST, "/api/payments", "anna", Some(body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
}

#[tokio::test]
async fn what_a_customer_changes_reaches_stripe() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    app.fault("customers.update", "drop_before", 1);
    let patch = json!({ "email": "new@example.com", "name": null, "metadata": { "vip": "yes" } });
    let answer = app.call(Method::PATCH, "/api/customers/me", "anna", Some(patch)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!((&answer.json()["email"], &answer.json()["name"]), (&json!("new@example.com"), &Value::Null));
    app.settle().await;
    let at_stripe = app.simulator.world.objects(simulator::Kind::Customer);
    assert_eq!(at_stripe[0]["email"], "new@example.com");
    assert_eq!(at_stripe[0]["metadata"]["vip"], "yes");
    assert_eq!(app.read("/api/customers/me").await["metadata"], json!({ "vip": "yes" }));
}

#[tokio::test]
async fn a_customer_who_was_deleted_at_stripe_gets_another() {
    for told in [true, false] {
        let app = TestApp::start().await;
        let card = save_card(&app, "pm_card_visa").await;
        let first = app.read("/api/customers/me").await["stripe_customer_id"].as_str().expect("an id").to_owned();
        if !told {
            app.fault("*", "webhook:lose", 10);
        }
        let url = format!("{}/v1/customers/{first}", app.simulator.url());
        reqwest::Client::new().delete(url).bearer_auth("sk_test_x").send().await.expect("an answer");
        app.settle().await;
        let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
        app.settle().await;
        assert_eq!(app.payment(&id).await["status"], "succeeded", "{told} {:?}", app.timeline(&id).await);
        assert_eq!(app.charges(&id), 1);
        assert_ne!(app.read("/api/customers/me").await["stripe_customer_id"], json!(first));
        if told {
            assert_eq!(app.read("/api/customers/me/payment-methods").await["data"], json!([]), "{card}");
        }
    }
}

#[tokio::test]
async fn metadata_that_were_removed_are_removed_at_stripe_and_what_others_put_there_stays() {
    let app = TestApp::start().await;
    app.make_stripe_customer().await;
    let patch = async |metadata: Value| {
        let body = json!({ "metadata": metadata });
        assert_eq!(app.call(Method::PATCH, "/api/customers/me", "anna", Some(body)).await.status, StatusCode::OK);
    };
    patch(json!({ "a": "1", "b": "2" })).await;
    app.settle().await;
    let stripe_id = app.simulator.world.objects(simulator::Kind::Customer)[0]["id"].as_str().expect("an id").to_owned();
    let theirs = [("metadata[theirs]", "x")];
    let url = format!("{}/v1/customers/{stripe_id}", app.simulator.url());
    let request = reqwest::Client::new().post(url).bearer_auth("sk_test_x").form(&theirs);
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::OK);

    // Gone, back again, and another one gone, before Stripe was told of any.
    patch(json!({ "a": null })).await;
    patch(json!({ "a": "3", "b": null })).await;
    app.fault("customers.update", "drop_after", 1);
    app.settle().await;
    let metadata = app.simulator.world.objects(simulator::Kind::Customer)[0]["metadata"].clone();
    assert_eq!((&metadata["a"], &metadata["b"], &metadata["theirs"]), (&json!("3"), &Value::Null, &json!("x")));
    assert_eq!(app.count("SELECT count(*) FROM customers WHERE removed_metadata <> '{}'").await, 0);
}

#[tokio::test]
async fn a_change_overwrites_nothing_that_was_not_read() {
    let app = TestApp::start().await;
    let body = json!({ "provider": "stripe", "amount": 9_900, "currency": "sek", "interval": "month", "product_name": "Coffee" });
    let subscription = app.accepted(Method::POST, "/api/subscriptions", body).await["id"].clone();
    app.settle().await;
    let subscription = format!("/api/subscriptions/{}", subscription.as_str().expect("an id"));
    for (path, change) in [
        ("/api/customers/me", json!({ "name": "Anna B" })),
        (subscription.as_str(), json!({ "metadata": { "plan": "more" } })),
    ] {
        let tag = app.call(Method::GET, path, "anna", None).await.header("etag").to_owned();
        let patch = async |tag: &str| {
            let headers = [
                ("authorization", format!("Bearer {}", testing::token("anna"))),
                ("content-type", "application/json".to_owned()),
                ("if-match", tag.to_owned()),
            ];
            app.raw(Method::PATCH, path, &headers, change.to_string().into_bytes()).await
        };
        for other in ["\"0\"", "W/\"1\"", &format!("W/{tag}"), "x"] {
            let refused = patch(other).await;
            assert_eq!(
                (refused.status, &refused.json()["code"]),
                (StatusCode::PRECONDITION_FAILED, &json!("precondition_failed")),
                "{path} {other}"
            );
        }
        assert!(patch(&format!("\"0\", {tag}")).await.status.is_success(), "{path}");
        app.settle().await;
        assert_eq!(patch(&tag).await.status, StatusCode::PRECONDITION_FAILED, "{path}: it has changed");
        assert_ne!(app.call(Method::GET, path, "anna", None).await.header("etag"), tag, "{path}");
        assert!(patch("*").await.status.is_success(), "{path}");
        app.settle().await;
    }
}

#[tokio::test]
async fn a_patch_of_metadata_names_only_what_can_be_a_key() {
    let app = TestApp::start().await;
    let many: serde_json::Map<String, serde_json::Value> = (0..49).map(|n| (n.to_string(), json!(null))).collect();
    for (metadata, pointer) in [
        (json!({ "": null }), "/metadata/"),
        (json!({ "a[b]": null }), "/metadata/a[b]"),
        (json!({ "x".repeat(41): null }), format!("/metadata/{}", "x".repeat(41)).as_str()),
        (json!(many), "/metadata"),
    ] {
        let answer = app.call(Method::PATCH, "/api/customers/me", "anna", Some(json!({ "metadata": metadata }))).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{metadata}: {answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    let unknown = json!({ "metadata": { "never-there": null } });
    assert_eq!(app.call(Method::PATCH, "/api/customers/me", "anna", Some(unknown)).await.status, StatusCode::OK);
}
