//! An event that a provider sent us, as its raw bytes.

use chrono::{DateTime, Utc};

use super::ids::ProviderEventId;
use super::payment::ProviderName;

#[derive(Debug, Clone)]
pub struct ProviderEvent {
    pub id: ProviderEventId,
    pub provider: ProviderName,
    /// The provider's own id, or `sha256:<hex>` of a body without one.
    pub provider_event_id: String,
    /// As the body says; `None` where it cannot be read.
    pub event_type: Option<String>,
    /// The version that the provider wrote the body in.
    pub api_version: Option<String>,
    pub body: Vec<u8>,
    /// `None` until somebody has dealt with it: a worker, or whoever received it where its type is not used.
    pub outcome: Option<EventOutcome>,
    pub detail: Option<String>,
    pub received_at: DateTime<Utc>,
    pub processed_at: Option<DateTime<Utc>>,
}

/// What of an event can be told from its bytes at the door, without understanding it.
#[derive(Debug, Clone)]
pub struct EventLabel {
    pub provider_event_id: String,
    pub event_type: Option<String>,
    pub api_version: Option<String>,
    /// Of a type that we use. What is not is kept, and no job looks at it.
    pub used: bool,
}

names! {
    /// What became of an event.
    EventOutcome {
        /// It told us something about an object of ours.
        Applied = "applied",
        /// A type we do not use, or an object that is not ours.
        Ignored = "ignored",
        /// Signed, but not in a form we can read. Kept.
        Unreadable = "unreadable",
    }
}
