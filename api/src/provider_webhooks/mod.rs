//! Where providers report. Verified, stored, acknowledged; understood later, by a worker.

mod stripe;

use std::sync::Arc;

use poem_openapi::param::Header;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

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
        stripe::receive(&self.state, signature.0.as_deref(), &body.0).await.map(Json)
    }
}
