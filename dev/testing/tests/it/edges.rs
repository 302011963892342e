//! The edges of HTTP: errors in words about the request, parameters that do not exist, methods, bodies left out.

use std::io::Read as _;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::{TestApp, payment_body, token};

/// `(the body of POST /api/payments, the pointer, the detail)`
fn bodies() -> Vec<(String, &'static str, &'static str)> {
    let with = |more: Value| payment_body(more).to_string();
    let raw = |more: &str| format!(r#"{{"provider":"stripe","currency":"sek","amount":1000,{more}}}"#);
    vec![
        ("[]".to_owned(), "", "must be an object"),
        (r#"["stripe",1000,"sek"]"#.to_owned(), "", "must be an object"),
        ("null".to_owned(), "", "must be an object"),
        (with(json!({ "amount": "199" })), "/amount", "must be a whole number"),
        (with(json!({ "amount": 10.5 })), "/amount", "must be a whole number"),
        (with(json!({ "amount": null })), "/amount", "must be a whole number"),
        (with(json!({ "amount": [1] })), "/amount", "must be a whole number"),
        (with(json!({ "amount": 1e30 })), "/amount", "must be between 1 and 999999999999"),
        (with(json!({ "currency": 7 })), "/currency", "must be a text"),
        (with(json!({ "description": {} })), "/description", "must be a text"),
        (with(json!({ "provider": "paypal" })), "/provider", "must be one of stripe, swish"),
        (with(json!({ "provider": { "stripe": null } })), "/provider", "must be one of stripe, swish"),
        (with(json!({ "capture_method": null })), "/capture_method", "must be one of automatic, manual"),
        (with(json!({ "capture_method": "later" })), "/capture_method", "must be one of automatic, manual"),
        (with(json!({ "off_session": 1 })), "/off_session", "must be true or false"),
        (with(json!({ "off_session": null })), "/off_session", "must be true or false"),
        (with(json!({ "metadata": [] })), "/metadata", "must be an object"),
        (with(json!({ "metadata": null })), "/metadata", "must be an object"),
        (with(json!({ "metadata": { "a/b": 1 } })), "/metadata/a~1b", "must be a text"),
        (with(json!({ "metadata": { "a": null } })), "/metadata/a", "must be a text"),
        (with(json!({ "swish": ["46712345678"] })), "/swish", "must be an object"),
        (r#"{"provider":"stripe","currency":"sek"}"#.to_owned(), "/amount", "must be given"),
        (raw(r#""amount":2000"#), "/amount", "is given twice"),
        (raw(r#""metadata":{"a":"1","a":"2"}"#), "/metadata/a", "is given twice"),
    ]
}

/// `(path, the detail of the 400)`
const PARAMETERS: [(&str, &str); 23] = [
    ("/api/payments/abc", "id: must be a UUID"),
    ("/api/refunds/abc", "id: must be a UUID"),
    (
        "/api/payments?status=paid",
        "status: must be one of pending, processing, requires_action, requires_capture, succeeded, failed, canceled",
    ),
    ("/api/payments?provider=", "provider: must be one of stripe, swish"),
    ("/api/payments?limit=1000", "limit: must be between 1 and 100"),
    ("/api/payments?limit=0", "limit: must be between 1 and 100"),
    ("/api/payments?limit=ten", "limit: must be a whole number"),
    ("/api/payments?limit=-1", "limit: must be a whole number"),
    ("/api/payments?starting_after=x", "starting_after: must be a UUID"),
    (
        "/api/payments?created_after=2026-01-01",
        "created_after: must be an RFC 3339 time, as in 2026-01-01T00:00:00Z (a + in a query is written %2B)",
    ),
    (
        "/api/payments?created_before=2026-01-01T00:00:00+01:00",
        "created_before: must be an RFC 3339 time, as in 2026-01-01T00:00:00Z (a + in a query is written %2B)",
    ),
    ("/api/payments?currency=kr", "currency: not an ISO 4217 currency code"),
    (
        "/api/payments?customer_id=x",
        "customer_id: there is no such parameter; there are limit, starting_after, status, provider, currency, \
         created_after, created_before, metadata[key]",
    ),
    ("/api/payments?status=succeeded&status=failed", "status: is given twice"),
    ("/api/payments?metadata[a]=1&metadata[a]=2", "metadata[a]: is given twice"),
    ("/api/payments?metadata=1", "metadata: metadata is filtered by metadata[key]=value"),
    ("/api/payments?metadata[a][b]=1", "metadata[a][b]: metadata is filtered by metadata[key]=value"),
    (
        "/api/disputes?payment=x",
        "payment: there is no such parameter; there are limit, starting_after, payment_id, status",
    ),
    ("/api/refunds?payment_id=1", "payment_id: must be a UUID"),
    (
        "/api/refunds?metadata[a]=1",
        "metadata[a]: there is no such parameter; there are limit, starting_after, payment_id",
    ),
    ("/api/customers/me?fields=email", "fields: there is no such parameter; there are none here"),
    ("/api/payments/018f4e9e-0000-7000-8000-000000000000/qr?size=9000", "size: must be between 100 and 2000"),
    ("/api/payments/018f4e9e-0000-7000-8000-000000000000/qr?format=gif", "format: must be one of svg, png"),
];

fn signed_in(more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let mut headers = vec![("authorization", format!("Bearer {}", token("anna")))];
    headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    headers
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[tokio::test]
async fn what_is_wrong_is_told_in_words_about_the_request() {
    let app = TestApp::start().await;
    for (body, pointer, detail) in bodies() {
        let answer = app.raw(Method::POST, "/api/payments", &signed_in(JSON), body.clone().into_bytes()).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].clone()), (422, json!("invalid_body")), "{body}");
        assert_eq!(answer.json()["errors"], json!([{ "pointer": pointer, "detail": detail }]), "{body}");
    }
    for (path, detail) in PARAMETERS {
        let answer = app.call(Method::GET, path, "anna", None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["code"].clone()),
            (400, json!("invalid_parameter")),
            "{path}"
        );
        assert_eq!(answer.json()["detail"], detail, "{path}");
    }
    assert_eq!(app.count("SELECT count(*) FROM payments").await, 0);
}

#[tokio::test]
async fn other_operations_say_it_alike() {
    let app = TestApp::start().await;
    let faults = async |method: Method, path: &str, user: &str, body: Value| {
        let answer = app.call(method, path, user, Some(body)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {answer:?}");
        answer.json()["errors"].clone()
    };
    let fault = |pointer: &str, detail: &str| json!([{ "pointer": pointer, "detail": detail }]);
    assert_eq!(
        faults(Method::POST, "/api/refunds", "anna", json!({ "payment_id": "x" })).await,
        fault("/payment_id", "must be a UUID")
    );
    let replay = "/api/admin/provider-events/replay";
    assert_eq!(
        faults(Method::POST, replay, "root", json!({ "received_after": "2026-01-01" })).await,
        fault("/received_after", "must be an RFC 3339 time, as in 2026-01-01T00:00:00Z")
    );
    let nothing = fault("", "say which: an outcome, a type, or a time");
    assert_eq!(faults(Method::POST, replay, "root", json!({})).await, nothing);
    assert_eq!(
        faults(Method::PATCH, "/api/customers/me", "anna", json!({ "nickname": "A" })).await,
        fault("/nickname", "there is no such field; there are email, name, metadata")
    );
    assert_eq!(
        faults(Method::POST, "/api/customers/me/setup", "anna", json!({ "colour": "red" })).await,
        fault("/colour", "there is no such field; there are none here")
    );
    let all = faults(Method::POST, "/api/payments", "anna", json!({ "amount": "1", "currency": 1, "colour": 1 })).await;
    let pointers: Vec<&Value> = all.as_array().expect("a list").iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(pointers, ["/provider", "/amount", "/currency", "/colour"], "all of it at once");
    let gone = app.call(Method::DELETE, "/api/customers/me/payment-methods/pm_none", "anna", None).await.json();
    assert_eq!(
        (&gone["code"], &gone["detail"]),
        (&json!("payment_method_not_found"), &json!("there is no such payment method"))
    );
}

#[tokio::test]
async fn a_body_of_which_nothing_must_be_given_may_be_left_out() {
    let app = TestApp::start().await;
    let held = json!({ "capture_method": "manual", "payment_method": "pm_card_visa" });
    let (first, second) = (app.create_payment(held.clone()).await, app.create_payment(held).await);
    app.settle().await;
    let capture = format!("/api/payments/{first}/capture");
    let too_much = app.call(Method::POST, &capture, "anna", Some(json!({ "amount": 10_001 }))).await;
    assert_eq!(too_much.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(too_much.json()["code"], "capture_exceeds_held");
    let fault = json!([{ "pointer": "/amount", "detail": "at most 10000 is held" }]);
    assert_eq!(too_much.json()["errors"], fault);
    for path in [capture, format!("/api/payments/{second}/cancel"), "/api/customers/me/setup".to_owned()] {
        let answer = app.raw(Method::POST, &path, &signed_in(&[]), vec![]).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{path}: {answer:?}");
    }
    let setup = app.call(Method::POST, "/api/customers/me/setup", "anna", Some(json!({}))).await;
    assert_eq!(setup.status, StatusCode::ACCEPTED);
    app.settle().await;
    assert_eq!(app.payment(&first).await["amount_captured"], 10_000);
    assert_eq!(app.payment(&second).await["status"], "canceled");

    let refund = json!({ "payment_id": first });
    assert_eq!(app.call(Method::POST, "/api/refunds", "anna", Some(refund.clone())).await.status, StatusCode::ACCEPTED);
    let again = app.call(Method::POST, "/api/refunds", "anna", Some(refund)).await.json();
    assert_eq!(
        (&again["code"], &again["detail"]),
        (&json!("refund_exceeds_captured"), &json!("all of it is refunded already"))
    );
    let document = app.raw(Method::GET, "/openapi.json", &[], vec![]).await.json();
    let required = |path: &str| document["paths"][path]["post"]["requestBody"]["required"].as_bool();
    assert_eq!(required("/api/payments"), Some(true));
    assert_ne!(required("/api/payments/{id}/capture"), Some(true));
}

#[tokio::test]
async fn a_patch_that_changes_nothing_writes_nothing() {
    let app = TestApp::start().await;
    let me = app.call(Method::PATCH, "/api/customers/me", "anna", Some(json!({}))).await;
    assert_eq!(me.status, StatusCode::OK);
    assert_eq!(app.count("SELECT count(*) FROM customers").await, 1);
    let named = app.call(Method::PATCH, "/api/customers/me", "anna", Some(json!({ "name": "Anna" }))).await.json();
    for body in [Some(json!({})), Some(json!({ "name": "Anna", "metadata": { "none": null } })), None] {
        let same = app.call(Method::PATCH, "/api/customers/me", "anna", body).await;
        assert_eq!((same.status, same.json()), (StatusCode::OK, named.clone()));
    }
}

#[tokio::test]
async fn each_path_tells_its_methods() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    let payment = format!("/api/payments/{id}");
    let cases = [
        ("/api/payments", "POST, GET, HEAD, OPTIONS"),
        (payment.as_str(), "GET, HEAD, OPTIONS"),
        ("/api/customers/me", "GET, HEAD, PATCH, OPTIONS"),
        ("/api/admin/provider-events/replay", "POST, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
    ];
    for (path, allow) in cases {
        let options = app.raw(Method::OPTIONS, path, &[], vec![]).await;
        assert_eq!((options.status, options.text.as_str()), (StatusCode::NO_CONTENT, ""), "{path}");
        let other = app.raw(Method::PUT, path, &signed_in(&[]), vec![]).await;
        assert_eq!(other.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(other.json()["code"], "method_not_allowed");
        for answer in [options, other] {
            let named: std::collections::BTreeSet<&str> = answer.header("allow").split(", ").collect();
            assert_eq!(named, allow.split(", ").collect(), "{path}");
        }
    }
    let deep = app.raw(Method::GET, "/api/payments/nothing/here", &signed_in(&[]), vec![]).await;
    assert_eq!((deep.status, deep.json()["code"].clone()), (StatusCode::NOT_FOUND, json!("route_not_found")));
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    let unknown = format!("/api/payments/{}", uuid::Uuid::nil());
    for path in ["/health", "/openapi.json", "/docs", "/api/payments", &format!("/api/payments/{id}"), &unknown] {
        let get = app.raw(Method::GET, path, &signed_in(&[]), vec![]).await;
        let head = app.raw(Method::HEAD, path, &signed_in(&[]), vec![]).await;
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        for (name, value) in &get.headers {
            if !["date", "x-request-id", "content-length"].contains(&name.as_str()) {
                assert_eq!(head.headers.get(name), Some(value), "{path}: {name}");
            }
        }
        let (length, id_length) = (get.text.len(), "x-request-id");
        assert!(head.headers.contains_key(id_length));
        if path.starts_with("/api/payments") && path != unknown {
            assert_eq!(head.header("content-length"), length.to_string(), "{path}");
        }
    }
}

#[tokio::test]
async fn the_root_leads_to_the_manual_and_probes_may_add_what_they_like() {
    let app = TestApp::start().await;
    let root = app.raw(Method::GET, "/", &[], vec![]).await;
    assert!(root.status == StatusCode::OK && root.text.contains("swagger"), "the client follows: {root:?}");
    for path in ["/health?probe=1", "/health/ready?probe=1", "/metrics?x=1&x=2", "/docs?x=1", "/openapi.json?x=1"] {
        assert_eq!(app.raw(Method::GET, path, &[], vec![]).await.status, StatusCode::OK, "{path}");
    }
    let listed = app.call(Method::GET, "/api/payments?metadata[a]=1&metadata[b]=2&limit=5", "anna", None).await;
    assert_eq!(listed.status, StatusCode::OK);
    let metrics = app.raw(Method::GET, "/metrics", &[], vec![]).await.text;
    assert!(metrics.contains(r#"method="GET",path="/api/payments",status="200""#), "{metrics}");
}

#[tokio::test]
async fn long_answers_are_compressed_for_who_takes_it() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        app.create_payment(json!({})).await;
    }
    let encoding_of = async |path: &str, accept: &str| {
        let request = reqwest::Client::new().get(format!("{}{path}", app.api_url)).bearer_auth(token("anna"));
        let request = request.header("accept-encoding", accept).header("origin", "https://shop.example");
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let vary = answer.headers().get_all("vary").iter().any(|value| value == "accept-encoding");
        let encoding = answer.headers().get("content-encoding").map(|value| value.to_str().expect("text").to_owned());
        (encoding.unwrap_or_default(), vary, answer.bytes().await.expect("a body"))
    };
    let plain = encoding_of("/api/payments", "identity").await;
    assert_eq!((plain.0.as_str(), plain.1), ("", true));
    for path in ["/api/payments", "/docs", "/reference", "/openapi.json"] {
        let (_, _, long) = encoding_of(path, "br, gzip;q=0").await;
        let (encoding, varies, short) = encoding_of(path, "br, gzip;q=0.8").await;
        assert_eq!((encoding.as_str(), varies), ("gzip", true), "{path}");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&short[..]).read_to_end(&mut unpacked).expect("gzip");
        assert!(unpacked == long && short.len() * 2 < long.len(), "{path}: {} of {}", short.len(), long.len());
    }
    let (encoding, varies, _) = encoding_of("/health", "gzip").await;
    assert_eq!((encoding.as_str(), varies), ("", true), "too short to be worth it");
}

#[tokio::test]
async fn a_request_is_followed_to_its_job() {
    let app = TestApp::start().await;
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (given, starts_with) in [(given, &given[..36]), ("00-nonsense", "00-")] {
        let headers = [
            ("authorization", format!("Bearer {}", token("anna"))),
            ("content-type", "application/json".to_owned()),
            ("traceparent", given.to_owned()),
        ];
        let body = payment_body(json!({})).to_string().into_bytes();
        let answer = app.raw(Method::POST, "/api/payments", &headers, body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        let kept = app.text("SELECT trace_parent FROM jobs ORDER BY created_at DESC LIMIT 1").await;
        assert!(kept.len() == 55 && kept != given && kept.starts_with(starts_with), "{kept}");
    }
}

#[tokio::test]
async fn pages_say_what_they_take() {
    let app = TestApp::start().await;
    for path in ["/docs", "/reference", "/openapi.json", "/errors"] {
        let answer = app.raw(Method::POST, path, &[], Vec::new()).await;
        assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"), "{path}");
    }
}
