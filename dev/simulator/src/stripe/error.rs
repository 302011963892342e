//! Errors in Stripe's shape.

use poem::http::StatusCode;
use serde_json::{Value, json};

#[derive(Debug)]
pub(crate) struct StripeError {
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
            error["doc_url"] = format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-")).into();
        }
        if let Some(param) = param {
            error["param"] = param.into();
        }
        Self { status, error, stored: false }
    }

    pub(crate) fn missing(what: &str, id: &str) -> Self {
        let message = format!("No such {what}: '{id}'");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", Some("resource_missing"), Some("id"), message)
    }

    /// An error of an operation that had begun.
    pub(crate) fn after_it_began(mut self) -> Self {
        self.stored = true;
        self
    }

    /// A decline: 402, with the PaymentIntent as it is now.
    pub(crate) fn declined(decline: &Value, payment_intent: &Value) -> Self {
        let mut error = decline.clone();
        error["payment_intent"] = payment_intent.clone();
        Self { status: StatusCode::PAYMENT_REQUIRED, error, stored: true }
    }

    pub(crate) fn body(&self) -> Value {
        json!({ "error": self.error })
    }
}
