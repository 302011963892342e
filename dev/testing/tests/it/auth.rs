//! Tokens: who may in, and whose keys count.

use std::sync::{Arc, Mutex};

use api::config::{Auth, Keys};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use poem::listener::TcpAcceptor;
use poem::{EndpointExt as _, Route, Server, get, handler, web::Data};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::{Answer, JWT_SECRET, TestApp, development_auth, wait_until};

/// Made for these tests: `openssl genrsa 2048`.
const PRIVATE_KEY: &str = include_str!("keys/private.pem");
const PUBLIC_KEY: &str = include_str!("keys/public.pem");
const OTHER_PRIVATE_KEY: &str = include_str!("keys/other-private.pem");
/// `PUBLIC_KEY` and the public part of the other key, as JWKs without `kid`.
const JWK: &str = include_str!("keys/public.jwk.json");
const OTHER_JWK: &str = include_str!("keys/other-public.jwk.json");

fn claims(more: Value) -> Value {
    let mut claims = json!({ "sub": "anna", "exp": chrono::Utc::now().timestamp() + 600 });
    for (key, value) in more.as_object().expect("an object") {
        claims[key] = value.clone();
    }
    claims
}

fn hs256(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), claims, &key).expect("a token")
}

fn rs256(claims: &Value, private_key: &str, kid: Option<&str>) -> String {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = kid.map(str::to_owned);
    let key = EncodingKey::from_rsa_pem(private_key.as_bytes()).expect("a key");
    jsonwebtoken::encode(&header, claims, &key).expect("a token")
}

async fn ask(app: &TestApp, token: &str) -> Answer {
    app.raw(Method::GET, "/api/payments", &[("authorization", format!("Bearer {token}"))], vec![]).await
}

fn keys() -> Keys {
    Keys { jwt_jwks_url: None, jwt_pem_url: None, jwt_pem_file: None, jwt_development_secret: None }
}

#[tokio::test]
async fn only_a_good_token_is_let_in() {
    let mut auth = development_auth();
    auth.jwt_audience = Some("payments".to_owned());
    auth.jwt_issuer = Some("https://auth.example".to_owned());
    let app = TestApp::start_with(auth).await;
    let good = claims(json!({ "aud": "payments", "iss": "https://auth.example" }));
    assert_eq!(ask(&app, &hs256(&good, JWT_SECRET)).await.status, StatusCode::OK);
    let now = chrono::Utc::now().timestamp();
    let with = |more: Value| {
        let mut claims = good.clone();
        for (key, value) in more.as_object().expect("an object") {
            claims[key] = value.clone();
        }
        hs256(&claims, JWT_SECRET)
    };
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhbm5hIiwiZXhwIjo5OTk5OTk5OTk5fQ.";
    for (what, token) in [
        ("expired", with(json!({ "exp": now - 60 }))),
        ("not valid yet", with(json!({ "nbf": now + 600 }))),
        ("for another audience", with(json!({ "aud": "shop" }))),
        ("from another issuer", with(json!({ "iss": "https://evil.example" }))),
        ("without a user", with(json!({ "sub": null }))),
        ("with an empty user", with(json!({ "sub": "" }))),
        ("signed with another secret", hs256(&good, "another secret")),
        ("signed with another algorithm", rs256(&good, PRIVATE_KEY, None)),
        ("not signed", unsigned.to_owned()),
        ("no token", "x".to_owned()),
    ] {
        let answer = ask(&app, &token).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}");
        assert_eq!(answer.json()["code"], "invalid_token", "{what}");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
    }
}

#[tokio::test]
async fn a_public_key_in_a_file_checks_rs256_and_nothing_else() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/keys/public.pem");
    let auth = Auth { keys: Keys { jwt_pem_file: Some(file.into()), ..keys() }, jwt_issuer: None, jwt_audience: None };
    let app = TestApp::start_with(auth).await;
    assert_eq!(ask(&app, &rs256(&claims(json!({})), PRIVATE_KEY, None)).await.status, StatusCode::OK);
    assert_eq!(ask(&app, &rs256(&claims(json!({})), OTHER_PRIVATE_KEY, None)).await.status, StatusCode::UNAUTHORIZED);
    // The classic confusion: the public key as the secret of an HMAC.
    assert_eq!(ask(&app, &hs256(&claims(json!({})), PUBLIC_KEY)).await.status, StatusCode::UNAUTHORIZED);
}

type Served = Arc<Mutex<(u16, String)>>;

#[handler]
fn serve_keys(Data(served): Data<&Served>) -> poem::Response {
    let (status, body) = served.lock().expect("a lock").clone();
    poem::Response::builder().status(poem::http::StatusCode::from_u16(status).expect("a status")).body(body)
}

/// An auth service whose answer can be changed.
fn auth_service(status: u16, body: &str) -> (String, Served) {
    let served: Served = Arc::new(Mutex::new((status, body.to_owned())));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let app = Route::new().at("/keys", get(serve_keys)).data(served.clone());
    tokio::spawn(Server::new_with_acceptor(TcpAcceptor::from_std(listener).expect("an acceptor")).run(app));
    (url, served)
}

fn jwks(keys: &[(&str, &str)]) -> String {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(kid, jwk)| {
            let mut jwk: Value = serde_json::from_str(jwk).expect("a JWK");
            jwk["kid"] = json!(kid);
            jwk
        })
        .collect();
    json!({ "keys": keys }).to_string()
}

#[tokio::test]
async fn keys_from_a_jwks_rotate_and_survive_a_broken_auth_service() {
    let (url, served) = auth_service(200, &jwks(&[("one", JWK)]));
    let auth = Auth {
        keys: Keys { jwt_jwks_url: Some(url.parse().expect("a URL")), ..keys() },
        jwt_issuer: None,
        jwt_audience: None,
    };
    let app = TestApp::start_with(auth).await;
    let first = rs256(&claims(json!({})), PRIVATE_KEY, Some("one"));
    wait_until("the keys are there", async || (ask(&app, &first).await.status == StatusCode::OK).then_some(())).await;
    let second = rs256(&claims(json!({})), OTHER_PRIVATE_KEY, Some("two"));
    assert_eq!(ask(&app, &second).await.status, StatusCode::UNAUTHORIZED);

    // Garbage, then errors: the known key keeps working.
    for (status, body) in [(200, "<html>"), (500, ""), (200, "{\"keys\":[]}")] {
        *served.lock().expect("a lock") = (status, body.to_owned());
        assert_eq!(ask(&app, &second).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&app, &first).await.status, StatusCode::OK);
    }
    *served.lock().expect("a lock") = (200, jwks(&[("one", JWK), ("two", OTHER_JWK)]));
    wait_until("the new key is known", async || (ask(&app, &second).await.status == StatusCode::OK).then_some(()))
        .await;
    assert_eq!(ask(&app, &first).await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_its_keys_the_service_is_up_and_says_what_is_missing() {
    let auth = Auth {
        keys: Keys { jwt_pem_url: Some("http://127.0.0.1:1/api/public-key".parse().expect("a URL")), ..keys() },
        jwt_issuer: None,
        jwt_audience: None,
    };
    let app = TestApp::start_with(auth).await;
    let answer = ask(&app, &rs256(&claims(json!({})), PRIVATE_KEY, None)).await;
    assert_eq!(
        (answer.status, answer.json()["code"].clone()),
        (StatusCode::SERVICE_UNAVAILABLE, json!("auth_unavailable"))
    );
    assert_eq!(app.raw(Method::GET, "/health/ready", &[], vec![]).await.status, StatusCode::OK);
}
