//! The simulated Swish: requests, refunds, the money that moved, the clock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::SwishConfig;
use super::callbacks::{Callback, Held, Sender};
use super::certificates::Certificates;
use super::gate;
use super::model::{Payment, Refund, Status, plain};
use super::payments::Outcome;
use crate::agenda::Agenda;
use crate::faults::{Fault, Faults};

/// Money that moved, whatever Swish says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwishLedgerEntry {
    /// The instruction UUID of the payment or of the refund.
    pub id: String,
    /// `charge`, `refund`, or `refund_failure`: a refund that was debited came back.
    #[serde(rename = "type")]
    pub kind: String,
    /// The instruction UUID of the payment.
    pub payment: String,
    /// In öre. Never negative: the type says which way it went.
    pub amount: i64,
    pub currency: String,
    pub status: Status,
    /// In Unix seconds.
    pub created: i64,
}

/// A request as it came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SwishRequest {
    pub operation: String,
    pub method: String,
    pub path: String,
    /// The CN of the client's certificate.
    pub common_name: String,
}

/// What falls due. Whether it still applies is seen when it is carried out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Due {
    PaysByItself(String),
    /// Nobody answered for three minutes.
    Expires(String),
    PaymentFails {
        id: String,
        code: String,
    },
    RefundDebits(String),
    RefundPays(String),
    RefundFails {
        id: String,
        code: String,
    },
}

#[derive(Clone, Default)]
pub(super) struct Settings {
    /// The base URL of the API.
    pub(super) url: String,
    pub(super) settle_ms: i64,
    pub(super) payee_alias: String,
    auto_pay_ms: Option<u64>,
}

/// What is kept in the state file, and what is not.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Inner {
    #[serde(skip)]
    pub(super) settings: Arc<Settings>,
    #[serde(skip)]
    pub(super) faults: Faults,
    pub(super) payments: Vec<Payment>,
    pub(super) refunds: Vec<Refund>,
    pub(super) agenda: Agenda<Due>,
    /// How far the clock is ahead of real time, in milliseconds.
    ahead: i64,
    /// The moment that is being made up for.
    #[serde(skip)]
    frozen: Option<i64>,
    ledger: Vec<SwishLedgerEntry>,
    requests: Vec<SwishRequest>,
    pub(super) callbacks: Vec<Callback>,
    /// Callbacks that were made since the lock was taken, by number.
    #[serde(skip)]
    pub(super) outbox: Vec<usize>,
    /// How many callbacks are on their way.
    #[serde(skip)]
    pub(super) pending: usize,
    pub(super) callbacks_held: bool,
    pub(super) held: Vec<Held>,
    /// A callback that a `webhook:reorder` fault holds back until the next one was sent.
    #[serde(skip)]
    pub(super) held_back: Option<oneshot::Sender<()>>,
    /// For each object: resolves once its last callback was sent for the first time.
    #[serde(skip)]
    pub(super) last_sent: HashMap<String, oneshot::Receiver<()>>,
    /// How often everything was forgotten: what was on its way before is given up.
    #[serde(skip)]
    pub(super) generation: u64,
    #[serde(skip)]
    pub(super) auto_pay_ms: Option<u64>,
    #[serde(skip)]
    rate_limit: Option<u32>,
    /// When each operation was last called.
    #[serde(skip)]
    recent: HashMap<&'static str, VecDeque<Instant>>,
}

pub struct SwishWorld {
    pub(super) me: Weak<Self>,
    inner: Mutex<Inner>,
    pub(super) sender: Sender,
    /// Where callbacks are sent, whichever thread they come from.
    pub(super) runtime: tokio::runtime::Handle,
}

impl SwishWorld {
    /// The world as the state file has it, or an empty one. Called in a Tokio runtime.
    pub(super) fn new(config: &SwishConfig, url: String, certificates: &Certificates) -> anyhow::Result<Arc<Self>> {
        let mut inner = match config.state_file.as_ref().map(std::fs::read) {
            Some(Ok(state)) => serde_json::from_slice(&state).context("the state file of Swish cannot be read")?,
            Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Some(Err(_)) | None => Inner::default(),
        };
        inner.settings = Arc::new(Settings {
            url,
            settle_ms: i64::try_from(config.settle_ms).context("--swish-settle-ms is too large")?,
            payee_alias: config.payee_alias.clone(),
            auto_pay_ms: config.auto_pay_ms,
        });
        inner.auto_pay_ms = config.auto_pay_ms;
        let sender = Sender::new(config.callback_retry_ms, &certificates.ca)?;
        let runtime = tokio::runtime::Handle::try_current().context("a simulator needs a runtime")?;
        Ok(Arc::new_cyclic(|me| Self { me: me.clone(), inner: Mutex::new(inner), sender, runtime }))
    }

    /// The world as it goes into the state file.
    pub(super) fn state(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&*self.lock())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something at the present moment, with nothing else in between, and sends the callbacks that come of it.
    pub(super) fn act<T>(&self, what: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let now = inner.now();
        inner.carry_out(now);
        let done = what(&mut inner);
        self.dispatch(&mut inner);
        done
    }

    /// What fell due while real time passed.
    pub(super) fn let_time_pass(&self) {
        self.act(|_| ());
    }

    /// The simulator's time, in Unix seconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.lock().now().div_euclid(1_000)
    }

    /// Moves the clock forward and carries out, in the order of time, what falls due. Tells how many things did.
    pub fn advance(&self, by: Duration) -> usize {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 4);
        self.act(|inner| {
            let done = inner.carry_out(inner.now().saturating_add(by));
            inner.ahead = inner.ahead.saturating_add(by);
            done
        })
    }

    /// Everything that moved money, in order.
    #[must_use]
    pub fn ledger(&self) -> Vec<SwishLedgerEntry> {
        self.lock().ledger.clone()
    }

    /// Every request, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<SwishRequest> {
        self.lock().requests.clone()
    }

    /// Every payment request, in the order they were made.
    #[must_use]
    pub fn payments(&self) -> Vec<Payment> {
        self.act(|inner| inner.payments.clone())
    }

    /// Every refund, in the order they were made.
    #[must_use]
    pub fn refunds(&self) -> Vec<Refund> {
        self.act(|inner| inner.refunds.clone())
    }

    /// A payment request by its instruction UUID, in any form, or by its token.
    #[must_use]
    pub fn payment(&self, id: &str) -> Option<Payment> {
        self.act(|inner| inner.payment(id).cloned())
    }

    /// A refund by its instruction UUID, in any form.
    #[must_use]
    pub fn refund(&self, id: &str) -> Option<Refund> {
        self.act(|inner| inner.refund(id).cloned())
    }

    /// The payer pays; a refund is debited and paid at once.
    ///
    /// # Errors
    /// There is nothing of that id, or it is final.
    pub fn pay(&self, id: &str) -> Result<Status, String> {
        self.act(|inner| match inner.refund(id) {
            Some(refund) => {
                let id = refund.id.clone();
                inner.debit_refund(&id);
                inner.pay_refund(&id)
            }
            None => inner.settle_payment(id, Outcome::Paid),
        })
    }

    /// The payer declines.
    ///
    /// # Errors
    /// There is no payment request of that id, or it is final.
    pub fn decline(&self, id: &str) -> Result<Status, String> {
        self.act(|inner| inner.settle_payment(id, Outcome::Declined))
    }

    /// A payment request or a refund ends as `ERROR` with the code. `moved`: whether the money moved all the same, which
    /// only `DS24` leaves open.
    ///
    /// # Errors
    /// There is nothing of that id, it is final, or it cannot end with that code.
    pub fn fail(&self, id: &str, code: &str, moved: bool) -> Result<Status, String> {
        self.act(|inner| match inner.refund(id) {
            Some(refund) => {
                let id = refund.id.clone();
                inner.fail_refund(&id, code, moved)
            }
            None => inner.settle_payment(id, Outcome::Failed { code: code.to_owned(), moved }),
        })
    }

    /// How long refunds and failures by message take from now on, in milliseconds.
    pub fn set_settle(&self, after_ms: u32) {
        Arc::make_mut(&mut self.lock().settings).settle_ms = after_ms.into();
    }

    /// Requests that come from now on are paid by themselves after so long. `None`: a payer must.
    pub fn set_auto_pay(&self, after_ms: Option<u64>) {
        self.lock().auto_pay_ms = after_ms;
    }

    /// Sets a fault, as `POST /_control/faults` does.
    ///
    /// # Errors
    /// An operation or a mode that does not exist.
    pub fn add_fault(&self, operation: &str, mode: &str, times: u32) -> Result<(), String> {
        let (operation, mode) = (operation.to_owned(), mode.to_owned());
        self.lock().faults.add(Fault { operation, mode, times }, &gate::OPERATIONS)
    }

    /// At most so many calls of each operation a second; more are answered 429. `None`: no limit.
    pub fn set_rate_limit(&self, per_second: Option<u32>) {
        let mut inner = self.lock();
        inner.rate_limit = per_second;
        inner.recent.clear();
    }

    /// How many callbacks are still to be delivered. Held ones do not count.
    #[must_use]
    pub fn deliveries_pending(&self) -> usize {
        self.lock().pending
    }

    /// Forgets everything: requests, refunds, ledger, faults, logs, settings; the clock goes back to real time.
    pub fn reset(&self) {
        let mut inner = self.lock();
        let (settings, generation) = (inner.settings.clone(), inner.generation + 1);
        *inner = Inner { auto_pay_ms: settings.auto_pay_ms, settings, generation, ..Inner::default() };
    }
}

impl Inner {
    /// In Unix milliseconds.
    pub(super) fn now(&self) -> i64 {
        self.frozen.unwrap_or_else(|| Utc::now().timestamp_millis() + self.ahead)
    }

    pub(super) fn schedule(&mut self, after_ms: i64, due: Due) {
        let at = self.now().saturating_add(after_ms);
        self.agenda.add(at, due);
    }

    fn carry_out(&mut self, until: i64) -> usize {
        let mut done = 0;
        while let Some((at, due)) = self.agenda.take(until) {
            self.frozen = Some(at);
            self.happen(due);
            done += 1;
        }
        self.frozen = None;
        done
    }

    /// What became final in the meantime stays as it is.
    fn happen(&mut self, due: Due) {
        let _ = match due {
            Due::PaysByItself(id) => self.settle_payment(&id, Outcome::Paid),
            Due::Expires(id) => self.settle_payment(&id, Outcome::Failed { code: "TM01".to_owned(), moved: false }),
            Due::PaymentFails { id, code } => self.settle_payment(&id, Outcome::Failed { code, moved: false }),
            Due::RefundDebits(id) => {
                self.debit_refund(&id);
                Ok(Status::Debited)
            }
            Due::RefundPays(id) => self.pay_refund(&id),
            Due::RefundFails { id, code } => self.fail_refund(&id, &code, false),
        };
    }

    pub(super) fn log(&mut self, request: SwishRequest) {
        self.requests.push(request);
    }

    /// Whether the operation may be called now. Counts the call if it may.
    pub(super) fn within_rate(&mut self, operation: &'static str) -> bool {
        let Some(most) = self.rate_limit else { return true };
        let now = Instant::now();
        let recent = self.recent.entry(operation).or_default();
        while recent.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            recent.pop_front();
        }
        let free = recent.len() < usize::try_from(most).unwrap_or(usize::MAX);
        if free {
            recent.push_back(now);
        }
        free
    }

    pub(super) fn payment(&self, id: &str) -> Option<&Payment> {
        let (plain, token) = (plain(id), id.to_ascii_lowercase());
        let wanted = |payment: &&Payment| payment.id == plain || payment.token.as_ref() == Some(&token);
        self.payments.iter().rev().find(wanted)
    }

    pub(super) fn refund(&self, id: &str) -> Option<&Refund> {
        let plain = plain(id);
        self.refunds.iter().rev().find(|refund| refund.id == plain)
    }

    /// Whether an instruction UUID was used.
    pub(super) fn is_used(&self, id: &str) -> bool {
        self.payments.iter().any(|payment| payment.id == id) || self.refunds.iter().any(|refund| refund.id == id)
    }

    pub(super) fn move_money(&mut self, kind: &str, id: &str, payment: &str, amount: i64, status: Status) {
        self.ledger.push(SwishLedgerEntry {
            id: id.to_owned(),
            kind: kind.to_owned(),
            payment: payment.to_owned(),
            amount,
            currency: "SEK".to_owned(),
            status,
            created: self.now().div_euclid(1_000),
        });
    }

    /// What the ledger says about a refund changes with it.
    pub(super) fn ledger_status(&mut self, id: &str, status: Status) {
        if let Some(entry) = self.ledger.iter_mut().rev().find(|entry| entry.id == id) {
            entry.status = status;
        }
    }
}

/// So many bytes by chance, in lower-case hex.
pub(super) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill_bytes(&mut random);
    hex::encode(random)
}
