//! What somebody learnt about an object at a provider. The resources' `apply` decides what it means.

use serde::{Deserialize, Serialize};

/// `S` is the object as the provider describes it.
#[derive(Debug, Clone)]
pub enum Evidence<S> {
    /// The provider answered the call that created it. Newer news may have overtaken the answer.
    Created(S),
    /// The provider showed its state, read after the version that this is applied to.
    Observed(S),
    /// The provider refused the call that was to create it: nothing was made, and the same call would be refused again.
    Refused(Failure),
    /// The call that was to create it was made, and we do not know what became of it.
    OutcomeUnknown,
}

/// Why something failed, in stable codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The provider's code, for example `card_declined`.
    pub code: String,
    /// The bank's reason, for example `insufficient_funds`.
    pub decline_code: Option<String>,
    pub message: String,
}

impl Failure {
    /// Why something has failed of which a person has found out that nothing came of it.
    #[must_use]
    pub fn not_made() -> Self {
        Self {
            code: "not_made".to_owned(),
            decline_code: None,
            message: "Whether it was made was not known for long. Nothing came of it.".to_owned(),
        }
    }
}

names! {
    /// What it may be of which nobody knows what became of it.
    UnknownKind { Payment = "payment", Refund = "refund", Subscription = "subscription" }
}
names! {
    /// What a person has found out about something of which the provider itself does not know what became of it.
    Finding {
        /// The money has moved.
        Made = "made",
        /// It has not, and will not.
        NotMade = "not_made",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalTransition {
    #[error("what is {from} cannot become {to}")]
    Status { from: &'static str, to: &'static str },
    #[error("the provider's object {found} is not the {expected} that is known")]
    OtherObject { expected: String, found: String },
    #[error("the provider's object is over another amount or currency")]
    OtherMoney,
}

/// Whether `found` may be the object that is known as `expected`, if one is.
///
/// # Errors
/// It is another one.
pub(super) fn same_object(expected: Option<&String>, found: &str) -> Result<(), IllegalTransition> {
    match expected {
        Some(expected) if expected != found => {
            Err(IllegalTransition::OtherObject { expected: expected.clone(), found: found.to_owned() })
        }
        Some(_) | None => Ok(()),
    }
}
