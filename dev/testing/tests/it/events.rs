//! Payments watched by server-sent events, and that nothing is left behind of who watched.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::{TestApp, token};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A client of server-sent events.
struct Events {
    response: reqwest::Response,
    text: String,
}

/// `(id, data)`
type Event = (i64, Value);

impl Events {
    async fn open(app: &TestApp, id: &str, last_event_id: Option<&str>) -> Self {
        Self::open_with(app, id, last_event_id, &token("anna")).await
    }

    async fn open_with(app: &TestApp, id: &str, last_event_id: Option<&str>, token: &str) -> Self {
        let url = format!("{}/api/payments/{id}/events", app.api_url);
        let mut request = reqwest::Client::new().get(url).bearer_auth(token);
        if let Some(last) = last_event_id {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "private, no-store");
        Self { response, text: String::new() }
    }

    /// The next block: an event, or a comment. `None`: the stream has ended.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            let read = tokio::time::timeout(std::time::Duration::from_secs(30), self.response.chunk());
            let chunk = read.await.expect("silence").ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next event.
    async fn next(&mut self) -> Event {
        loop {
            let block = self.block().await.expect("an event");
            if block.starts_with(':') {
                continue;
            }
            let lines: Vec<&str> = block.lines().collect();
            let ["event: payment", id, data] = lines.as_slice() else { panic!("{block}") };
            let id = id.strip_prefix("id: ").expect("an id").parse().expect("a version");
            return (id, serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON"));
        }
    }
}

async fn waiting(app: &TestApp) -> usize {
    let metrics = app.raw(Method::GET, "/metrics", &[], vec![]).await.text;
    let line = metrics.lines().find_map(|line| line.strip_prefix("payment_service_waiting_requests "));
    line.expect("the gauge").parse().expect("a number")
}

#[tokio::test]
async fn each_change_is_an_event_and_who_comes_back_gets_what_is_newer() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({ "capture_method": "manual", "payment_method": "pm_card_visa" })).await;
    let mut events = Events::open(&app, &id, None).await;
    let (version, first) = events.next().await;
    assert_eq!((version, &first["status"]), (1, &json!("pending")));
    assert_eq!(first, app.payment(&id).await, "as GET gives it");

    app.run_jobs().await;
    let (mut held_version, mut held) = events.next().await;
    while held["status"] != "requires_capture" {
        (held_version, held) = events.next().await;
    }
    app.call(Method::POST, &format!("/api/payments/{id}/capture"), "anna", Some(json!({}))).await;
    let (_, capturing) = events.next().await;
    assert_eq!(capturing["last_operation"]["status"], "pending");
    drop(events);

    // Back with an old version: the newest at once. With the newest: nothing until there is another.
    let mut again = Events::open(&app, &id, Some(&held_version.to_string())).await;
    let (now, payment) = again.next().await;
    assert!(now > held_version && payment == capturing, "{now} {payment}");
    let mut current = Events::open(&app, &id, Some(&now.to_string())).await;
    app.settle().await;
    for events in [&mut again, &mut current] {
        let (mut next, mut payment) = events.next().await;
        assert!(next > now, "what it has is not sent again");
        while payment["status"] != "succeeded" {
            (next, payment) = events.next().await;
        }
        assert_eq!(payment, app.payment(&id).await, "{next}");
    }
}

#[tokio::test]
async fn only_the_owner_watches() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    let path = format!("/api/payments/{id}/events");
    let theirs = app.call(Method::GET, &path, "bo", None).await;
    assert_eq!((theirs.status, theirs.json()["code"].clone()), (StatusCode::NOT_FOUND, json!("payment_not_found")));
    assert_eq!(app.raw(Method::GET, &path, &[], vec![]).await.status, StatusCode::UNAUTHORIZED);
    let head = app.call(Method::HEAD, &path, "anna", None).await;
    assert_eq!((head.status, head.header("content-type")), (StatusCode::OK, "text/event-stream"));
    assert_eq!(waiting(&app).await, 0);
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    let mut events = Events::open(&app, &id, Some("1")).await;
    assert_eq!(events.block().await.as_deref(), Some(": keep-alive"));
}

/// A stream over a connection of its own, read up to its first event: reqwest would notice only at the next one that it
/// is not read any more.
async fn connected(app: &TestApp, id: &str) -> TcpStream {
    let address = app.api_url.strip_prefix("http://").expect("an address");
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    let token = token("anna");
    let request =
        format!("GET /api/payments/{id}/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("sent");
    read_event(&mut connection).await;
    connection
}

async fn read_event(connection: &mut TcpStream) {
    let mut text = String::new();
    while !(text.contains("event: payment") && text.contains("}\n\n")) {
        let mut bytes = [0; 4096];
        let read = connection.read(&mut bytes).await.expect("read");
        assert_ne!(read, 0, "the stream ended: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
}

#[tokio::test]
async fn nothing_is_left_of_streams_whose_clients_are_gone() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    // The server notices at the second thing that it writes in vain, and a quiet stream writes each fifteen seconds.
    let all_wait = async |count: usize| {
        let began = std::time::Instant::now();
        while waiting(&app).await != count {
            assert!(began.elapsed().as_secs() < 45, "{} wait, not {count}", waiting(&app).await);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let mut open = Vec::new();
    for _ in 0..50 {
        open.push(connected(&app, &id).await);
    }
    all_wait(50).await;
    open.truncate(25);
    app.run_jobs().await;
    for connection in &mut open {
        read_event(connection).await;
    }
    all_wait(25).await;
    drop(open);
    all_wait(0).await;
}

#[tokio::test]
async fn a_stream_shows_nothing_after_its_token_has_run_out() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    // Half a minute of leeway is allowed: this one is good for another second or two.
    let claims = json!({ "sub": "anna", "exp": chrono::Utc::now().timestamp() - 28 });
    let key = jsonwebtoken::EncodingKey::from_secret(testing::JWT_SECRET.as_bytes());
    let old = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token");
    let mut events = Events::open_with(&app, &id, None, &old).await;
    events.next().await;
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let worker = app.start_worker();
    app.wait_for_status(&id, "requires_action").await;
    assert_eq!(events.block().await, None);
    worker.stop().await;
}

#[tokio::test]
async fn streams_end_when_the_service_stops() {
    let app = TestApp::start().await;
    let id = app.create_payment(json!({})).await;
    let mut events = Events::open(&app, &id, None).await;
    events.next().await;
    // Dropped, it stops as at SIGTERM.
    drop(app);
    let began = std::time::Instant::now();
    while events.block().await.is_some() {}
    assert!(began.elapsed().as_secs() < 10, "it did not end by itself");
}
