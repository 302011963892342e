//! `POST /api/webhooks/stripe`: the signature, one statement, the ring.
//!
//! If we crash before the commit, Stripe gets no answer and sends again; after it, the relay rings.

use chrono::Utc;
use poem::http::StatusCode;
use shared::domain::payment::ProviderName;
use shared::providers::stripe::{Event, api_version, verify};

use super::{Acknowledged, store};
use crate::problem::Problem;
use crate::state::State;

pub(super) async fn receive(state: &State, signature: Option<&str>, body: Vec<u8>) -> Result<Acknowledged, Problem> {
    let provider = ProviderName::Stripe;
    if let Err(invalid) = verify(&body, signature.unwrap_or_default(), &state.stripe_webhook_secrets, Utc::now()) {
        state.metrics.webhook(provider, None, "refused");
        tracing::warn!(%invalid, "a webhook was refused");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_signature", invalid.to_string()));
    }
    let label = Event::label(&body);
    if let Some(version) = label.api_version.as_deref().filter(|version| *version != api_version()) {
        state.metrics.webhook_version_mismatch(provider);
        tracing::error!(
            event.id = label.provider_event_id,
            version,
            ours = api_version(),
            "the webhook endpoint has another API version than ours; objects are read again instead of believed"
        );
    }
    store(state, provider, label, body).await
}
