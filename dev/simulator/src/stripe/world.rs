//! The simulated account: its objects, its idempotency keys, the money that moved.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use chrono::Utc;
use poem::http::StatusCode;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::gate::Call;
use super::webhooks::{self, Endpoint};
use crate::Config;
use crate::faults::Faults;

/// Money that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// `ch_…`
    pub id: String,
    /// `charge`
    #[serde(rename = "type")]
    pub kind: String,
    pub payment_intent: String,
    pub amount: i64,
    pub currency: String,
    pub status: String,
    /// The key of the request that moved it.
    pub idempotency_key: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub created: i64,
}

/// A request as it came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestLog {
    pub request_id: String,
    pub operation: String,
    pub method: String,
    pub path: String,
    pub idempotency_key: Option<String>,
}

/// What an idempotency key says to a request.
pub(crate) enum Claim {
    /// Nobody used it: go on, and settle it.
    Mine,
    /// The answer of the first request.
    Stored(StatusCode, Value),
    InFlight,
    OtherParameters,
}

#[derive(Serialize, Deserialize)]
struct Key {
    fingerprint: String,
    /// Status and body.
    answer: Option<(u16, Value)>,
}

/// What is kept in the state file, and what is not.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Inner {
    #[serde(skip)]
    pub(crate) faults: Faults,
    customers: HashMap<String, Value>,
    /// In the order of creation.
    intents: Vec<Value>,
    ledger: Vec<LedgerEntry>,
    requests: Vec<RequestLog>,
    events: Vec<Value>,
    keys: HashMap<String, Key>,
    #[serde(skip)]
    /// An event that a `webhook:reorder` fault holds back until the next one was sent.
    pub(crate) held_back: Option<tokio::sync::oneshot::Sender<()>>,
}

pub struct World {
    inner: Mutex<Inner>,
    /// Held by an operation from its first read to its last write.
    serial: Mutex<()>,
    endpoint: Option<Arc<Endpoint>>,
    deliveries_pending: Arc<AtomicUsize>,
}

impl World {
    /// The world as the state file has it, or an empty one.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let mut inner = match config.state_file.as_ref().map(std::fs::read) {
            Some(Ok(state)) => serde_json::from_slice(&state).context("the state file cannot be read")?,
            Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Some(Err(_)) | None => Inner::default(),
        };
        // A request that was cut off by the end would block its key for ever.
        inner.keys.retain(|_, key| key.answer.is_some());
        Ok(Self {
            inner: Mutex::new(inner),
            serial: Mutex::default(),
            endpoint: config.webhook_url.as_ref().map(|url| Arc::new(Endpoint::new(url, config))),
            deliveries_pending: Arc::default(),
        })
    }

    /// The world as it goes into the state file.
    pub(crate) fn state(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&*self.lock())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.serial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::unused_self, reason = "a clock that can be moved is the world's")]
    pub(crate) fn now(&self) -> i64 {
        Utc::now().timestamp()
    }

    /// Everything that moved money, in order.
    #[must_use]
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        self.lock().ledger.clone()
    }

    /// Every request, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestLog> {
        self.lock().requests.clone()
    }

    /// Every event, in order, sent or not.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.lock().events.clone()
    }

    /// How many events are still to be delivered.
    #[must_use]
    pub fn deliveries_pending(&self) -> usize {
        self.deliveries_pending.load(Ordering::SeqCst)
    }

    /// Sets a fault, as `POST /_control/faults` does.
    ///
    /// # Errors
    /// An operation or a mode that does not exist.
    pub fn add_fault(&self, operation: &str, mode: &str, times: u32) -> Result<(), String> {
        let (operation, mode) = (operation.to_owned(), mode.to_owned());
        self.lock().faults.add(crate::faults::Fault { operation, mode, times })
    }

    /// Forgets everything: objects, ledger, keys, faults, logs.
    pub fn reset(&self) {
        *self.lock() = Inner::default();
    }

    pub(crate) fn log(&self, request: RequestLog) {
        self.lock().requests.push(request);
    }

    pub(crate) fn claim(&self, key: &str, fingerprint: &str) -> Claim {
        let mut inner = self.lock();
        match inner.keys.get(key) {
            None => {
                inner.keys.insert(key.to_owned(), Key { fingerprint: fingerprint.to_owned(), answer: None });
                Claim::Mine
            }
            Some(known) if known.fingerprint != fingerprint => Claim::OtherParameters,
            Some(Key { answer: None, .. }) => Claim::InFlight,
            Some(Key { answer: Some((status, body)), .. }) => {
                Claim::Stored(StatusCode::from_u16(*status).unwrap_or_default(), body.clone())
            }
        }
    }

    /// Stores the answer under a claimed key, or frees the key.
    pub(crate) fn settle(&self, key: &str, answer: Option<(StatusCode, Value)>) {
        let mut inner = self.lock();
        match answer {
            Some(answer) => {
                if let Some(key) = inner.keys.get_mut(key) {
                    key.answer = Some((answer.0.as_u16(), answer.1));
                }
            }
            None => {
                inner.keys.remove(key);
            }
        }
    }

    pub(crate) fn put_customer(&self, customer: &Value) {
        self.lock().customers.insert(id_of(customer), customer.clone());
    }

    pub(crate) fn customer(&self, id: &str) -> Option<Value> {
        self.lock().customers.get(id).cloned()
    }

    pub(crate) fn put_intent(&self, intent: &Value) {
        let mut inner = self.lock();
        match inner.intents.iter().position(|known| known["id"] == intent["id"]) {
            Some(index) => inner.intents[index] = intent.clone(),
            None => inner.intents.push(intent.clone()),
        }
    }

    pub(crate) fn intent(&self, id: &str) -> Option<Value> {
        self.lock().intents.iter().find(|intent| intent["id"] == id).cloned()
    }

    /// Newest first.
    pub(crate) fn intents(&self) -> Vec<Value> {
        self.lock().intents.iter().rev().cloned().collect()
    }

    pub(crate) fn move_money(&self, entry: LedgerEntry) {
        self.lock().ledger.push(entry);
    }

    pub(crate) fn emit(&self, event_type: &str, object: &Value, call: &Call<'_>) {
        self.emit_for(event_type, object, Some(&call.request_id), call.idempotency_key.as_deref());
    }

    /// Records an event and sends it.
    pub(crate) fn emit_for(&self, event_type: &str, object: &Value, request: Option<&str>, key: Option<&str>) {
        let event = json!({
            "id": random_id("evt"),
            "object": "event",
            "api_version": "2026-09-30.endive",
            "created": self.now(),
            "type": event_type,
            "livemode": false,
            "pending_webhooks": 1,
            "request": { "id": request, "idempotency_key": key },
            "data": { "object": object },
        });
        let mut inner = self.lock();
        inner.events.push(event.clone());
        let Some(endpoint) = &self.endpoint else { return };
        let fault = inner.faults.take(event_type, true);
        let release = inner.held_back.take();
        let hold = (fault == Some(crate::faults::Mode::WebhookReorder)).then(|| {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            inner.held_back = Some(sender);
            receiver
        });
        let delivery = webhooks::Delivery { body: event.to_string(), fault, hold, release };
        self.deliveries_pending.fetch_add(1, Ordering::SeqCst);
        let (endpoint, pending) = (endpoint.clone(), self.deliveries_pending.clone());
        tokio::spawn(async move {
            endpoint.deliver(delivery).await;
            pending.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().unwrap_or_default().to_owned()
}

/// An id in Stripe's form.
pub(crate) fn random_id(prefix: &str) -> String {
    let mut random = rand::rng();
    let text: String = (0..24).map(|_| char::from(random.sample(rand::distr::Alphanumeric))).collect();
    format!("{prefix}_{text}")
}
