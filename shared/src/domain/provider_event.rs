//! An event that a provider sent us, as its raw bytes.

use super::ids::ProviderEventId;
use super::payment::ProviderName;

#[derive(Debug, Clone)]
pub struct ProviderEvent {
    pub id: ProviderEventId,
    pub provider: ProviderName,
    /// The provider's own id, or `sha256:<hex>` of a body without one.
    pub provider_event_id: String,
    pub body: Vec<u8>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOutcome {
    /// It told us something about an object of ours.
    Applied,
    /// A type we do not use, or an object that is not ours.
    Ignored,
    /// Signed, but not in a form we can read. Kept.
    Unreadable,
}

impl EventOutcome {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Ignored => "ignored",
            Self::Unreadable => "unreadable",
        }
    }
}
