//! Stripe, by async-stripe's requests and types over a transport of ours.
//!
//! Source: <https://docs.stripe.com/api>, version [`api_version`].

mod event;
mod payments;
mod signature;
mod transport;

use std::time::Duration;

use secrecy::SecretString;

pub use event::{Event, PaymentNews, UnreadableEvent};
pub use payments::{Answer, NewPayment};
pub use signature::{InvalidSignature, TOLERANCE, sign, verify};

/// The pinned API version: of our calls, and to be set on the webhook endpoint too.
#[must_use]
pub fn api_version() -> &'static str {
    stripe_client_core::VERSION.as_str()
}

/// Stripe keeps idempotency keys for at least 24 hours. Past this age of an attempt its key protects no longer.
pub const KEY_LIFETIME: Duration = Duration::from_secs(23 * 60 * 60);

/// A client of one Stripe account.
#[derive(Debug, Clone)]
pub struct Stripe {
    transport: transport::Transport,
}

impl Stripe {
    /// `base_url` without `/v1`; `timeout` for each call.
    ///
    /// # Errors
    /// The TLS stack could not be set up.
    pub fn new(base_url: &url::Url, api_key: SecretString, timeout: Duration) -> reqwest::Result<Self> {
        Ok(Self { transport: transport::Transport::new(base_url, api_key, timeout)? })
    }
}
