//! The operations on payments, as a client sees them.

use reqwest::{Method, StatusCode};
use serde_json::json;
use testing::{TestApp, payment_body, token};

#[tokio::test]
async fn a_card_payment_succeeds_and_its_timeline_tells_how() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa", "metadata": { "order": "17" } })).await;
    let accepted = app.payment(&id).await;
    assert_eq!((&accepted["status"], &accepted["provider_payment_id"]), (&json!("pending"), &json!(null)));

    app.run_jobs().await;

    let paid = app.payment(&id).await;
    assert_eq!(paid["status"], "succeeded");
    assert_eq!(paid["amount_captured"], 10_000);
    assert_eq!(app.charges(&id), 1);
    let ledger = app.simulator.world.ledger();
    assert_eq!((ledger[0].amount, ledger[0].currency.as_str()), (10_000, "sek"));
    assert_eq!(ledger[0].metadata["order"], "17");
    let timeline = app.timeline(&id).await;
    assert_eq!(timeline[0], "api pending accepted");
    assert!(timeline[1].starts_with("job succeeded Stripe made pi_"), "{timeline:?}");
    let mut events = timeline[2..].to_vec();
    events.sort();
    assert_eq!(events, ["webhook succeeded payment_intent.created", "webhook succeeded payment_intent.succeeded"]);
}

#[tokio::test]
async fn without_a_payment_method_the_payer_confirms_and_the_webhook_settles() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    app.run_jobs().await;
    let payment = app.payment(&id).await;
    assert_eq!(payment["status"], "requires_action");
    assert_eq!(payment["next_action"]["type"], "provide_payment_method");
    assert!(payment["client_secret"].as_str().expect("a secret").contains("_secret_"));
    assert_eq!(app.charges(&id), 0);

    // The first card is declined: the payment failed, and may be tried again.
    assert_eq!(app.confirm_in_browser(&payment, "pm_card_chargeDeclined").await, StatusCode::PAYMENT_REQUIRED);
    app.run_jobs().await;
    let failed = app.payment(&id).await;
    assert_eq!((&failed["status"], &failed["retryable"]), (&json!("failed"), &json!(true)));
    assert_eq!(failed["failure"]["decline_code"], "generic_decline");

    assert_eq!(app.confirm_in_browser(&payment, "pm_card_visa").await, StatusCode::OK);
    app.run_jobs().await;
    let paid = app.payment(&id).await;
    assert_eq!(
        (&paid["status"], &paid["failure"], &paid["retryable"]),
        (&json!("succeeded"), &json!(null), &json!(false))
    );
    assert_eq!(app.charges(&id), 1);
}

#[tokio::test]
async fn a_declined_card_fails_with_stripes_codes() {
    let app = TestApp::start().await;
    for (method, code, decline_code) in [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ] {
        let id = app.create_payment(json!({ "payment_method": method })).await;
        app.run_jobs().await;
        let payment = app.payment(&id).await;
        assert_eq!(payment["status"], "failed", "{method}");
        assert_eq!(payment["failure"]["code"], code);
        assert_eq!(payment["failure"]["decline_code"], decline_code);
        assert_eq!(payment["retryable"], true);
        assert_eq!(app.charges(&id), 0);
    }
}

#[tokio::test]
async fn what_stripe_refuses_fails_with_its_code_and_is_not_tried_again() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({ "amount": 1, "payment_method": "pm_card_visa" })).await;
    app.settle().await;
    let payment = app.payment(&id).await;
    assert_eq!((&payment["status"], &payment["retryable"]), (&json!("failed"), &json!(false)));
    assert_eq!(payment["failure"]["code"], "amount_too_small");
    assert_eq!(app.requests("payment_intents.create"), 1);
}

#[tokio::test]
async fn three_d_secure_asks_for_an_action() {
    let app = TestApp::start().await;
    let id = app
        .create_payment(
            json!({ "payment_method": "pm_card_authenticationRequired", "return_url": "https://shop.example" }),
        )
        .await;
    app.run_jobs().await;
    let payment = app.payment(&id).await;
    assert_eq!(payment["status"], "requires_action");
    assert_eq!(payment["next_action"]["type"], "redirect_to_url");
    assert_eq!(payment["next_action"]["redirect_to_url"]["return_url"], "https://shop.example");
}

#[tokio::test]
async fn prefer_wait_answers_201_once_a_worker_has_moved_the_payment() {
    let app = TestApp::start().await;
    let worker = app.start_worker();
    let headers = [
        ("authorization", format!("Bearer {}", token("anna"))),
        ("content-type", "application/json".to_owned()),
        ("prefer", "wait=20".to_owned()),
    ];
    let began = std::time::Instant::now();
    let answer =
        app.raw(Method::POST, "/api/payments", &headers, payment_body(json!({})).to_string().into_bytes()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(answer.header("preference-applied"), "wait=20");
    let payment = answer.json();
    assert_eq!(answer.header("location"), format!("/api/payments/{}", payment["id"].as_str().expect("an id")));
    assert!(payment["client_secret"].is_string());
    assert!(began.elapsed().as_secs() < 15, "it waited for its time to run out");
    worker.stop().await;
}

#[tokio::test]
async fn prefer_wait_answers_202_when_nothing_happens_in_time() {
    let app = TestApp::start().await;
    let headers = [
        ("authorization", format!("Bearer {}", token("anna"))),
        ("content-type", "application/json".to_owned()),
        ("prefer", "wait=1".to_owned()),
    ];
    let answer =
        app.raw(Method::POST, "/api/payments", &headers, payment_body(json!({})).to_string().into_bytes()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert!(answer.headers.get("preference-applied").is_none());
    assert_eq!(answer.json()["status"], "pending");
}

#[tokio::test]
async fn a_user_sees_only_their_own() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    for path in [format!("/api/payments/{id}"), format!("/api/payments/{id}/timeline")] {
        assert_eq!(app.call(Method::GET, &path, "anna", None).await.status, StatusCode::OK);
        let theirs = app.call(Method::GET, &path, "bo", None).await;
        assert_eq!((theirs.status, theirs.json()["code"].clone()), (StatusCode::NOT_FOUND, json!("payment_not_found")));
        let absent = app.call(Method::GET, &path.replace(&id[..8], "01a00000"), "anna", None).await;
        assert_eq!(absent.status, StatusCode::NOT_FOUND);
    }
    let listed = app.call(Method::GET, "/api/payments", "bo", None).await.json();
    assert_eq!(listed["data"], json!([]));
}

#[tokio::test]
async fn the_list_is_newest_first_and_stable_while_payments_are_added() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(app.create_payment(json!({})).await);
    }
    ids.reverse();
    let page = app.call(Method::GET, "/api/payments?limit=2", "anna", None).await.json();
    let ids_of = |page: &serde_json::Value| -> Vec<String> {
        let data = page["data"].as_array().expect("a list");
        data.iter().map(|payment| payment["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids_of(&page), ids[..2]);
    assert_eq!((&page["has_more"], &page["next_cursor"]), (&json!(true), &json!(ids[1])));
    app.create_payment(json!({})).await;
    let page = app.call(Method::GET, &format!("/api/payments?limit=2&starting_after={}", ids[1]), "anna", None).await;
    assert_eq!(ids_of(&page.json()), ids[2..4]);
    let page = app.call(Method::GET, &format!("/api/payments?starting_after={}", ids[3]), "anna", None).await.json();
    assert_eq!(ids_of(&page), ids[4..]);
    assert_eq!((&page["has_more"], &page["next_cursor"]), (&json!(false), &json!(null)));
}

#[tokio::test]
async fn a_stripe_customer_is_made_once_for_each_user() {
    let app = TestApp::start().await;
    let me = app.call(Method::GET, "/api/customers/me", "anna", None).await.json();
    assert_eq!((&me["email"], &me["stripe_customer_id"]), (&json!("anna@example.com"), &json!(null)));
    let worker = app.start_worker();
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(app.create_payment(json!({ "payment_method": "pm_card_visa" })).await);
    }
    for id in &ids {
        let payment = app.wait_for_status(id, "succeeded").await;
        assert_eq!(payment["customer_id"], me["id"]);
    }
    worker.stop().await;
    let again = app.call(Method::GET, "/api/customers/me", "anna", None).await.json();
    assert!(again["stripe_customer_id"].as_str().expect("an id").starts_with("cus_"));
    let made = app.simulator.world.events().iter().filter(|event| event["type"] == "customer.created").count();
    assert_eq!(made, 1);
}

#[tokio::test]
async fn health_and_metrics_answer_without_a_token() {
    let app = TestApp::start().await;
    let get = async |path: &str| app.raw(Method::GET, path, &[], Vec::new()).await;
    assert_eq!(get("/health").await.json(), json!({ "status": "ok" }));
    let ready = get("/health/ready").await;
    assert_eq!(ready.json(), json!({ "status": "ok", "postgres": "ok", "redis": "ok" }));
    let behind =
        "DELETE FROM seaql_migrations WHERE version = (SELECT max(version) FROM seaql_migrations) RETURNING version";
    let newest = app.text(behind).await;
    let not_ready = get("/health/ready").await;
    assert_eq!(
        (not_ready.status, &not_ready.json()["postgres"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable")),
        "the schema is older than the program"
    );
    app.execute(&format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{newest}', 0)")).await;
    assert_eq!(get("/health/ready").await.status, StatusCode::OK);
    app.create_payment(json!({})).await;
    let metrics = get("/metrics").await.text;
    let line = "payment_service_http_requests_total{method=\"POST\",path=\"/api/payments\",status=\"202\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    let docs = get("/docs").await;
    assert_eq!(docs.status, StatusCode::OK);
    assert!(docs.text.contains("swagger"));
    assert_eq!(get("/openapi.json").await.json()["info"]["title"], "Payment service");
}
