//! Every code of an error, with its status and what a client can make of it.

use serde_json::{Value, json};

/// `(code, status, meaning)`, by status.
pub const CODES: &[(&str, u16, &str)] = &[
    ("bad_request", 400, "the request cannot be read"),
    ("invalid_parameter", 400, "a parameter of the path, the query or a header; `detail` names it"),
    ("invalid_idempotency_key", 400, "the `Idempotency-Key` is not 1 to 255 characters"),
    ("missing_body", 400, "the operation needs a JSON body"),
    ("invalid_json", 400, "the body is not JSON"),
    ("invalid_signature", 400, "of a Stripe event"),
    ("invalid_callback", 400, "a Swish callback that cannot be read"),
    ("invalid_callback_identifier", 400, "of a Swish callback"),
    ("unauthorized", 401, "there is no bearer token"),
    ("invalid_token", 401, "the token has run out, or is not from where tokens come from"),
    ("forbidden", 403, "the operation is for administrators"),
    ("insufficient_scope", 403, "the token of a service lacks the scope that `detail` names"),
    ("forbidden_address", 403, "Swish does not call from there"),
    ("route_not_found", 404, "there is nothing at this path"),
    ("payment_not_found", 404, "there is none, or it is another user's"),
    ("refund_not_found", 404, "there is none, or it is another user's"),
    ("subscription_not_found", 404, "there is none, or it is another user's"),
    ("setup_not_found", 404, "there is none, or it is another user's"),
    ("payment_method_not_found", 404, "there is none, or it is another user's"),
    ("dispute_not_found", 404, "there is none, or it is another user's"),
    ("provider_event_not_found", 404, "there is none"),
    ("unknown_outcome_not_found", 404, "there is none: what became of it is known, or nothing was ever asked for"),
    ("job_not_found", 404, "there is none"),
    ("method_not_allowed", 405, "the path does not take this method"),
    ("invalid_status", 409, "the thing is not in a status for this; read it again"),
    ("outcome_unknown", 409, "whether the provider did it is not known: that must be settled first"),
    ("outcome_not_final", 409, "it may still come to be known: `detail` says from when on it can be settled"),
    ("operation_in_progress", 409, "another operation on the thing is pending: wait for its `last_operation`"),
    ("idempotency_key_in_use", 409, "the first request with this key is still at work: try again"),
    ("precondition_failed", 412, "the thing is another version than `If-Match` names: read it again"),
    ("body_too_large", 413, "`detail` says how much is taken"),
    ("unsupported_media_type", 415, "send `Content-Type: application/json`, and not compressed"),
    ("invalid_body", 422, "`errors` names the fields"),
    ("not_supported_by_provider", 422, "right, but more than the provider can do; `errors` names the fields"),
    ("provider_not_enabled", 422, "this service has no access to the provider"),
    ("capture_exceeds_held", 422, "more than is held"),
    ("refund_exceeds_captured", 422, "more than is left to refund"),
    ("idempotency_key_reused", 422, "the key came with another body before, at the same path: take a new one"),
    ("rate_limited", 429, "too many requests: try again after `Retry-After` seconds"),
    ("internal_error", 500, "the fault is ours"),
    ("unavailable", 503, "nothing can be stored now: try again"),
    ("timeout", 503, "it took too long: try again"),
    ("auth_unavailable", 503, "tokens cannot be checked now: try again"),
];

/// The schema of `Problem.code`. No `enum`: a code that is added must not break a client.
pub(super) fn schema() -> Value {
    let list: Vec<String> =
        CODES.iter().map(|(code, status, meaning)| format!("- `{code}` ({status}): {meaning}")).collect();
    let description = format!("What a program branches on. Stable; new ones may be added.\n\n{}", list.join("\n"));
    json!({ "type": "string", "description": description, "examples": ["invalid_body"] })
}

/// The codes of a status, for people.
pub(super) fn of(status: u16) -> String {
    let codes: Vec<String> =
        CODES.iter().filter(|(_, of, _)| *of == status).map(|(code, _, _)| format!("`{code}`")).collect();
    codes.join(", ")
}
