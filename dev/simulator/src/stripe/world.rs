//! The simulated account: its objects, its idempotency keys, the money that moved.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use poem::http::StatusCode;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clock::Due;
use super::events::Held;
use super::store::{Cursor, Kind, Store, id_of, shown};
use super::webhooks::Endpoint;
use crate::Config;
use crate::agenda::Agenda;
use crate::faults::Faults;

const KEY_LIFE_SECONDS: i64 = 24 * 3_600;

/// Money that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// `ch_…`, `re_…` or `du_…`
    pub id: String,
    /// `charge`, `refund`, `refund_failure`, `dispute` or `dispute_reversal`
    #[serde(rename = "type")]
    pub kind: String,
    pub payment_intent: String,
    /// Never negative: the type says which way it went.
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

/// What becomes of a subscription whose last retry failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterRetries {
    #[default]
    Unpaid,
    Canceled,
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
    #[serde(default)]
    created: i64,
    /// Status and body.
    answer: Option<(u16, Value)>,
}

/// What is kept in the state file, and what is not.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Inner {
    #[serde(skip)]
    pub(crate) faults: Faults,
    pub(crate) objects: Store,
    pub(crate) agenda: Agenda<Due>,
    /// How far the clock is ahead of real time, in seconds.
    pub(crate) ahead: i64,
    /// The moment that is being made up for.
    #[serde(skip)]
    pub(crate) frozen: Option<i64>,
    pub(crate) after_retries: AfterRetries,
    pub(crate) webhook_api_version: Option<String>,
    pub(crate) webhooks_held: bool,
    pub(crate) held: Vec<Held>,
    ledger: Vec<LedgerEntry>,
    requests: Vec<RequestLog>,
    keys: HashMap<String, Key>,
    #[serde(skip)]
    /// An event that a `webhook:reorder` fault holds back until the next one was sent.
    pub(crate) held_back: Option<tokio::sync::oneshot::Sender<()>>,
    #[serde(skip)]
    rate_limit: Option<u32>,
    /// When each operation was last called.
    #[serde(skip)]
    recent: HashMap<&'static str, VecDeque<Instant>>,
}

pub struct World {
    pub(crate) inner: Arc<Mutex<Inner>>,
    /// Held by an operation from its first read to its last write.
    serial: Mutex<()>,
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) deliveries_pending: Arc<AtomicUsize>,
    /// Where deliveries run, whichever thread an event comes from.
    pub(crate) runtime: tokio::runtime::Handle,
}

impl World {
    /// The world as the state file has it, or an empty one. Called in a Tokio runtime.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let mut inner = match config.state_file.as_ref().map(std::fs::read) {
            Some(Ok(state)) => serde_json::from_slice(&state).context("the state file cannot be read")?,
            Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Some(Err(_)) | None => Inner::default(),
        };
        // A request that was cut off by the end would block its key for ever.
        inner.keys.retain(|_, key| key.answer.is_some());
        Ok(Self {
            inner: Arc::new(Mutex::new(inner)),
            serial: Mutex::default(),
            endpoint: config.webhook_url.as_ref().map(|url| Arc::new(Endpoint::new(url, config))),
            deliveries_pending: Arc::default(),
            runtime: tokio::runtime::Handle::try_current().context("a simulator needs a runtime")?,
        })
    }

    /// The world as it goes into the state file: between two operations, never in the middle of one.
    pub(crate) fn state(&self) -> serde_json::Result<Vec<u8>> {
        let _serial = self.one_at_a_time();
        serde_json::to_vec(&*self.lock())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.serial.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Every object of a kind, in the order they were made.
    #[must_use]
    pub fn objects(&self, kind: Kind) -> Vec<Value> {
        self.lock().objects.all(kind).iter().cloned().map(shown).collect()
    }

    /// An object as it is now.
    #[must_use]
    pub fn object(&self, kind: Kind, id: &str) -> Option<Value> {
        self.get(kind, id).map(shown)
    }

    /// Sets a fault, as `POST /_control/faults` does.
    ///
    /// # Errors
    /// An operation or a mode that does not exist.
    pub fn add_fault(&self, operation: &str, mode: &str, times: u32) -> Result<(), String> {
        let (operation, mode) = (operation.to_owned(), mode.to_owned());
        self.lock().faults.add(crate::faults::Fault { operation, mode, times }, &super::OPERATIONS)
    }

    /// At most so many calls of each operation a second; more are answered 429. `None`: no limit.
    pub fn set_rate_limit(&self, per_second: Option<u32>) {
        let mut inner = self.lock();
        inner.rate_limit = per_second;
        inner.recent.clear();
    }

    /// What becomes of subscriptions whose last retry failed.
    pub fn set_after_retries(&self, what: AfterRetries) {
        self.lock().after_retries = what;
    }

    /// Forgets everything: objects, ledger, keys, faults, logs, settings; the clock goes back to real time.
    pub fn reset(&self) {
        let _serial = self.one_at_a_time();
        *self.lock() = Inner::default();
    }

    pub(crate) fn log(&self, request: RequestLog) {
        self.lock().requests.push(request);
    }

    /// Whether the operation may be called now. Counts the call if it may.
    pub(crate) fn within_rate(&self, operation: &'static str) -> bool {
        let mut inner = self.lock();
        let Some(most) = inner.rate_limit else { return true };
        let now = Instant::now();
        let recent = inner.recent.entry(operation).or_default();
        while recent.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            recent.pop_front();
        }
        let free = recent.len() < usize::try_from(most).unwrap_or(usize::MAX);
        if free {
            recent.push_back(now);
        }
        free
    }

    pub(crate) fn claim(&self, key: &str, fingerprint: &str) -> Claim {
        let mut inner = self.lock();
        let now = inner.now();
        if inner.keys.get(key).is_some_and(|known| known.answer.is_some() && known.created + KEY_LIFE_SECONDS <= now) {
            inner.keys.remove(key);
        }
        match inner.keys.get(key) {
            None => {
                let new = Key { fingerprint: fingerprint.to_owned(), created: now, answer: None };
                inner.keys.insert(key.to_owned(), new);
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

    pub(crate) fn put(&self, kind: Kind, object: &Value) {
        self.lock().objects.put(kind, object.clone());
    }

    pub(crate) fn get(&self, kind: Kind, id: &str) -> Option<Value> {
        self.lock().objects.get(kind, id).cloned()
    }

    /// The objects that `keep` likes, newest first.
    pub(crate) fn select(&self, kind: Kind, keep: impl Fn(&Value) -> bool) -> Vec<Value> {
        let page = self.lock().objects.page(kind, Cursor::Newest, usize::MAX - 1, &keep);
        page.map(|(objects, _)| objects).unwrap_or_default()
    }

    pub(crate) fn move_money(&self, entry: LedgerEntry) {
        self.lock().ledger.push(entry);
    }

    /// What the ledger says about an entry changes with the object.
    pub(crate) fn ledger_status(&self, id: &str, kind: &str, status: &str) {
        let mut inner = self.lock();
        if let Some(entry) = inner.ledger.iter_mut().rev().find(|entry| entry.id == id && entry.kind == kind) {
            status.clone_into(&mut entry.status);
        }
    }
}

/// Who does something: a request, or the clock and the control API, which are nobody.
#[derive(Clone, Copy)]
pub(crate) struct Actor<'a> {
    pub(crate) world: &'a World,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
}

impl<'a> Actor<'a> {
    pub(crate) fn nobody(world: &'a World) -> Self {
        Self { world, request_id: None, key: None }
    }

    pub(crate) fn now(self) -> i64 {
        self.world.now()
    }

    pub(crate) fn get(self, kind: Kind, id: &str) -> Option<Value> {
        self.world.get(kind, id)
    }

    pub(crate) fn put(self, kind: Kind, object: &Value) {
        self.world.put(kind, object);
    }

    /// Stores the object and tells of it.
    pub(crate) fn save(self, kind: Kind, object: &Value, event_type: &str) {
        self.put(kind, object);
        self.emit(event_type, object);
    }

    /// Stores the object and tells what changed, if anything did.
    pub(crate) fn change(self, kind: Kind, object: &Value, event_type: &str) {
        let before = self.get(kind, id_of(object)).unwrap_or_default();
        self.put(kind, object);
        self.changed(event_type, &before, object);
    }
}

/// An id in Stripe's form.
pub(crate) fn random_id(prefix: &str) -> String {
    format!("{prefix}_{}", random_text())
}

pub(crate) fn random_text() -> String {
    let mut random = rand::rng();
    (0..24).map(|_| char::from(random.sample(rand::distr::Alphanumeric))).collect()
}
