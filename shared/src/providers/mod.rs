//! The payment providers, one folder each. Domain types in and out; what they say on the wire stays in here.
//!
//! A decline is an answer, not an error. The errors say what we *know* about a call that moves money.

use std::time::Duration;

use crate::domain::evidence::Failure;

pub mod breaker;
pub mod http;
pub mod stripe;
pub mod swish;

#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It certainly did nothing: sending again is safe.
    #[error("the provider did not take the request")]
    NotSent {
        #[source]
        source: CallError,
        retry_after: Option<Duration>,
    },
    /// The provider refused, and would refuse again.
    #[error("the provider refused the request: {}", failure.code)]
    Rejected {
        failure: Failure,
        /// The parameter at fault, where the provider names one.
        param: Option<String>,
        request_id: Option<String>,
    },
    /// It may have happened. Only evidence settles it: the same key again, a look-up, a webhook.
    #[error("the outcome is unknown")]
    Unknown {
        #[source]
        source: CallError,
        /// Sending again under the same key would only repeat this answer: look it up.
        look_up: bool,
    },
}

impl ProviderError {
    /// The same, where nothing was sent but a question.
    #[must_use]
    pub fn certainly_not_sent(self) -> Self {
        match self {
            Self::Unknown { source, .. } => Self::NotSent { source, retry_after: None },
            other => other,
        }
    }

    /// The error with all that caused it, on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its causes, joined by `: `.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// How a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("no answer")]
    Transport(#[source] reqwest::Error),
    #[error("status {status}, code {code}, request {}", request_id.as_deref().unwrap_or("unknown"))]
    Status { status: u16, code: String, request_id: Option<String> },
    #[error("{provider} did not answer one {class} after the other: nothing is sent for a while")]
    BreakerOpen { provider: &'static str, class: &'static str },
    #[error("too late: another worker may be at it")]
    TooLate,
    #[error("{0} is not configured here")]
    NotConfigured(&'static str),
    #[error("an answer that cannot be read: {0}")]
    Unreadable(String),
}
