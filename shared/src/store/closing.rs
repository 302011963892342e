//! What ends with a job, in the statement that ends it: the attempt that it made, or the event that it was about.

use sea_orm::Value;

use super::attempts::AttemptOutcome;
use crate::domain::ids::{AttemptId, ProviderEventId};
use crate::domain::provider_event::EventOutcome;

#[derive(Debug, Clone)]
pub enum Closing {
    /// How a try ended, and what the provider calls the request.
    Attempt { id: AttemptId, outcome: AttemptOutcome, provider_request_id: Option<String>, error: Option<String> },
    /// What became of an event. `object_id`: the provider's object that would make an ignored one ours.
    Event { id: ProviderEventId, outcome: EventOutcome, detail: String, object_id: Option<String> },
}

impl Closing {
    /// What cannot be read, for a person to see.
    #[must_use]
    pub fn unreadable(id: ProviderEventId, detail: String) -> Self {
        Self::Event { id, outcome: EventOutcome::Unreadable, detail, object_id: None }
    }

    /// What is not ours, as far as we know, or not used.
    #[must_use]
    pub fn ignored(id: ProviderEventId, detail: String, object_id: Option<String>) -> Self {
        Self::Event { id, outcome: EventOutcome::Ignored, detail, object_id }
    }

    /// Something of ours was told by an event.
    #[must_use]
    pub fn applied(id: ProviderEventId, detail: &str) -> Self {
        Self::Event { id, outcome: EventOutcome::Applied, detail: detail.to_owned(), object_id: None }
    }

    /// The part of the statement, for the row that is in `ended`; its values are `$8` and up.
    pub(super) fn statement(&self) -> &'static str {
        match self {
            Self::Attempt { .. } => {
                "closed AS (
             UPDATE attempts SET outcome = $9, provider_request_id = coalesce($10, provider_request_id), last_error = $11,
                    updated_at = now()
             FROM ended WHERE attempts.id = $8),"
            }
            Self::Event { .. } => {
                "closed AS (
             UPDATE provider_events SET outcome = $9, detail = $10, object_id = $11, processed_at = now()
             FROM ended WHERE provider_events.id = $8),"
            }
        }
    }

    pub(super) fn values(&self) -> [Value; 4] {
        match self {
            Self::Attempt { id, outcome, provider_request_id, error } => {
                [id.0.into(), outcome.as_str().into(), provider_request_id.clone().into(), error.clone().into()]
            }
            Self::Event { id, outcome, detail, object_id } => {
                [id.0.into(), outcome.as_str().into(), detail.as_str().into(), object_id.clone().into()]
            }
        }
    }
}
