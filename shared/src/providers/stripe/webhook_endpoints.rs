//! Where Stripe sends events. Source: <https://docs.stripe.com/api/webhook_endpoints>.

use super::Stripe;
use super::form::Form;
use super::payments::refused;
use super::read::{Page, required, text};
use crate::providers::{CallError, ProviderError};
use reqwest::Method;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookEndpoint {
    pub url: String,
    pub enabled: bool,
    /// `None`: the account's.
    pub api_version: Option<String>,
    /// `*` is all of them.
    pub event_types: Vec<String>,
}

impl WebhookEndpoint {
    /// The types of `wanted` that it is not sent.
    #[must_use]
    pub fn lacks(&self, wanted: &[&'static str]) -> Vec<&'static str> {
        let has = |wanted: &&str| self.event_types.iter().any(|there| there == "*" || there == wanted);
        wanted.iter().copied().filter(|wanted| !has(wanted)).collect()
    }
}

/// What the jobs read of Stripe. A restricted key may lack the permission for one.
const READ: [&str; 10] = [
    "/charges",
    "/customers",
    "/disputes",
    "/events",
    "/invoices",
    "/payment_intents",
    "/prices",
    "/refunds",
    "/setup_intents",
    "/subscriptions",
];

impl Stripe {
    /// Those that our key may not read, of all that is read in the course of things. (What it may write is only found out
    /// by writing.)
    ///
    /// # Errors
    /// See [`ProviderError`]: of any other kind than a lacking permission.
    pub async fn unreadable(&self) -> Result<Vec<&'static str>, ProviderError> {
        let mut unreadable = Vec::new();
        for path in READ {
            let (call, form) = (self.transport.call(), Form::new().with("limit", 1));
            match call.form(Method::GET, path, form.pairs(), None).await.map_err(refused) {
                Ok(_) => {}
                Err(ProviderError::NotSent { source: CallError::Status { status: 403, .. }, .. }) => {
                    unreadable.push(path)
                }
                Err(error) => return Err(error),
            }
        }
        Ok(unreadable)
    }

    /// The first hundred of the account's endpoints; there can be sixteen.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn list_webhook_endpoints(&self) -> Result<Vec<WebhookEndpoint>, ProviderError> {
        let (call, form) = (self.transport.call(), Form::new().with("limit", 100));
        let page = call.form(Method::GET, "/webhook_endpoints", form.pairs(), None).await.map_err(refused)?;
        let endpoints = Page::read(page)?.into_objects().into_iter().map(|endpoint| {
            let types = endpoint["enabled_events"].as_array().into_iter().flatten();
            Ok(WebhookEndpoint {
                url: required(&endpoint, "url")?,
                enabled: text(&endpoint, "status").as_deref() == Some("enabled"),
                api_version: text(&endpoint, "api_version"),
                event_types: types.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
            })
        });
        endpoints.collect()
    }
}
