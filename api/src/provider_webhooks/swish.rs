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
    body: Vec<u8>,
) -> Result<Acknowledged, Problem> {
    let allowed = &state.swish_callback_addresses;
    if !allowed.is_empty()
        && !from.is_some_and(|from| allowed.iter().any(|network| network.contains(&from.to_canonical())))
    {
        return Err(refused(state, StatusCode::FORBIDDEN, "forbidden_address", "callbacks do not come from there"));
    }
    let callback = Callback::parse(&body)
        .map_err(|error| refused(state, StatusCode::BAD_REQUEST, "invalid_callback", &error.to_string()))?;
    // In the header or in the body: releases of Swish's differ.
    let given = [identifier, callback.callback_identifier.as_deref()];
    if !given.into_iter().flatten().any(|given| is_genuine(&state.swish_callback_secrets, &callback.id, given)) {
        let detail = "the callback identifier is not the one that Swish was given";
        return Err(refused(state, StatusCode::BAD_REQUEST, "invalid_callback_identifier", detail));
    }
    store(state, ProviderName::Swish, callback.label(), body).await
}

fn refused(state: &State, status: StatusCode, code: &str, detail: &str) -> Problem {
    state.metrics.webhook(ProviderName::Swish, None, "refused");
    tracing::warn!(code, detail, "a callback was refused");
    Problem::new(status, code, detail)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn callbacks_come_from_the_networks_that_are_named() {
        let mut state = Arc::into_inner(State::for_document()).expect("the only handle");
        let refusal = async |state: &State, from: &str| {
            let refused = receive(state, None, from.parse().ok(), b"{}".to_vec()).await.expect_err("no callback");
            refused.code
        };
        assert_eq!(refusal(&state, "192.0.2.1").await, "invalid_callback", "any address, where none is named");
        state.swish_callback_addresses = vec!["213.132.115.94/32".parse().expect("a network")];
        assert_eq!(refusal(&state, "213.132.115.94").await, "invalid_callback");
        assert_eq!(refusal(&state, "::ffff:213.132.115.94").await, "invalid_callback");
        assert_eq!(refusal(&state, "213.132.115.95").await, "forbidden_address");
        assert_eq!(refusal(&state, "none").await, "forbidden_address");
    }
}
