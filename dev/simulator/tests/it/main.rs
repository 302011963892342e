//! The simulator over real HTTP.

mod disputes;
mod gate;
mod payments;
mod refunds;
mod renewals;
mod subscriptions;
mod swish;
mod webhooks;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use simulator::{Config, Kind, Simulator, World};

/// A simulator, and someone who calls it.
struct Shop {
    simulator: Simulator,
    http: reqwest::Client,
}

impl Shop {
    async fn open() -> Self {
        Self::open_with(None, None).await
    }

    async fn open_with(webhook_url: Option<String>, state_file: Option<PathBuf>) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = Config {
            listen: "127.0.0.1:0".parse().expect("an address"),
            webhook_url,
            webhook_secret: "whsec_x".to_owned(),
            webhook_retry_ms: 10,
            state_file,
        };
        Self { simulator: Simulator::start(config).await.expect("a simulator"), http: reqwest::Client::new() }
    }

    fn world(&self) -> &Arc<World> {
        &self.simulator.world
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/v1{path}", self.simulator.url())).bearer_auth("sk_test_x")
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(self.request(reqwest::Method::GET, path)).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        read(self.request(reqwest::Method::POST, path).form(form)).await
    }

    /// A `POST` that is to succeed.
    async fn make(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let (status, body) = self.post(path, form).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn control(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/_control{path}", self.simulator.url());
        read(self.http.post(url).json(body)).await
    }

    /// Code and parameter of a refusal.
    async fn refusal(&self, path: &str, form: &[(&str, &str)]) -> (u16, String, String) {
        let (status, body) = self.post(path, form).await;
        let field = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
        (status, field("code"), field("param"))
    }

    async fn pay(&self, amount: &str, card: &str) -> Value {
        let form = [("amount", amount), ("currency", "sek"), ("payment_method", card), ("confirm", "true")];
        self.make("/payment_intents", &[&form[..], &[("return_url", "https://shop.example")]].concat()).await
    }

    async fn customer(&self) -> String {
        id(&self.make("/customers", &[("email", "a@example.com")]).await)
    }

    /// A customer who pays with that card by default.
    async fn customer_with(&self, card: &str) -> String {
        let customer = self.customer().await;
        let method = self.make(&format!("/payment_methods/{card}/attach"), &[("customer", &customer)]).await;
        let form = [("invoice_settings[default_payment_method]", id(&method))];
        self.make(&format!("/customers/{customer}"), &[(form[0].0, &form[0].1)]).await;
        customer
    }

    async fn price(&self, amount: &str, interval: &str) -> String {
        let product = id(&self.make("/products", &[("name", "Tea")]).await);
        let form =
            [("currency", "sek"), ("unit_amount", amount), ("product", &product), ("recurring[interval]", interval)];
        id(&self.make("/prices", &form).await)
    }

    fn object(&self, kind: Kind, id: &str) -> Value {
        self.world().object(kind, id).expect("an object")
    }

    /// How many events of a type there are.
    fn events(&self, event_type: &str) -> usize {
        self.world().events().iter().filter(|event| event["type"] == event_type).count()
    }

    /// What moved: the type and the amount.
    fn moved(&self) -> Vec<(String, i64)> {
        self.world().ledger().into_iter().map(|entry| (entry.kind, entry.amount)).collect()
    }
}

fn id(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

fn moves(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(kind, amount)| ((*kind).to_owned(), *amount)).collect()
}

async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a text");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn days(days: u64) -> std::time::Duration {
    std::time::Duration::from_secs(days * 86_400)
}

fn hours(hours: u64) -> std::time::Duration {
    std::time::Duration::from_secs(hours * 3_600)
}
