//! Callbacks on their way: posted until a 200 comes, eleven times at most.

use std::path::Path;
use std::sync::Weak;
use std::time::Duration;

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::model::Status;
use super::world::{Inner, SwishWorld};
use crate::Order;
use crate::faults::Mode;

/// What callbacks are about, as faults name it.
pub(super) const PAYMENTS: &str = "payments";
pub(super) const REFUNDS: &str = "refunds";

/// What a late callback is late by, and what one that waits for another waits at most.
const LATE: Duration = Duration::from_secs(2);
const RETRIES_MAX: u32 = 10;
/// The longest pause, in first pauses.
const PAUSE_MAX: u32 = 12;
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A callback that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Callback {
    /// `payments` or `refunds`
    pub kind: String,
    /// The instruction UUID.
    pub id: String,
    pub status: Status,
    /// How often it was posted.
    pub sent: u32,
    /// Whether it was answered 200.
    pub taken: bool,
    pub(super) url: String,
    pub(super) identifier: Option<String>,
    pub(super) body: String,
}

/// A callback that waits for its release.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Held {
    number: usize,
    #[serde(skip)]
    fault: Option<Mode>,
}

/// Who posts.
#[derive(Clone)]
pub(super) struct Sender {
    http: reqwest::Client,
    retry: Duration,
}

impl Sender {
    /// Trusts public CAs and the simulator's own.
    pub(super) fn new(retry_ms: u64, ca: &Path) -> anyhow::Result<Self> {
        let ca = reqwest::Certificate::from_pem(&std::fs::read(ca)?)?;
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        let http = builder.timeout(ANSWER_MAX).tls_certs_merge([ca]).build().context("no client for callbacks")?;
        Ok(Self { http, retry: Duration::from_millis(retry_ms) })
    }

    /// The status that a post was answered with.
    pub(super) async fn post(&self, url: &str, identifier: Option<&str>, body: String) -> reqwest::Result<u16> {
        let mut request = self.http.post(url).header("content-type", "application/json");
        if let Some(identifier) = identifier {
            request = request.header("callbackIdentifier", identifier);
        }
        Ok(request.body(body).send().await?.status().as_u16())
    }
}

enum Posted {
    Taken,
    Refused,
    /// The world is gone, or has forgotten it.
    GivenUp,
}

/// A callback on its way.
struct Delivery {
    world: Weak<SwishWorld>,
    generation: u64,
    number: usize,
    fault: Option<Mode>,
    /// Sent once this resolves: the next callback has been sent.
    hold: Option<oneshot::Receiver<()>>,
    /// The callback before, which waits for this one.
    release: Option<oneshot::Sender<()>>,
    /// The earlier callback of the same object.
    after: Option<oneshot::Receiver<()>>,
    /// Dropped once this was sent.
    first: Option<oneshot::Sender<()>>,
}

impl Delivery {
    async fn run(mut self) {
        let posted = if self.fault == Some(Mode::WebhookLose) { Posted::GivenUp } else { self.begin().await };
        self.go_on(posted).await;
    }

    /// The first time.
    async fn begin(&mut self) -> Posted {
        if self.fault == Some(Mode::WebhookDelay) {
            self.first = None;
            tokio::time::sleep(LATE).await;
        } else if let Some(hold) = self.hold.take() {
            self.first = None;
            let _ = tokio::time::timeout(LATE, hold).await;
        } else if let Some(after) = self.after.take() {
            let _ = tokio::time::timeout(LATE, after).await;
        }
        self.post_first().await
    }

    async fn post_first(&self) -> Posted {
        if self.fault != Some(Mode::WebhookDuplicate) {
            return self.post().await;
        }
        match tokio::join!(self.post(), self.post()) {
            (Posted::Taken, _) | (_, Posted::Taken) => Posted::Taken,
            (posted, _) => posted,
        }
    }

    /// The times after the first, if it was refused.
    async fn go_on(mut self, mut posted: Posted) {
        self.first = None;
        if let Some(release) = self.release.take() {
            let _ = release.send(());
        }
        let first_pause = self.world.upgrade().map(|world| world.sender.retry).unwrap_or_default();
        let mut pause = first_pause;
        for _ in 0..RETRIES_MAX {
            if !matches!(posted, Posted::Refused) {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(first_pause.saturating_mul(PAUSE_MAX));
            posted = self.post().await;
        }
        if let Some(world) = self.world.upgrade() {
            let mut inner = world.lock();
            if inner.generation == self.generation {
                inner.pending = inner.pending.saturating_sub(1);
            }
        }
    }

    async fn post(&self) -> Posted {
        let Some((sender, callback)) = self.note(|callback| callback.sent += 1) else { return Posted::GivenUp };
        let answer = sender.post(&callback.url, callback.identifier.as_deref(), callback.body).await;
        if !matches!(answer, Ok(200)) {
            tracing::info!(?answer, id = callback.id, "a callback was not taken");
            return Posted::Refused;
        }
        self.note(|callback| callback.taken = true);
        Posted::Taken
    }

    /// Changes what is known of the callback, unless it was forgotten.
    fn note(&self, change: impl FnOnce(&mut Callback)) -> Option<(Sender, Callback)> {
        let world = self.world.upgrade()?;
        let mut inner = world.lock();
        if inner.generation != self.generation {
            return None;
        }
        let callback = inner.callbacks.get_mut(self.number)?;
        change(callback);
        Some((world.sender.clone(), callback.clone()))
    }
}

impl Inner {
    /// Makes a callback; it goes out when the lock is given back.
    pub(super) fn tell(&mut self, kind: &str, id: &str, status: Status, body: String) {
        let (url, identifier) = if kind == PAYMENTS {
            let Some(payment) = self.payments.iter().find(|payment| payment.id == id) else { return };
            (payment.callback_url.clone(), payment.callback_identifier.clone())
        } else {
            let Some(refund) = self.refunds.iter().find(|refund| refund.id == id) else { return };
            (refund.callback_url.clone(), refund.callback_identifier.clone())
        };
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.outbox.push(self.callbacks.len());
        self.callbacks.push(Callback { kind, id, status, sent: 0, taken: false, url, identifier, body });
    }
}

impl SwishWorld {
    /// Every callback, in the order they were made.
    #[must_use]
    pub fn callbacks(&self) -> Vec<Callback> {
        self.lock().callbacks.clone()
    }

    /// How many callbacks wait for their release.
    #[must_use]
    pub fn callbacks_held(&self) -> usize {
        self.lock().held.len()
    }

    /// While held, callbacks are made and not sent. Releasing sends them in their order.
    pub fn hold_callbacks(&self, hold: bool) {
        if hold {
            self.lock().callbacks_held = true;
        } else {
            self.release_callbacks(Order::InOrder);
        }
    }

    /// Sends the held callbacks, one after the other, and holds no more. What is not taken is tried again later, as
    /// always.
    pub fn release_callbacks(&self, order: Order) {
        let mut inner = self.lock();
        inner.callbacks_held = false;
        let mut held = std::mem::take(&mut inner.held);
        if let Order::Shuffled(seed) = order {
            held.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        }
        inner.pending += held.len();
        let deliveries: Vec<Delivery> =
            held.iter().map(|held| self.delivery(&inner, held.number, held.fault)).collect();
        drop(inner);
        self.runtime.spawn(async move {
            for delivery in deliveries {
                let lost = delivery.fault == Some(Mode::WebhookLose);
                let posted = if lost { Posted::GivenUp } else { delivery.post_first().await };
                tokio::spawn(delivery.go_on(posted));
            }
        });
    }

    /// Sends the last callback of a payment request or a refund again.
    ///
    /// # Errors
    /// There was none.
    pub fn send_again(&self, id: &str) -> Result<(), String> {
        let mut inner = self.lock();
        let object = inner.payment(id).map_or_else(|| super::model::plain(id), |payment| payment.id.clone());
        let number = inner.callbacks.iter().rposition(|callback| callback.id == object);
        let number = number.ok_or_else(|| format!("there was no callback of `{id}`"))?;
        inner.pending += 1;
        self.runtime.spawn(self.delivery(&inner, number, None).run());
        Ok(())
    }

    /// Sends what was made, or holds it.
    pub(super) fn dispatch(&self, inner: &mut Inner) {
        for number in std::mem::take(&mut inner.outbox) {
            let (kind, id) = (inner.callbacks[number].kind.clone(), inner.callbacks[number].id.clone());
            let fault = inner.faults.take(&kind, true);
            if inner.callbacks_held {
                inner.held.push(Held { number, fault });
                continue;
            }
            let mut delivery = self.delivery(inner, number, fault);
            delivery.release = inner.held_back.take();
            if fault == Some(Mode::WebhookReorder) {
                let (sender, receiver) = oneshot::channel();
                inner.held_back = Some(sender);
                delivery.hold = Some(receiver);
            }
            let (sender, receiver) = oneshot::channel();
            delivery.first = Some(sender);
            delivery.after = inner.last_sent.insert(id, receiver);
            inner.pending += 1;
            self.runtime.spawn(delivery.run());
        }
    }

    fn delivery(&self, inner: &Inner, number: usize, fault: Option<Mode>) -> Delivery {
        Delivery {
            world: self.me.clone(),
            generation: inner.generation,
            number,
            fault,
            hold: None,
            release: None,
            after: None,
            first: None,
        }
    }
}
