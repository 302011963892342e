//! The feed of all events, also of those whose webhooks never came. Source: <https://docs.stripe.com/api/events/list>.

use chrono::{DateTime, Utc};
use reqwest::Method;

use super::Stripe;
use super::form::Form;
use super::payments::refused;
use super::read::{Page, required, time};
use crate::providers::ProviderError;

/// An event as the feed has it: the same as the webhook's body, but for the bytes.
#[derive(Debug, Clone)]
pub struct FedEvent {
    pub id: String,
    pub created_at: DateTime<Utc>,
    /// JSON.
    pub body: Vec<u8>,
}

impl Stripe {
    /// `GET /v1/events`: those of `from` and later, before `to` where it is given; oldest first. At most so many pages of a
    /// hundred.
    ///
    /// # Errors
    /// See [`ProviderError`]. `None`: there are more events than are read at once; ask for a shorter time.
    pub async fn list_events(
        &self,
        from: DateTime<Utc>,
        to: Option<DateTime<Utc>>,
        pages_max: usize,
    ) -> Result<Option<Vec<FedEvent>>, ProviderError> {
        let mut events = Vec::new();
        let mut last: Option<String> = None;
        for _ in 0..pages_max {
            let form = Form::new()
                .with("limit", 100)
                .with("created[gte]", from.timestamp())
                .with_some("created[lt]", to.map(|to| to.timestamp()))
                .with_some("starting_after", last.as_ref());
            let call = self.transport.call();
            let page = Page::read(call.form(Method::GET, "/events", form.pairs(), None).await.map_err(refused)?)?;
            last = page.next();
            for event in page.into_objects() {
                let created_at = time(&event, "created").unwrap_or_default();
                events.push(FedEvent { id: required(&event, "id")?, created_at, body: event.to_string().into_bytes() });
            }
            if last.is_none() {
                events.reverse();
                return Ok(Some(events));
            }
        }
        Ok(None)
    }
}
