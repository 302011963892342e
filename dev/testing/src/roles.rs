//! What the people and programs around the service do: the app, the payer's browser, Stripe's own pages.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use shared::store;

use crate::TestApp;

impl TestApp {
    /// Gives `anna` her Stripe customer, so that the next job calls for what it is about.
    ///
    /// # Panics
    /// It cannot be made.
    pub async fn make_stripe_customer(&self) {
        let mine = self.call(Method::GET, "/api/customers/me", "anna", None).await.json();
        let id = mine["id"].as_str().and_then(|id| id.parse().ok()).map(shared::domain::ids::CustomerId);
        let customer = store::customers::find_for_job(&self.db, id.expect("an id")).await.expect("the database");
        let customer = customer.expect("a customer");
        // Its event would only be put aside.
        self.fault("customer.created", "webhook:lose", 1);
        let made = self.context.stripe.create_customer(&customer, "a key of the test").await.expect("a customer");
        store::customers::set_stripe_customer(&self.db, customer.id, 0, &made.value).await.expect("the database");
    }

    /// Does what only a simulator can: `POST /_control/<path>`.
    ///
    /// # Panics
    /// The simulator refuses.
    pub async fn control(&self, path: &str, body: Value) -> Value {
        let (status, text) = self.try_control(path, body).await;
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The same, where the simulator may refuse.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn try_control(&self, path: &str, body: Value) -> (StatusCode, String) {
        let url = format!("{}/_control/{path}", self.simulator.url());
        let answer = self.http.post(url).json(&body).send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    }

    /// A write of `anna`'s that must be accepted. Gives the body.
    ///
    /// # Panics
    /// It was not accepted.
    pub async fn accepted(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.call(method, path, "anna", Some(body)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{path}: {answer:?}");
        answer.json()
    }

    /// What `anna` reads at a path.
    ///
    /// # Panics
    /// There is nothing.
    pub async fn read(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, "anna", None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer.json()
    }

    /// Confirms a payment as the payer's browser would.
    ///
    /// # Panics
    /// The simulator cannot be reached.
    pub async fn confirm_in_browser(&self, payment: &Value, payment_method: &str) -> StatusCode {
        let secret = payment["client_secret"].as_str().expect("a client secret").to_owned();
        // As the browser's script does: the secret says which object of which kind it is for.
        let id = secret.split("_secret").next().unwrap_or_default();
        let kind = if id.starts_with("seti_") { "setup_intents" } else { "payment_intents" };
        let url = format!("{}/v1/{kind}/{id}/confirm", self.simulator.url());
        let form = [
            ("client_secret", secret.clone()),
            ("payment_method", payment_method.to_owned()),
            ("return_url", "https://shop.example".to_owned()),
        ];
        self.http.post(url).bearer_auth("pk_test_x").form(&form).send().await.expect("an answer").status()
    }
}
