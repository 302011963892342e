//! `/v1/webhook_endpoints`: the one that events are sent to, as if it had been made in the dashboard.

use serde_json::{Value, json};

use super::error::StripeError;
use super::events::API_VERSION;
use super::gate::{Call, Gives, Operation};
use super::params::PAGE;
use super::store::Kind;

pub(crate) const LIST: Operation =
    Operation::get("webhook_endpoints.list", "/webhook_endpoints", &[PAGE], Gives::List(Kind::WebhookEndpoint), list);

#[expect(clippy::unnecessary_wraps, reason = "as all handlers")]
fn list(call: &Call<'_>) -> Result<Value, StripeError> {
    let version = call.world.lock().webhook_api_version.clone();
    let endpoint = call.world.endpoint.as_ref().map(|endpoint| {
        json!({
            "id": "we_simulator",
            "object": "webhook_endpoint",
            "api_version": version.as_deref().unwrap_or(API_VERSION),
            "created": 0,
            "description": null,
            "enabled_events": ["*"],
            "livemode": false,
            "metadata": {},
            "status": "enabled",
            "url": endpoint.url,
        })
    });
    Ok(json!({ "object": "list", "url": call.path, "has_more": false, "data": endpoint.as_slice() }))
}
