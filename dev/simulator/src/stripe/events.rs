//! Events: how they are made, kept back, sent, and `/v1/events`.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::list;
use super::params::{CREATED, PAGE, Type, may};
use super::store::{Kind, OURS, id_of, shown, text};
use super::webhooks::Delivery;
use super::world::{Actor, Inner, World, random_id};
use crate::faults::Mode;

pub(crate) const API_VERSION: &str = "2026-09-30.endive";

pub(crate) const LIST: Operation = Operation::get(
    "events.list",
    "/events",
    &[PAGE, CREATED, &[may("type", Type::Text), may("types[]", Type::Text), may("delivery_success", Type::Boolean)]],
    Gives::List(Kind::Event),
    list,
);

pub(crate) const RETRIEVE: Operation =
    Operation::get("events.retrieve", "/events/:id", &[], Gives::One(Kind::Event), |call| call.object());

fn list(call: &Call<'_>) -> Result<Value, StripeError> {
    let types = call.form.items("types");
    let wanted = |given: &str, pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => given.starts_with(start),
        None => given == pattern,
    };
    if !types.is_empty() && call.form.has("type") {
        return Err(StripeError::bad(Some("type"), "You may only specify one of type and types."));
    }
    let delivered = call.form.boolean("delivery_success");
    list::page(call, |event| {
        let name = text(event, "type");
        call.form.get("type").is_none_or(|pattern| wanted(name, pattern))
            && (types.is_empty() || types.iter().any(|pattern| wanted(name, pattern)))
            && delivered.is_none_or(|delivered| (event[OURS]["delivered"] == true) == delivered)
    })
}

/// An event that waits for its release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Held {
    id: String,
    #[serde(skip)]
    fault: Option<Mode>,
}

/// In what order held events go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    InOrder,
    /// By chance, the same for the same seed.
    Shuffled(u64),
}

impl Actor<'_> {
    pub(crate) fn emit(self, event_type: &str, object: &Value) {
        self.send(event_type, object, None);
    }

    /// An event with what the fields were before. Nothing is told where nothing changed.
    pub(crate) fn changed(self, event_type: &str, before: &Value, after: &Value) {
        let mut previous = Map::new();
        if let (Some(before), Some(after)) = (before.as_object(), after.as_object()) {
            for (name, value) in after.iter().filter(|(name, _)| *name != OURS) {
                let was = before.get(name).unwrap_or(&Value::Null);
                if was != value {
                    previous.insert(name.clone(), was.clone());
                }
            }
        }
        if !previous.is_empty() {
            self.send(event_type, after, Some(previous.into()));
        }
    }

    fn send(self, event_type: &str, object: &Value, previous: Option<Value>) {
        let mut data = json!({ "object": shown(object.clone()) });
        if let Some(previous) = previous {
            data["previous_attributes"] = previous;
        }
        let world = self.world;
        let mut inner = world.lock();
        let version = inner.webhook_api_version.clone().unwrap_or_else(|| API_VERSION.to_owned());
        let event = json!({
            "id": random_id("evt"),
            "object": "event",
            "api_version": version,
            "created": inner.now(),
            "type": event_type,
            "livemode": false,
            "pending_webhooks": i32::from(world.endpoint.is_some()),
            "request": { "id": self.request_id, "idempotency_key": self.key },
            "data": data,
            OURS: { "delivered": world.endpoint.is_none() },
        });
        let fault = if world.endpoint.is_some() { inner.faults.take(event_type, true) } else { None };
        if fault == Some(Mode::WebhookTwin) {
            let mut twin = event.clone();
            twin["id"] = random_id("evt").into();
            world.queue(&mut inner, twin, None);
        }
        world.queue(&mut inner, event, fault);
    }
}

impl World {
    /// Dates back the events that are younger than this by the real clock, as if time had passed since. Those of a world
    /// whose clock was moved are of the future.
    pub fn age_events(&self, to: std::time::Duration) {
        let latest = chrono::Utc::now().timestamp() - i64::try_from(to.as_secs()).unwrap_or(i64::MAX);
        for mut event in self.events() {
            if event["created"].as_i64().unwrap_or_default() > latest {
                event["created"] = latest.into();
                self.put(Kind::Event, &event);
            }
        }
    }

    /// Every event, in order, sent or not.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.objects(Kind::Event)
    }

    /// How many events are still to be delivered. Held ones do not count.
    #[must_use]
    pub fn deliveries_pending(&self) -> usize {
        self.deliveries_pending.load(Ordering::SeqCst)
    }

    /// How many events wait for their release.
    #[must_use]
    pub fn webhooks_held(&self) -> usize {
        self.lock().held.len()
    }

    /// While held, events are made and not sent. Releasing sends them in their order.
    pub fn hold_webhooks(&self, hold: bool) {
        if hold {
            self.lock().webhooks_held = true;
        } else {
            self.release_webhooks(Order::InOrder);
        }
    }

    /// Sends the held events, one after the other, and holds no more. What is not taken is tried again later, as always.
    pub fn release_webhooks(&self, order: Order) {
        let mut inner = self.lock();
        inner.webhooks_held = false;
        let mut held = std::mem::take(&mut inner.held);
        if let Order::Shuffled(seed) = order {
            held.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        }
        let deliveries: Vec<Delivery> =
            held.iter().filter_map(|held| self.delivery(&mut inner, &held.id, held.fault)).collect();
        drop(inner);
        let Some(endpoint) = self.endpoint.clone() else { return };
        self.deliveries_pending.fetch_add(deliveries.len(), Ordering::SeqCst);
        let this = self.sender();
        self.runtime.spawn(async move {
            for delivery in deliveries {
                let taken = match delivery.fault {
                    Some(Mode::WebhookLose) => {
                        this.done(&delivery.event, false);
                        continue;
                    }
                    Some(Mode::WebhookDuplicate) => {
                        endpoint.send(&delivery.body).await;
                        endpoint.send(&delivery.body).await
                    }
                    _ => endpoint.send(&delivery.body).await,
                };
                if taken {
                    this.done(&delivery.event, true);
                } else {
                    let (endpoint, this) = (endpoint.clone(), this.clone());
                    tokio::spawn(
                        async move { this.done(&delivery.event, endpoint.deliver_plainly(&delivery.body).await) },
                    );
                }
            }
        });
    }

    /// The version that events say they are rendered in, as a webhook endpoint of another version would have it.
    pub fn set_webhook_api_version(&self, version: &str) {
        self.lock().webhook_api_version = Some(version.to_owned());
    }

    fn queue(&self, inner: &mut Inner, event: Value, fault: Option<Mode>) {
        let id = id_of(&event).to_owned();
        inner.objects.put(Kind::Event, event);
        if self.endpoint.is_none() {
            return;
        }
        if inner.webhooks_held {
            inner.held.push(Held { id, fault });
            return;
        }
        let Some(delivery) = self.delivery(inner, &id, fault) else { return };
        let Some(endpoint) = self.endpoint.clone() else { return };
        self.deliveries_pending.fetch_add(1, Ordering::SeqCst);
        let this = self.sender();
        self.runtime.spawn(async move {
            let event = delivery.event.clone();
            let taken = endpoint.deliver(delivery).await;
            this.done(&event, taken);
        });
    }

    fn delivery(&self, inner: &mut Inner, id: &str, fault: Option<Mode>) -> Option<Delivery> {
        let body = shown(inner.objects.get(Kind::Event, id)?.clone()).to_string();
        let release = inner.held_back.take();
        let hold = (fault == Some(Mode::WebhookReorder) && !inner.webhooks_held).then(|| {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            inner.held_back = Some(sender);
            receiver
        });
        Some(Delivery { event: id.to_owned(), body, fault, hold, release })
    }

    fn sender(&self) -> Sender {
        Sender { inner: self.inner.clone(), pending: self.deliveries_pending.clone() }
    }
}

/// What a delivery needs of the world when it ends.
#[derive(Clone)]
struct Sender {
    inner: std::sync::Arc<std::sync::Mutex<Inner>>,
    pending: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Sender {
    fn done(&self, event: &str, taken: bool) {
        if taken {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(event) = inner.objects.get_mut(Kind::Event, event) {
                event[OURS]["delivered"] = true.into();
                event["pending_webhooks"] = 0.into();
            }
        }
        self.pending.fetch_sub(1, Ordering::SeqCst);
    }
}
