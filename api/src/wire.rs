//! What several resources show alike.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use shared::domain::evidence;
use shared::domain::money::{AMOUNT_MAX, InvalidAmount, Money};
use shared::domain::operation::{Operation, OperationStatus as Status};
use shared::domain::payment::ProviderName;
use shared::domain::text_rules::metadata_faults;
use uuid::Uuid;

use crate::body::escape;
use crate::problem::FieldError;

/// Declares an enum of the wire whose values are those of a domain enum.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident is $domain:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, poem_openapi::Enum, serde::Deserialize)]
        #[oai(rename_all = "snake_case")]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl From<$domain> for $name {
            fn from(value: $domain) -> Self {
                match value { $($domain::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for $domain {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => Self::$variant),+ }
            }
        }
    };
}
pub(crate) use wire_enum;

wire_enum! {
    /// Who moves the money.
    Provider is ProviderName { Stripe, Swish }
}

/// Why something failed, in stable codes.
#[derive(Debug, Object)]
pub struct Failure {
    /// For example `card_declined` (Stripe) or `payer_canceled` (Swish).
    pub code: String,
    /// The bank's reason, for example `insufficient_funds`; reasons that a thief must not learn are `generic_decline`.
    /// With Swish, its own code: `RF07`.
    pub decline_code: Option<String>,
    pub message: String,
}

impl From<evidence::Failure> for Failure {
    fn from(failure: evidence::Failure) -> Self {
        Self { code: failure.code, decline_code: failure.decline_code, message: failure.message }
    }
}

wire_enum! {
    OperationStatus is Status {
        /// Accepted; the provider has not answered yet.
        Pending,
        Succeeded,
        /// The provider refused: see `failure`. Nothing of it was done.
        Failed,
    }
}

/// The last thing that was asked of it, and how that went.
#[derive(Debug, Object)]
#[oai(rename = "Operation")]
pub struct OperationBody {
    pub id: Uuid,
    /// For example `capture`.
    pub kind: String,
    pub status: OperationStatus,
    /// The amount that was asked for, in the currency's minor unit, where it has one.
    pub amount: Option<i64>,
    /// The reason that was given, where one was.
    pub reason: Option<String>,
    pub failure: Option<Failure>,
    pub requested_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
}

impl<W: serde::Serialize> From<Operation<W>> for OperationBody {
    fn from(operation: Operation<W>) -> Self {
        let wanted = serde_json::to_value(&operation.wanted).unwrap_or_default();
        Self {
            id: operation.id.0,
            kind: wanted["kind"].as_str().unwrap_or_default().to_owned(),
            status: operation.status.into(),
            amount: wanted["amount"].as_i64(),
            reason: wanted["reason"].as_str().map(str::to_owned),
            failure: operation.failure.map(Into::into),
            requested_at: operation.requested_at,
            completed_at: operation.completed_at,
        }
    }
}

/// The money that a body asks for. What is wrong with it goes to `errors`.
pub(crate) fn chargeable(amount: i64, currency: &str, errors: &mut Vec<FieldError>) -> Option<Money> {
    let mut fault = |pointer: &str, detail: String| errors.push(FieldError { pointer: pointer.to_owned(), detail });
    match currency.parse() {
        Ok(currency) => Money::chargeable(amount, currency).map_err(|error| fault("/amount", error.to_string())).ok(),
        Err(error) => {
            fault("/currency", format!("{error}"));
            if !(1..=AMOUNT_MAX).contains(&amount) {
                fault("/amount", InvalidAmount::OutOfRange.to_string());
            }
            None
        }
    }
}

/// What is wrong with metadata, each fault with its pointer.
pub(crate) fn metadata_errors<'a>(metadata: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<FieldError> {
    let metadata = metadata.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let pointer = |key: String| {
        if key.is_empty() { "/metadata".to_owned() } else { format!("/metadata/{}", escape(&key)) }
    };
    let faults = metadata_faults(&metadata).into_iter();
    faults.map(|(key, detail)| FieldError { pointer: pointer(key), detail }).collect()
}
