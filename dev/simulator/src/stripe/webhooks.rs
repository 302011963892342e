//! Events on their way: signed anew at each try, tried until they are taken.

use std::time::Duration;

use chrono::Utc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::{Semaphore, oneshot};

use crate::Config;
use crate::faults::Mode;

/// What a late event is late by, and what a held-back one waits at most.
const LATE: Duration = Duration::from_secs(2);
const TRIES_MAX: u32 = 16;
const AT_ONCE_MAX: usize = 64;
const PAUSE_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Endpoint {
    pub(crate) url: String,
    secret: String,
    retry: Duration,
    http: reqwest::Client,
    turns: Semaphore,
}

pub(crate) struct Delivery {
    /// The id of the event.
    pub(crate) event: String,
    pub(crate) body: String,
    pub(crate) fault: Option<Mode>,
    /// Sent once this resolves: the next event has been sent.
    pub(crate) hold: Option<oneshot::Receiver<()>>,
    /// The event before, which waits for this one.
    pub(crate) release: Option<oneshot::Sender<()>>,
}

impl Endpoint {
    pub(crate) fn new(url: &str, config: &Config) -> Self {
        Self {
            url: url.to_owned(),
            secret: config.webhook_secret.clone(),
            retry: Duration::from_millis(config.webhook_retry_ms),
            http: reqwest::Client::new(),
            turns: Semaphore::new(AT_ONCE_MAX),
        }
    }

    /// Whether it was taken in the end.
    pub(crate) async fn deliver(&self, delivery: Delivery) -> bool {
        if let Some(hold) = delivery.hold {
            let _ = tokio::time::timeout(LATE, hold).await;
        }
        let taken = match delivery.fault {
            Some(Mode::WebhookLose) => false,
            Some(Mode::WebhookDuplicate) => {
                let (first, second) =
                    tokio::join!(self.send_until_taken(&delivery.body), self.send_until_taken(&delivery.body));
                first && second
            }
            Some(Mode::WebhookDelay) => {
                tokio::time::sleep(LATE).await;
                self.send_until_taken(&delivery.body).await
            }
            _ => self.send_until_taken(&delivery.body).await,
        };
        if let Some(release) = delivery.release {
            let _ = release.send(());
        }
        taken
    }

    /// The tries after a first one that failed.
    pub(crate) async fn deliver_plainly(&self, body: &str) -> bool {
        tokio::time::sleep(self.retry).await;
        self.send_until_taken(body).await
    }

    async fn send_until_taken(&self, body: &str) -> bool {
        let mut pause = self.retry;
        for _ in 0..TRIES_MAX {
            if self.send(body).await {
                return true;
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
        tracing::warn!("an event was given up");
        false
    }

    /// Whether it was taken: any 2xx.
    pub(crate) async fn send(&self, body: &str) -> bool {
        // Thousands of events at once must not become thousands of connections.
        let _turn = self.turns.acquire().await;
        let timestamp = Utc::now().timestamp();
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(format!("{timestamp}.{body}").as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let sent = self
            .http
            .post(&self.url)
            .header("content-type", "application/json; charset=utf-8")
            .header("stripe-signature", format!("t={timestamp},v1={signature}"))
            .timeout(Duration::from_secs(10))
            .body(body.to_owned())
            .send()
            .await;
        sent.is_ok_and(|response| response.status().is_success())
    }
}
