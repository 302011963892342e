//! Swish over real mutual TLS.

mod callbacks;
mod certificates;
mod control;
mod faults;
mod payments;
mod python;
mod refunds;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::web::Data;
use poem::{EndpointExt as _, Request, Response, Route, Server, handler, post};
use reqwest::Method;
use serde_json::{Value, json};
use simulator::swish::{Payment, Refund, Status};
use simulator::{SwishConfig, SwishSimulator, SwishWorld};

const PAYEE: &str = "1234679304";
const PAYER: &str = "4671234768";
const IDENTIFIER: &str = "00112233445566778899AABBCCDDEEFF";
/// For what is to be over soon.
const SOON: u64 = 20;
/// For what only the clock is to bring about.
const NEVER: u64 = 1_000_000;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("swish-certificates")
}

fn config() -> SwishConfig {
    let anywhere = "127.0.0.1:0".parse().expect("an address");
    SwishConfig {
        listen: anywhere,
        control_listen: anywhere,
        certificates: directory(),
        state_file: None,
        callback_retry_ms: SOON,
        settle_ms: SOON,
        auto_pay_ms: None,
        payee_alias: PAYEE.to_owned(),
    }
}

/// An answer, with what is only in its headers.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The codes of an error answer.
    fn codes(&self) -> Vec<String> {
        let body = self.json();
        let entries = body.as_array().unwrap_or_else(|| panic!("no array: {body}"));
        entries.iter().map(|entry| entry["errorCode"].as_str().expect("a code").to_owned()).collect()
    }

    fn refusal(&self) -> (u16, Vec<String>) {
        (self.status, self.codes())
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A client with a certificate.
fn client(certificate: &Path, key: &Path) -> reqwest::Client {
    let pem = [std::fs::read(certificate).expect("a certificate"), std::fs::read(key).expect("a key")].concat();
    builder().identity(reqwest::Identity::from_pem(&pem).expect("an identity")).build().expect("a client")
}

fn builder() -> reqwest::ClientBuilder {
    let ca = std::fs::read(directory().join("ca.pem")).expect("a CA");
    let ca = reqwest::Certificate::from_pem(&ca).expect("a certificate");
    reqwest::Client::builder().no_proxy().tls_certs_only([ca])
}

/// Swish, a merchant who calls it, and where its callbacks come in.
struct Merchant {
    swish: SwishSimulator,
    http: reqwest::Client,
    inbox: Inbox,
}

impl Merchant {
    async fn open() -> Self {
        Self::open_with(config()).await
    }

    async fn open_with(config: SwishConfig) -> Self {
        let swish = SwishSimulator::start(config).await.expect("a simulator");
        let certificates = swish.certificates();
        let http = client(&certificates.certificate, &certificates.key);
        Self { swish, http, inbox: Inbox::open() }
    }

    /// With a clock that alone moves things.
    async fn open_slowly() -> Self {
        Self::open_with(SwishConfig { settle_ms: NEVER, ..config() }).await
    }

    fn world(&self) -> &Arc<SwishWorld> {
        &self.swish.world
    }

    async fn call_as(&self, http: &reqwest::Client, method: Method, path: &str, body: Option<Value>) -> Answer {
        let patch = method == Method::PATCH;
        let mut request = http.request(method, format!("{}{path}", self.swish.url()));
        if let Some(body) = body {
            let content_type = if patch { "application/json-patch+json" } else { "application/json" };
            request = request.header("content-type", content_type).body(body.to_string());
        }
        read(request).await.expect("an answer")
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.call_as(&self.http, Method::PUT, path, Some(body)).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call_as(&self.http, Method::GET, path, None).await
    }

    async fn cancel(&self, id: &str) -> Answer {
        let patch = json!([{ "op": "replace", "path": "/status", "value": "cancelled" }]);
        self.call_as(&self.http, Method::PATCH, &format!("v1/paymentrequests/{id}"), Some(patch)).await
    }

    fn request(&self) -> Value {
        json!({
            "payeePaymentReference": "order-1",
            "callbackUrl": self.inbox.url,
            "callbackIdentifier": IDENTIFIER,
            "payerAlias": PAYER,
            "payeeAlias": PAYEE,
            "amount": "100.00",
            "currency": "SEK",
            "message": "Kaffe åäö (2)",
        })
    }

    /// A request with some fields changed, or taken away with `null`.
    fn request_with(&self, changes: &Value) -> Value {
        changed(self.request(), changes)
    }

    /// Makes a payment request and gives its UUID. `null` fields are left out.
    async fn ask(&self, changes: Value) -> String {
        let id = uuid();
        let answer = self.put(&format!("v2/paymentrequests/{id}"), self.request_with(&changes)).await;
        assert_eq!((answer.status, answer.text.as_str()), (201, ""), "{answer:?}");
        id
    }

    /// How a create is refused.
    async fn refused(&self, changes: Value) -> (u16, Vec<String>) {
        self.put(&format!("v2/paymentrequests/{}", uuid()), self.request_with(&changes)).await.refusal()
    }

    async fn paid(&self) -> Payment {
        let id = self.ask(json!({})).await;
        self.world().pay(&id).expect("an open request");
        self.payment(&id)
    }

    fn payment(&self, id: &str) -> Payment {
        self.world().payment(id).expect("a payment")
    }

    fn refund(&self, id: &str) -> Refund {
        self.world().refund(id).expect("a refund")
    }

    /// What moved: the type and the amount.
    fn moved(&self) -> Vec<(String, i64)> {
        self.world().ledger().into_iter().map(|entry| (entry.kind, entry.amount)).collect()
    }

    async fn control(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.swish.control_url()));
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request).await.expect("an answer")
    }

    async fn settle(&self) {
        until("the callbacks are delivered", || self.world().deliveries_pending() == 0).await;
    }

    async fn until_status(&self, id: &str, status: Status) {
        let now = || {
            self.world().payment(id).map(|payment| payment.status).or(self.world().refund(id).map(|found| found.status))
        };
        until(&format!("{id} is {}", status.as_str()), || now() == Some(status)).await;
    }
}

async fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited without end: {what}");
}

async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, text: response.text().await? })
}

fn changed(mut body: Value, changes: &Value) -> Value {
    let fields = body.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    body
}

fn uuid() -> String {
    use rand::RngExt as _;
    format!("{:032X}", rand::rng().random::<u128>())
}

fn moves(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    crate::moves(expected)
}

/// A callback as it came: its header, its body.
#[derive(Debug, Clone)]
struct Came {
    identifier: String,
    body: Value,
    text: String,
}

#[derive(Default)]
struct Post {
    came: Mutex<Vec<Came>>,
    /// What the next ones are answered; after that 200.
    answers: Mutex<Vec<u16>>,
}

struct Inbox {
    url: String,
    post: Arc<Post>,
}

#[handler]
async fn take(Data(post): Data<&Arc<Post>>, request: &Request, body: String) -> Response {
    let identifier = request.header("callbackIdentifier").unwrap_or_default().to_owned();
    let parsed = serde_json::from_str(&body).expect("JSON");
    post.came.lock().expect("a lock").push(Came { identifier, body: parsed, text: body });
    let answer = post.answers.lock().expect("a lock").pop().unwrap_or(200);
    StatusCode::from_u16(answer).expect("a status").into()
}

impl Inbox {
    fn open() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}/callback", listener.local_addr().expect("an address"));
        let inbox = Arc::new(Post::default());
        let app = Route::new().at("/callback", post(take)).data(inbox.clone());
        tokio::spawn(Server::new_with_acceptor(TcpAcceptor::from_std(listener).expect("a listener")).run(app));
        Self { url, post: inbox }
    }

    fn came(&self) -> Vec<Came> {
        self.post.came.lock().expect("a lock").clone()
    }

    /// The statuses that were told, in order.
    fn statuses(&self) -> Vec<String> {
        self.came().iter().map(|came| came.body["status"].as_str().expect("a status").to_owned()).collect()
    }

    /// The first answer is the last of the list.
    fn answer(&self, answers: &[u16]) {
        *self.post.answers.lock().expect("a lock") = answers.to_vec();
    }
}
