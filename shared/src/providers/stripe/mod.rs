//! Stripe, by async-stripe's requests and types over a transport of ours.
//!
//! Source: <https://docs.stripe.com/api>, version [`api_version`].

mod customers;
mod disputes;
mod event;
mod event_feed;
mod form;
mod invoices;
mod payment_methods;
mod payments;
mod prices;
mod read;
mod refunds;
mod setups;
mod signature;
mod subscriptions;
mod transport;
mod webhook_endpoints;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use secrecy::SecretString;
use serde_json::Value;

use form::Form;
use payments::refused;
use read::Page;

use super::{CallError, ProviderError};
use crate::metrics::ProviderMetrics;

pub use event::{EVENT_TYPES, Event, Subject, UnreadableEvent};
pub use event_feed::FedEvent;
pub use invoices::ProviderInvoice;
pub use payments::{Answer, NewPayment};
pub use webhook_endpoints::WebhookEndpoint;

pub use signature::{InvalidSignature, TOLERANCE, sign, verify};

/// The pinned API version: of our calls, and to be set on the webhook endpoint too.
#[must_use]
pub fn api_version() -> &'static str {
    stripe_client_core::VERSION.as_str()
}

/// Stripe keeps idempotency keys for at least 24 hours. Past this age of an attempt its key protects no longer.
pub const KEY_LIFETIME: Duration = Duration::from_secs(23 * 60 * 60);

/// Look-ups read at most this many pages of a hundred objects.
const LOOK_UP_PAGES_MAX: usize = 10;

/// There is more than a look-up reads: not to have found it tells nothing.
fn too_many() -> ProviderError {
    let source = CallError::Unreadable("not among the newest, and there are more than are read".to_owned());
    ProviderError::Unknown { source, look_up: true }
}

/// A client of one Stripe account.
#[derive(Debug, Clone)]
pub struct Stripe {
    transport: Arc<transport::Transport>,
}

impl Stripe {
    /// `base_url` without `/v1`; `timeout` for each call; so many failures in a row open the breaker (0: never).
    ///
    /// # Errors
    /// The TLS stack could not be set up.
    pub fn new(
        base_url: &url::Url,
        api_key: SecretString,
        timeout: Duration,
        breaker_failures: u32,
        metrics: ProviderMetrics,
    ) -> reqwest::Result<Self> {
        let transport = transport::Transport::new(base_url, api_key, timeout, breaker_failures, metrics)?;
        Ok(Self { transport: Arc::new(transport) })
    }

    /// An object. `None`: Stripe has no such object.
    async fn fetch(&self, path: &str, form: Form) -> Result<Option<Value>, ProviderError> {
        let call = self.transport.call();
        match call.form(Method::GET, path, form.pairs(), None).await.map_err(refused) {
            Ok(object) => Ok(Some(object)),
            Err(ProviderError::Rejected { failure, .. }) if failure.code == "resource_missing" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The object of a list whose metadata has this pair, newest first. Lists, not search: Stripe's search index lags
    /// behind its writes.
    async fn find(
        &self,
        path: &str,
        among: impl Fn(Form) -> Form + Send,
        (key, value): (&str, &str),
    ) -> Result<Option<Value>, ProviderError> {
        let mut last: Option<String> = None;
        for _ in 0..LOOK_UP_PAGES_MAX {
            let form = among(Form::new()).with("limit", 100).with_some("starting_after", last.as_ref());
            let call = self.transport.call();
            let page = Page::read(call.form(Method::GET, path, form.pairs(), None).await.map_err(refused)?)?;
            if let Some(found) = page.with_metadata(key, value) {
                return Ok(Some(found.clone()));
            }
            last = page.next();
            if last.is_none() {
                return Ok(None);
            }
        }
        Err(too_many())
    }
}
