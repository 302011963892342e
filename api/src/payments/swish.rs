//! What only Swish payments have on the wire, and what Swish cannot do.

use poem_openapi::Object;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::domain::money::Money;
use shared::domain::payment::{Payment, PaymentStatus};
use shared::domain::swish::SwishDetails;
use shared::providers::swish::app;

use super::dto::{CaptureMethod, CreatePayment};
use crate::problem::FieldError;

/// How the payer is asked. Everything is optional.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSwish {
    /// The payer's mobile number, 8 to 15 digits with the country code and no `+`: `46712345678`. With it (e-commerce)
    /// the payer's app asks at once. Without it (m-commerce) the payer opens the app with `next_action`, on the same
    /// phone by its link or on another one by its QR code.
    #[oai(validator(pattern = "^[1-9][0-9]{7,14}$"))]
    pub payer_alias: Option<String>,
    /// What the payer reads: up to 50 letters (å, ä and ö too), digits, spaces and `:;.,?!()"-`.
    #[oai(validator(min_length = 1, max_length = 50))]
    pub message: Option<String>,
    /// The least age of the payer, in years.
    #[oai(validator(minimum(value = "1"), maximum(value = "99")))]
    pub age_limit: Option<u8>,
}

/// What only a Swish payment has.
#[derive(Debug, Object)]
pub struct Swish {
    /// The payer's number; without one at first, it is known once the payer has paid.
    pub payer_alias: Option<String>,
    pub message: Option<String>,
    pub age_limit: Option<u8>,
    /// The bank's reference, known once it is paid.
    pub payment_reference: Option<String>,
}

impl From<SwishDetails> for Swish {
    fn from(details: SwishDetails) -> Self {
        let SwishDetails { payer_alias, message, age_limit, payment_reference } = details;
        Self { payer_alias, message, age_limit, payment_reference }
    }
}

impl CreateSwish {
    fn faults(&self, errors: &mut Vec<FieldError>) {
        let mut fault = |pointer: &str, detail: &str| {
            errors.push(FieldError { pointer: pointer.to_owned(), detail: detail.to_owned() });
        };
        if let Some(alias) = &self.payer_alias
            && !((8..=15).contains(&alias.len())
                && !alias.starts_with('0')
                && alias.bytes().all(|b| b.is_ascii_digit()))
        {
            fault("/swish/payer_alias", "must be 8 to 15 digits with the country code, as in 46712345678");
        }
        if let Some(message) = &self.message {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "åäöÅÄÖ".contains(c) || " :;.,?!()\"-".contains(c);
            if message.is_empty() || message.chars().count() > 50 || !message.chars().all(allowed) {
                fault("/swish/message", "must be 1 to 50 letters, digits, spaces and :;.,?!()\"-");
            }
        }
        if self.age_limit.is_some_and(|age| !(1..=99).contains(&age)) {
            fault("/swish/age_limit", "must be between 1 and 99");
        }
    }
}

/// What is wrong with a Swish payment, and what is right but more than Swish can do.
pub(super) fn check(body: &CreatePayment, money: Option<Money>, errors: &mut Vec<FieldError>) -> Vec<FieldError> {
    if let Some(swish) = &body.swish {
        swish.faults(errors);
    }
    let with_payer = body.swish.as_ref().is_some_and(|swish| swish.payer_alias.is_some());
    let mut beyond = Vec::new();
    for (too_much, pointer, detail) in [
        (money.is_some_and(|money| money.currency.code() != "sek"), "/currency", "Swish only moves sek"),
        (
            body.capture_method == CaptureMethod::Manual,
            "/capture_method",
            "Swish takes the money when the payer approves; it cannot be held",
        ),
        (body.payment_method.is_some(), "/payment_method", "Swish has no saved payment methods"),
        (body.off_session, "/off_session", "with Swish the payer approves each payment"),
        (body.statement_descriptor.is_some(), "/statement_descriptor", "use swish.message for what the payer reads"),
        (
            with_payer && body.return_url.is_some(),
            "/return_url",
            "Swish only comes back from its app where the app was opened with next_action: leave swish.payer_alias out",
        ),
    ] {
        if too_much {
            beyond.push(FieldError { pointer: pointer.to_owned(), detail: detail.to_owned() });
        }
    }
    beyond
}

pub(super) fn details(body: Option<CreateSwish>) -> SwishDetails {
    match body {
        Some(CreateSwish { payer_alias, message, age_limit }) => {
            SwishDetails { payer_alias, message, age_limit, payment_reference: None }
        }
        None => SwishDetails::default(),
    }
}

/// What the payer has to do, with what opens their app. The token stays out of the database's `next_action`.
pub(super) fn next_action(payment: &Payment) -> Option<Value> {
    let mut action = payment.next_action.clone()?;
    if let Some(token) = open_token(payment) {
        action["swish"] = json!({
            "app_url": app::link(token, payment.return_url.as_deref()),
            "qr_text": app::qr_text(token),
            "qr_url": format!("/api/payments/{}/qr", payment.id),
            "expires_at": payment.expires_at,
        });
    }
    Some(action)
}

/// The token, while the payer can use it.
pub(super) fn open_token(payment: &Payment) -> Option<&str> {
    let open = payment.swish.is_some() && payment.status == PaymentStatus::RequiresAction;
    payment.client_secret.as_ref().filter(|_| open).map(|token| token.expose_secret())
}
