//! Where providers report. Verified, stored, acknowledged; understood later, by a worker.

mod stripe;
mod swish;

use std::sync::Arc;

use poem::Request;
use poem::http::StatusCode;
use poem_openapi::param::Header;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use shared::domain::payment::ProviderName;
use shared::domain::provider_event::EventLabel;
use shared::store::provider_events::NewEvent;

use crate::Tag;
use crate::body::RawJson;
use crate::problem::Problem;
use crate::state::State;

pub struct ProviderWebhooksApi {
    pub(crate) state: Arc<State>,
}

/// The event is stored.
#[derive(Debug, Object)]
pub struct Acknowledged {
    /// Whether the event was here already. Nothing happens twice.
    pub duplicate: bool,
}

#[OpenApi]
impl ProviderWebhooksApi {
    /// Receive a Stripe event
    ///
    /// Answers once the event is stored. An event with a good signature is never refused for what it says. Source:
    /// <https://docs.stripe.com/webhooks>.
    #[oai(
        path = "/api/webhooks/stripe",
        method = "post",
        tag = "Tag::ProviderWebhooks",
        operation_id = "receive_stripe_event"
    )]
    async fn receive_stripe_event(
        &self,
        /// The time and the signatures, as Stripe makes them.
        #[oai(name = "Stripe-Signature")]
        signature: Header<Option<String>>,
        body: RawJson,
    ) -> Result<Json<Acknowledged>, Problem> {
        stripe::receive(&self.state, signature.0.as_deref(), body.0).await.map(Json)
    }

    /// Receive a Swish callback
    ///
    /// Answers once the callback is stored. Callbacks are not signed: one is taken if it brings the identifier that only
    /// Swish was given, and even then it is only a reason to ask Swish. Source: the merchant integration guide.
    #[oai(
        path = "/api/webhooks/swish",
        method = "post",
        tag = "Tag::ProviderWebhooks",
        operation_id = "receive_swish_callback"
    )]
    async fn receive_swish_callback(
        &self,
        request: &Request,
        /// What Swish was given for this payment or refund. It is in the body too.
        #[oai(name = "callbackIdentifier")]
        identifier: Header<Option<String>>,
        body: RawJson,
    ) -> Result<Json<Acknowledged>, Problem> {
        let from = request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip);
        swish::receive(&self.state, identifier.0.as_deref(), from, body.0).await.map(Json)
    }
}

/// Stores a genuine event, once; whoever stores it rings.
async fn store(
    state: &State,
    provider: ProviderName,
    label: EventLabel,
    body: Vec<u8>,
) -> Result<Acknowledged, Problem> {
    let event_type = label.event_type.clone();
    match state.inbox.ask(NewEvent::received(provider, label, body)).await {
        Ok(stored) => {
            state.metrics.webhook(provider, event_type.as_deref(), if stored { "stored" } else { "duplicate" });
            Ok(Acknowledged { duplicate: !stored })
        }
        Err(error) => {
            state.metrics.webhook(provider, event_type.as_deref(), "failed");
            // Whatever the reason: it is not stored, so the provider must send it again.
            tracing::warn!(error = shared::providers::chain(&*error), "a webhook could not be stored");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the event was not stored; send it again"))
        }
    }
}
