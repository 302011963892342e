//! `POST /api/webhooks/swish`: the identifier, one statement, the ring. What a callback says is not believed; a worker
//! asks Swish.
//!
//! If we crash before the commit, Swish gets no answer and sends again; after it, the relay rings. What never comes is
//! polled for.

use std::net::IpAddr;

use poem::http::StatusCode;
use shared::domain::payment::ProviderName;
use shared::providers::swish::callback::{Callback, is_genuine};

use super::{Acknowledged, store};
use crate::problem::Problem;
use crate::state::State;

pub(super) async fn receive(
    state: &State,
    identifier: Option<&str>,
    from: Option<IpAddr>,
    body: &[u8],
) -> Result<Acknowledged, Problem> {
    let allowed = &state.swish_callback_addresses;
    if !allowed.is_empty() && !from.is_some_and(|from| allowed.iter().any(|network| network.contains(&from))) {
        return Err(refused(state, StatusCode::FORBIDDEN, "forbidden_address", "callbacks do not come from there"));
    }
    let callback = Callback::parse(body)
        .map_err(|error| refused(state, StatusCode::BAD_REQUEST, "invalid_callback", &error.to_string()))?;
    let identifier = identifier.or(callback.callback_identifier.as_deref()).unwrap_or_default();
    if !is_genuine(&state.swish_callback_secrets, &callback.id, identifier) {
        let detail = "the callback identifier is not the one that Swish was given";
        return Err(refused(state, StatusCode::BAD_REQUEST, "invalid_callback_identifier", detail));
    }
    store(state, ProviderName::Swish, &callback.label(), body).await
}

fn refused(state: &State, status: StatusCode, code: &str, detail: &str) -> Problem {
    state.metrics.webhook(ProviderName::Swish.as_str(), "refused");
    tracing::warn!(code, detail, "a callback was refused");
    Problem::new(status, code, detail)
}
