//! Requests that wait for a payment to move. One subscription to Redis wakes them all; a slow re-read is the net.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use shared::domain::ids::PaymentId;
use tokio::sync::Notify;

#[derive(Default)]
pub struct Waiting {
    by_payment: Mutex<HashMap<PaymentId, Weak<Notify>>>,
    closed: std::sync::atomic::AtomicBool,
}

impl Waiting {
    /// Registers interest in a payment. Do this before reading it, or a change in between is missed.
    pub fn register(&self, id: PaymentId) -> Waiter<'_> {
        let mut by_payment = self.by_payment.lock().unwrap_or_else(PoisonError::into_inner);
        let notify = match by_payment.get(&id).and_then(Weak::upgrade) {
            Some(notify) => notify,
            None => {
                let notify = Arc::new(Notify::new());
                by_payment.insert(id, Arc::downgrade(&notify));
                notify
            }
        };
        Waiter { waiting: self, id, notify }
    }

    /// News from Redis: a payment's id, or `None` where some may have been missed.
    pub fn on_news(&self, message: Option<&str>) {
        let by_payment = self.by_payment.lock().unwrap_or_else(PoisonError::into_inner);
        match message {
            Some(text) => {
                if let Some(notify) = text.parse().ok().and_then(|id| by_payment.get(&id)).and_then(Weak::upgrade) {
                    notify.notify_waiters();
                }
            }
            None => by_payment.values().filter_map(Weak::upgrade).for_each(|notify| notify.notify_waiters()),
        }
    }

    /// Ends all waiting, now and from now on: the process stops.
    pub fn close(&self) {
        self.closed.store(true, std::sync::atomic::Ordering::SeqCst);
        self.on_news(None);
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(std::sync::atomic::Ordering::SeqCst)
    }
}

pub struct Waiter<'a> {
    waiting: &'a Waiting,
    id: PaymentId,
    notify: Arc<Notify>,
}

impl Waiter<'_> {
    /// Resolves at the next change. `enable()` it before reading the payment.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut by_payment = self.waiting.by_payment.lock().unwrap_or_else(PoisonError::into_inner);
        // The last one turns off the light.
        if Arc::strong_count(&self.notify) == 1 {
            by_payment.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_are_woken_and_forgotten() {
        let waiting = Waiting::default();
        let id = PaymentId::generate();
        let (first, second) = (waiting.register(id), waiting.register(id));
        let mut changed = Box::pin(first.changed());
        changed.as_mut().enable();
        waiting.on_news(Some(&PaymentId::generate().to_string()));
        waiting.on_news(Some("no id"));
        assert!(futures_util::FutureExt::now_or_never(changed.as_mut()).is_none());
        waiting.on_news(Some(&id.to_string()));
        changed.as_mut().await;
        drop(changed);
        drop(first);
        assert_eq!(waiting.by_payment.lock().expect("a lock").len(), 1);
        drop(second);
        assert!(waiting.by_payment.lock().expect("a lock").is_empty());
    }
}
