//! The harness: the service in process, against real Postgres, Redis and a simulated Stripe over real HTTP.
//!
//! Every [`TestApp`] has a database of its own, cloned from a migrated template, a simulator and a queue prefix of its
//! own. Jobs run when a test says so ([`TestApp::run_jobs`]), or in a worker that the test starts.

pub mod database;
pub mod processes;
mod roles;
pub mod settings;
pub mod swish;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use api::config::Auth;
use clap::Parser as _;
use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use serde_json::{Value, json};
use shared::domain::ids::JobId;
use shared::domain::job::Lease;
use shared::providers::stripe::{Stripe, sign};
use shared::queue::ringer::Ringer;
use shared::store;
use simulator::{Simulator, SwishSimulator};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;
use worker::context::Context;
use worker::metrics::Metrics;

use crate::settings::{Settings, common};

pub use settings::development_auth;

/// What tokens are signed with in tests.
pub const JWT_SECRET: &str = "a secret for tests";
pub const WEBHOOK_SECRET: &str = "whsec_test";
/// The second secret that webhooks may be signed with.
pub const OLD_WEBHOOK_SECRET: &str = "whsec_old";

pub struct TestApp {
    pub db: DatabaseConnection,
    pub database_url: String,
    pub redis_url: String,
    pub queue_prefix: String,
    pub simulator: Simulator,
    pub swish: SwishSimulator,
    pub api_url: String,
    pub context: Arc<Context>,
    http: reqwest::Client,
    stop_api: Option<oneshot::Sender<()>>,
}

/// A response, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// # Panics
    /// The body is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }

    /// # Panics
    /// There is no such header.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

/// A worker that runs in the test's own process.
pub struct RunningWorker {
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl RunningWorker {
    /// As SIGTERM does: no more jobs, those at work are finished.
    ///
    /// # Panics
    /// The worker failed.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.expect("the worker panicked").expect("the worker failed");
    }
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_as(Settings::default()).await
    }

    /// With other keys for tokens.
    pub async fn start_with(auth: Auth) -> Self {
        Self::start_as(Settings { auth, ..Settings::default() }).await
    }

    pub async fn start_as(settings: Settings) -> Self {
        let Settings { auth, redis_url, rate_limits, trusted_proxies, webhook_url } = settings;
        let database_url = database::fresh().await;
        let queue_prefix = format!("test-{}", Uuid::new_v4().simple());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let api_url = format!("http://{}", listener.local_addr().expect("an address"));
        let simulator = Simulator::start(simulator::Config {
            listen: "127.0.0.1:0".parse().expect("an address"),
            webhook_url: webhook_url.or_else(|| Some(format!("{api_url}/api/webhooks/stripe"))),
            webhook_secret: WEBHOOK_SECRET.to_owned(),
            webhook_retry_ms: 50,
            state_file: None,
        })
        .await
        .expect("the simulator");
        let db = store::connect(&database_url, "test", 5).await.expect("the database");
        let metrics = Metrics::new();
        let stripe = stripe(&simulator, 0, &metrics);
        let swish = swish::start().await;
        let client = Some(swish::client(&swish, &api_url, &metrics));
        let context = Arc::new(Context::new(db.clone(), stripe, client, Ringer::deaf(), metrics));
        let config = api::config::Config {
            common: common(&database_url, &redis_url, &queue_prefix),
            listen: "127.0.0.1:0".parse().expect("an address"),
            auth,
            stripe_webhook_secrets: vec![OLD_WEBHOOK_SECRET.into(), WEBHOOK_SECRET.into()],
            swish_callback_secrets: vec![swish::CALLBACK_SECRET.into()],
            swish_callback_addresses: Vec::new(),
            rate_limits,
            trusted_proxies,
            cors_origins: vec!["https://shop.example".to_owned()],
            drain_ms: 0,
            body_bytes_max: 65_536,
            webhook_body_bytes_max: 1_048_576,
        };
        let (stop_api, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            api::serve(config, listener, stop).await.expect("the API");
        });
        Self {
            db,
            database_url,
            redis_url,
            queue_prefix,
            simulator,
            swish,
            api_url,
            context,
            http: reqwest::Client::new(),
            stop_api: Some(stop_api),
        }
    }

    /// A worker of the real kind, fed by Redis.
    ///
    /// # Panics
    /// The settings are wrong.
    #[must_use]
    pub fn start_worker(&self) -> RunningWorker {
        let simulator = self.simulator.url();
        let mut flags = swish::flags(&self.swish, &self.api_url);
        let others = [
            "payment-worker",
            "--database-url",
            &self.database_url,
            "--redis-url",
            &self.redis_url,
            "--queue-prefix",
            &self.queue_prefix,
            "--stripe-base-url",
            &simulator,
            "--stripe-api-key",
            "sk_test_x",
            "--database-connections-max",
            "8",
            "--stripe-event-sweep",
            "false",
        ];
        flags.splice(0..0, others.map(str::to_owned));
        let config = worker::config::Config::parse_from(flags);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(worker::run(config, async {
            let _ = stopped.await;
        }));
        RunningWorker { stop, task }
    }

    /// A request with a token of `user`.
    pub async fn call(&self, method: Method, path: &str, user: &str, body: Option<Value>) -> Answer {
        let mut headers = vec![("authorization", format!("Bearer {}", token(user)))];
        if body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.raw(method, path, &headers, body.into_bytes()).await
    }

    /// A request as it is.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn raw(&self, method: Method, path: &str, headers: &[(&str, String)], body: Vec<u8>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.api_url));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.body(body).send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.expect("a body") }
    }

    /// Creates a payment of `anna`'s, which must be accepted. Gives its id.
    ///
    /// # Panics
    /// It was not accepted.
    pub async fn create_payment(&self, more: Value) -> String {
        let answer = self.call(Method::POST, "/api/payments", "anna", Some(payment_body(more))).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    pub async fn payment(&self, id: &str) -> Value {
        self.call(Method::GET, &format!("/api/payments/{id}"), "anna", None).await.json()
    }

    /// The details of a payment's timeline, in order.
    ///
    /// # Panics
    /// There is no such payment.
    pub async fn timeline(&self, id: &str) -> Vec<String> {
        let answer = self.call(Method::GET, &format!("/api/payments/{id}/timeline"), "anna", None).await;
        let steps = answer.json();
        let steps = steps["data"].as_array().expect("steps").iter();
        let text = |step: &Value, name: &str| step[name].as_str().expect("a text").to_owned();
        steps.map(|step| format!("{} {} {}", text(step, "actor"), text(step, "status"), text(step, "detail"))).collect()
    }

    /// Waits until a payment of `anna`'s has a status.
    ///
    /// # Panics
    /// It does not come within 30 s.
    pub async fn wait_for_status(&self, id: &str, status: &str) -> Value {
        wait_until(&format!("{id} is {status}"), async || {
            let payment = self.payment(id).await;
            (payment["status"] == status).then_some(payment)
        })
        .await
    }

    /// Runs due jobs, and those that come of them, until nothing is due and no webhook is on its way.
    ///
    /// # Panics
    /// There is no end to them.
    pub async fn run_jobs(&self) {
        for _ in 0..2_000 {
            // Deliveries are counted before jobs are: a job that a delivery made is then seen.
            let under_way = self.simulator.world.deliveries_pending() + self.swish.world.deliveries_pending();
            let due = self.due_jobs().await;
            if due.is_empty() && under_way == 0 {
                return;
            }
            for id in due {
                worker::runner::run(&self.context, id).await;
            }
            if under_way > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        panic!("jobs without end");
    }

    /// The jobs that may run now.
    ///
    /// # Panics
    /// The database fails.
    pub async fn due_jobs(&self) -> Vec<JobId> {
        let text = "SELECT id FROM jobs WHERE (state = 'queued' AND run_at <= now())
                    OR (state = 'running' AND leased_until < now()) ORDER BY created_at";
        self.query(text).await.iter().map(|row| JobId(row.try_get("", "id").expect("an id"))).collect()
    }

    /// Lets time pass for jobs but polls: waiting ones are due, leases and rings have run out, attempts are a minute old.
    ///
    /// # Panics
    /// The database fails.
    pub async fn pass_time(&self) {
        self.execute(
            "UPDATE jobs SET run_at = least(run_at, now()), rung_until = NULL,
             leased_until = CASE WHEN leased_until IS NOT NULL THEN now() - interval '1 second' END
             WHERE state IN ('queued', 'running') AND kind NOT LIKE 'poll_%'",
        )
        .await;
        self.execute("UPDATE attempts SET created_at = created_at - interval '1 minute'").await;
    }

    /// Runs jobs and lets time pass until nothing but polls is left to do.
    ///
    /// # Panics
    /// There is no end to it.
    pub async fn settle(&self) {
        for _ in 0..100 {
            self.run_jobs().await;
            let left = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND kind NOT LIKE 'poll_%'";
            if self.count(left).await == 0 {
                return;
            }
            self.pass_time().await;
        }
        let left = "SELECT string_agg(concat_ws(' ', kind, attempts, max_attempts, last_error), '; ') FROM jobs
                    WHERE state IN ('queued', 'running') AND kind NOT LIKE 'poll_%'";
        panic!("jobs without end: {}", self.text(left).await);
    }

    /// Takes the lease of the only job that is due, as a worker that is about to crash would.
    ///
    /// # Panics
    /// There is not just one job.
    pub async fn lease_only_job(&self, txn: &impl sea_orm::ConnectionTrait) -> Lease {
        let due = self.due_jobs().await;
        let [id] = due.as_slice() else { panic!("{} jobs are due", due.len()) };
        store::jobs::lease(txn, *id, "a worker that crashes").await.expect("the database").expect("a lease")
    }

    /// # Panics
    /// The statement fails.
    pub async fn execute(&self, text: &str) {
        self.db.execute_unprepared(text).await.expect("a statement");
    }

    async fn query(&self, text: &str) -> Vec<sea_orm::QueryResult> {
        let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, text);
        self.db.query_all_raw(statement).await.expect("a query")
    }

    /// The number that a query gives.
    ///
    /// # Panics
    /// It gives none.
    pub async fn count(&self, text: &str) -> i64 {
        let rows = self.query(text).await;
        rows.first().expect("a row").try_get_by_index(0).expect("a number")
    }

    /// The text that a query gives.
    ///
    /// # Panics
    /// It gives none.
    pub async fn text(&self, text: &str) -> String {
        let rows = self.query(text).await;
        rows.first().expect("a row").try_get_by_index(0).expect("a text")
    }

    /// The charges that the simulator has for a payment.
    #[must_use]
    pub fn charges(&self, payment_id: &str) -> usize {
        let ledger = self.simulator.world.ledger();
        ledger.iter().filter(|entry| entry.metadata.get("payment_id").is_some_and(|id| id == payment_id)).count()
    }

    /// How often an operation was asked of the simulator.
    #[must_use]
    pub fn requests(&self, operation: &str) -> usize {
        self.simulator.world.requests().iter().filter(|request| request.operation == operation).count()
    }

    /// # Panics
    /// The fault does not exist.
    pub fn fault(&self, operation: &str, mode: &str, times: u32) {
        self.simulator.world.add_fault(operation, mode, times).expect("a fault that exists");
    }

    /// Sends an event as Stripe would.
    pub async fn send_event(&self, event: &Value) -> Answer {
        let body = event.to_string().into_bytes();
        let signature = sign(&body, &WEBHOOK_SECRET.into(), chrono::Utc::now());
        self.raw(Method::POST, "/api/webhooks/stripe", &[("stripe-signature", signature)], body).await
    }
}

/// A client of a simulated Stripe. So many failures in a row open its breaker.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn stripe(simulator: &Simulator, breaker_failures: u32, metrics: &Metrics) -> Stripe {
    let (url, timeout) = (simulator.url().parse().expect("a URL"), Duration::from_secs(2));
    Stripe::new(&url, "sk_test_x".into(), timeout, breaker_failures, metrics.providers.clone()).expect("a client")
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(stop) = self.stop_api.take() {
            let _ = stop.send(());
        }
    }
}

/// Asks until there is an answer.
///
/// # Panics
/// There is none within 30 s.
pub async fn wait_until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited 30 s until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A payment of 100.00 SEK, with `more` put over it.
///
/// # Panics
/// `more` is no object.
#[must_use]
pub fn payment_body(more: Value) -> Value {
    let mut body = json!({ "provider": "stripe", "amount": 10_000, "currency": "sek" });
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

/// The token of a user; `root` is an administrator.
///
/// # Panics
/// It cannot be signed.
#[must_use]
pub fn token(user: &str) -> String {
    let role = if user == "root" { "admin" } else { "user" };
    stack::tokens::token(JWT_SECRET, user, role).expect("a token")
}
