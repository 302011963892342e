//! Bad input gets a clear error and changes nothing.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::{TestApp, payment_body, token};

/// `(what it is, the body, the pointer of the field at fault)`
fn bad_bodies() -> Vec<(&'static str, Value, &'static str)> {
    let body = |more: Value| payment_body(more);
    vec![
        ("no object", json!([]), ""),
        ("unknown field", body(json!({ "colour": "red" })), "/colour"),
        ("nothing", json!({}), "/provider"),
        ("unknown provider", body(json!({ "provider": "paypal" })), "/provider"),
        ("zero", body(json!({ "amount": 0 })), "/amount"),
        ("negative", body(json!({ "amount": -1 })), "/amount"),
        ("huge", body(json!({ "amount": 1_000_000_000_000_i64 })), "/amount"),
        ("beyond 64 bits", body(json!({ "amount": 1e30 })), "/amount"),
        ("a fraction", body(json!({ "amount": 10.5 })), "/amount"),
        ("an amount in text", body(json!({ "amount": "10000" })), "/amount"),
        ("null", body(json!({ "amount": null })), "/amount"),
        ("no such currency", body(json!({ "currency": "xyz" })), "/currency"),
        ("a fraction of a krona", body(json!({ "currency": "isk", "amount": 150 })), "/amount"),
        ("a NUL byte", body(json!({ "description": "a\u{0}b" })), "/description"),
        ("too long a text", body(json!({ "description": "x".repeat(1_001) })), "/description"),
        ("a star on the statement", body(json!({ "statement_descriptor": "ACME*SHOP" })), "/statement_descriptor"),
        ("a method of another form", body(json!({ "payment_method": "pm card" })), "/payment_method"),
        ("the number of a card", body(json!({ "payment_method": "4242424242424242" })), "/payment_method"),
        ("an empty method", body(json!({ "payment_method": "" })), "/payment_method"),
        ("no URL", body(json!({ "payment_method": "pm_card_visa", "return_url": "shop" })), "/return_url"),
        (
            "a URL and what Postgres cannot hold",
            body(json!({ "payment_method": "pm_card_visa", "return_url": "https://shop.example/\u{0}" })),
            "/return_url",
        ),
        ("a script", body(json!({ "payment_method": "pm_card_visa", "return_url": "javascript:1" })), "/return_url"),
        ("a URL without a method", body(json!({ "return_url": "https://shop.example" })), "/return_url"),
        ("metadata that is no text", body(json!({ "metadata": { "a": 1 } })), "/metadata/a"),
        ("a key of ours", body(json!({ "metadata": { "payment_id": "x" } })), "/metadata/payment_id"),
        ("a key with a slash", body(json!({ "metadata": { "a/b": "" } })), "/metadata/a~1b"),
    ]
}

#[tokio::test]
async fn each_bad_body_names_its_field_and_changes_nothing() {
    let app = TestApp::start().await;
    for (what, body, pointer) in bad_bodies() {
        let answer = app.call(Method::POST, "/api/payments", "anna", Some(body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{what}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
        let problem = answer.json();
        assert_eq!(problem["code"], "invalid_body", "{what}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{what}: {problem}");
        assert_eq!(problem["request_id"], answer.header("x-request-id"), "{what}");
    }
    let rows =
        "SELECT (SELECT count(*) FROM payments) + (SELECT count(*) FROM jobs) + (SELECT count(*) FROM customers)";
    assert_eq!(app.count(rows).await, 0);
}

#[tokio::test]
async fn all_bad_fields_are_named_at_once() {
    let app = TestApp::start().await;
    let body =
        payment_body(json!({ "amount": -1, "currency": "nope", "description": "\u{1}", "metadata": { "": "x" } }));
    let problem = app.call(Method::POST, "/api/payments", "anna", Some(body)).await.json();
    assert_eq!(problem["errors"].as_array().expect("errors").len(), 4, "{problem}");
}

#[tokio::test]
async fn text_outside_the_basic_plane_is_welcome() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({ "description": "ett 💳 köp", "metadata": { "🛒": "𝔎orb" } })).await;
    app.run_jobs().await;
    let payment = app.payment(&id).await;
    assert_eq!((&payment["description"], &payment["metadata"]["🛒"]), (&json!("ett 💳 köp"), &json!("𝔎orb")));
}

/// Method, path, headers, body; the status and the code that they get.
type Case<'a> = (Method, &'a str, &'a [(&'a str, String)], Vec<u8>, u16, &'a str);

#[tokio::test]
async fn what_the_framework_refuses_is_a_problem_too() {
    let app = TestApp::start().await;
    let auth = ("authorization", format!("Bearer {}", token("anna")));
    let json_type = ("content-type", "application/json".to_owned());
    let authorised = [auth.clone(), json_type.clone()];
    let cases: Vec<Case<'_>> = vec![
        (Method::GET, "/api/nothing", &authorised, vec![], 404, "route_not_found"),
        (Method::PUT, "/api/payments", &authorised, vec![], 405, "method_not_allowed"),
        (Method::GET, "/api/payments/not-a-uuid", &authorised, vec![], 400, "invalid_parameter"),
        (Method::GET, "/api/payments?limit=0", &authorised, vec![], 400, "invalid_parameter"),
        (Method::GET, "/api/payments?limit=101", &authorised, vec![], 400, "invalid_parameter"),
        (Method::GET, "/api/payments?limit=x", &authorised, vec![], 400, "invalid_parameter"),
        (Method::GET, "/api/payments?starting_after=x", &authorised, vec![], 400, "invalid_parameter"),
        (Method::POST, "/api/payments", &authorised, b"{".to_vec(), 400, "invalid_json"),
        (Method::POST, "/api/payments", &authorised, b"\xff\xfe".to_vec(), 400, "invalid_json"),
        (Method::POST, "/api/payments", &authorised, vec![], 400, "missing_body"),
        (Method::POST, "/api/payments", &authorised, vec![b' '; 65_537], 413, "body_too_large"),
        (Method::POST, "/api/payments", std::slice::from_ref(&auth), b"{}".to_vec(), 415, "unsupported_media_type"),
        (Method::POST, "/api/payments", &[], b"{}".to_vec(), 401, "unauthorized"),
        (Method::GET, "/api/payments", &[], vec![], 401, "unauthorized"),
        (Method::GET, "/api/customers/me", &[], vec![], 401, "unauthorized"),
    ];
    for (method, path, headers, body, status, code) in cases {
        let answer = app.raw(method.clone(), path, headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {path}");
        assert_eq!(answer.json()["code"], code, "{method} {path}");
        assert_eq!(answer.json()["status"], status, "{method} {path}");
    }
}

#[tokio::test]
async fn a_request_id_is_taken_over_if_it_is_harmless() {
    let app = TestApp::start().await;
    let ask = async |id: &str| {
        app.raw(Method::GET, "/health", &[("x-request-id", id.to_owned())], vec![])
            .await
            .header("x-request-id")
            .to_owned()
    };
    assert_eq!(ask("checkout-17").await, "checkout-17");
    assert_ne!(ask("has a space").await, "has a space");
    assert_ne!(ask(&"x".repeat(129)).await, "x".repeat(129));
}
