//! Requests that wait for something to move. One subscription to Redis wakes them all; a slow re-read is the net.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sea_orm::DbErr;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

#[derive(Default)]
pub struct Waiting {
    by_id: Mutex<HashMap<Uuid, Weak<watch::Sender<()>>>>,
    closed: std::sync::atomic::AtomicBool,
}

impl Waiting {
    /// Registers interest in a thing by its id, for as long as `wait`. Do this before the commit that lets others
    /// change it, or a change in between is missed.
    pub fn register(&self, id: Uuid, wait: Option<Duration>) -> Option<Waiter<'_>> {
        let wait = wait?;
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let news = match by_id.get(&id).and_then(Weak::upgrade) {
            Some(news) => news,
            None => {
                let news = Arc::new(watch::Sender::new(()));
                by_id.insert(id, Arc::downgrade(&news));
                news
            }
        };
        Some(Waiter { waiting: self, id, wait, seen: news.subscribe(), news: Some(news) })
    }

    /// News from Redis: a thing's id, or `None` where some may have been missed.
    pub fn on_news(&self, message: Option<&str>) {
        let by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        match message {
            Some(text) => {
                if let Some(news) = text.parse().ok().and_then(|id| by_id.get(&id)).and_then(Weak::upgrade) {
                    news.send_replace(());
                }
            }
            None => by_id.values().filter_map(Weak::upgrade).for_each(|news| news.send_replace(())),
        }
    }

    /// Ends all waiting, now and from now on: the process stops.
    pub fn close(&self) {
        self.closed.store(true, std::sync::atomic::Ordering::SeqCst);
        self.on_news(None);
    }

    /// How many wait.
    #[must_use]
    pub fn count(&self) -> usize {
        let by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.values().filter_map(Weak::upgrade).map(|news| news.receiver_count()).sum()
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(std::sync::atomic::Ordering::SeqCst)
    }
}

pub struct Waiter<'a> {
    waiting: &'a Waiting,
    id: Uuid,
    /// How long the client waits.
    pub wait: Duration,
    /// Keeps the sender alive.
    news: Option<Arc<watch::Sender<()>>>,
    /// Remembers what came since it was registered.
    seen: watch::Receiver<()>,
}

impl Waiter<'_> {
    /// Resolves at the next change, or at once if there was one since the last call.
    async fn changed(&mut self) {
        // The sender is ours too: it cannot be gone.
        let _ = self.seen.changed().await;
    }

    /// Whether there was a change before the wait was over.
    pub async fn changed_in_time(&mut self) -> bool {
        tokio::time::timeout(self.wait, self.changed()).await.is_ok()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut by_id = self.waiting.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        // Given up under the lock: of two that leave at once, one is the last, and turns off the light.
        self.news = None;
        if by_id.get(&self.id).is_some_and(|news| news.strong_count() == 0) {
            by_id.remove(&self.id);
        }
    }
}

/// The net under the wake-ups, for when Redis is away: when a waiting request reads by itself for the first time. The
/// pause doubles each time, or a thousand that wait long would keep Postgres busy.
const REREAD: Duration = Duration::from_secs(2);
const REREAD_MAX: Duration = Duration::from_secs(15);

/// What `read` gives once it gives something. `None`: the time is up, or the process stops. A failed read is no reason
/// to give up: what is waited for is accepted all the same.
pub async fn wait_until<T, F>(mut waiter: Waiter<'_>, read: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<Option<T>, DbErr>>,
{
    let deadline = Instant::now() + waiter.wait;
    let mut pause = REREAD;
    // Nothing was there when it was registered: the first look is after the first news.
    loop {
        let net = (Instant::now() + pause).min(deadline);
        pause = pause.saturating_mul(2).min(REREAD_MAX);
        let _ = timeout_at(net, waiter.changed()).await;
        match read().await {
            Ok(Some(found)) => return Some(found),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "a waiting request could not read"),
        }
        if Instant::now() >= deadline || waiter.waiting.is_closed() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_are_woken_and_forgotten() {
        let waiting = Waiting::default();
        let id = Uuid::now_v7();
        let register = || waiting.register(id, Some(Duration::from_secs(1))).expect("a waiter");
        let (mut first, second) = (register(), register());
        assert_eq!(waiting.count(), 2);
        waiting.on_news(Some(&Uuid::now_v7().to_string()));
        waiting.on_news(Some("no id"));
        assert!(futures_util::FutureExt::now_or_never(first.changed()).is_none());
        // Also what came while nobody listened.
        waiting.on_news(Some(&id.to_string()));
        first.changed().await;
        drop(first);
        assert_eq!(waiting.by_id.lock().expect("a lock").len(), 1);
        drop(second);
        assert_eq!(waiting.count(), 0);
        assert!(waiting.by_id.lock().expect("a lock").is_empty());
    }
}
