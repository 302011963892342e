//! Errors in Stripe's shape.

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::store::{Kind, shown};

/// What Stripe answers when it refuses.
#[derive(Debug)]
pub struct StripeError {
    pub(crate) status: StatusCode,
    error: Value,
    /// Whether the operation had begun: then the error is stored under the idempotency key.
    pub(crate) stored: bool,
}

impl StripeError {
    /// A request that Stripe refuses before it begins.
    pub(crate) fn invalid(code: &str, param: Option<&str>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", Some(code), param, message)
    }

    /// The same, where Stripe has no code for it.
    pub(crate) fn bad(param: Option<&str>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", None, param, message)
    }

    pub(crate) fn new(
        status: StatusCode,
        kind: &str,
        code: Option<&str>,
        param: Option<&str>,
        message: impl Into<String>,
    ) -> Self {
        let mut error = json!({ "type": kind, "message": message.into() });
        if let Some(code) = code {
            error["code"] = code.into();
            error["doc_url"] = doc_url(code).into();
        }
        if let Some(param) = param {
            error["param"] = param.into();
        }
        Self { status, error, stored: false }
    }

    /// The object that the path names does not exist.
    pub(crate) fn missing(kind: Kind, id: &str) -> Self {
        let param = if kind == Kind::SetupIntent { "intent" } else { "id" };
        Self::no_such(StatusCode::NOT_FOUND, kind, id, param)
    }

    /// An object that a parameter names does not exist.
    pub(crate) fn missing_param(kind: Kind, id: &str, param: &str) -> Self {
        Self::no_such(StatusCode::BAD_REQUEST, kind, id, param)
    }

    fn no_such(status: StatusCode, kind: Kind, id: &str, param: &str) -> Self {
        let message = format!("No such {}: '{id}'", kind.spoken());
        Self::new(status, "invalid_request_error", Some("resource_missing"), Some(param), message)
    }

    /// An error of an operation that had begun.
    pub(crate) fn after_it_began(mut self) -> Self {
        self.stored = true;
        self
    }

    /// A decline: 402, with the object that was to be paid as it is now, under its own name.
    pub(crate) fn declined(decline: &Value, object: &Value) -> Self {
        let mut error = decline.clone();
        let name = object["object"].as_str().unwrap_or("payment_intent").to_owned();
        error[name] = shown(object.clone());
        Self { status: StatusCode::PAYMENT_REQUIRED, error, stored: true }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Value {
        shown(json!({ "error": self.error }))
    }
}

impl std::fmt::Display for StripeError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.status.as_u16(), self.error)
    }
}

impl std::error::Error for StripeError {}

pub(crate) fn doc_url(code: &str) -> String {
    format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-"))
}
