//! An operation: what a user or an administrator wants done with a thing that is at a provider already.
//!
//! It lives on the thing (`last_operation`), one at a time, and its id is its job's: whoever asked sees there how it
//! went. It says `pending` until the provider has answered, never `failed` for want of an answer.

use chrono::{DateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};

use super::evidence::Failure;
use super::ids::JobId;

names! {
    OperationStatus {
        /// Accepted; the provider has not answered yet.
        Pending = "pending",
        /// The provider has done it.
        Succeeded = "succeeded",
        /// The provider refused: see `failure`. Nothing of it was done.
        Failed = "failed",
    }
}

/// `W` is what is wanted, an enum with the tag `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation<W> {
    pub id: JobId,
    pub wanted: W,
    pub status: OperationStatus,
    pub failure: Option<Failure>,
    pub requested_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
}

/// Why an operation is not even tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPossible {
    #[error("another operation is still pending")]
    InProgress,
    #[error("it is {0}")]
    Status(&'static str),
    /// The field at fault, and what is wrong with it.
    #[error("{1}")]
    Field(&'static str, String),
    /// More is to be captured than is held.
    #[error("at most {0} is held")]
    ExceedsHeld(i64),
}

impl<W> Operation<W> {
    /// A new operation, unless `last` is still at work.
    ///
    /// # Errors
    /// [`NotPossible::InProgress`]
    pub fn begin(last: Option<&Self>, wanted: W, now: DateTime<Utc>) -> Result<Self, NotPossible> {
        if last.is_some_and(Self::is_pending) {
            return Err(NotPossible::InProgress);
        }
        Ok(Self {
            id: JobId::generate(),
            wanted,
            status: OperationStatus::Pending,
            failure: None,
            requested_at: now,
            completed_at: None,
        })
    }

    /// The last operation, if it is this one and still at work.
    #[must_use]
    pub fn pending(last: Option<&Self>, id: JobId) -> Option<&Self> {
        last.filter(|last| last.id == id && last.is_pending())
    }

    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.status == OperationStatus::Pending
    }

    /// As it is after what a job learnt.
    #[must_use]
    pub fn after(self, outcome: OperationOutcome, now: DateTime<Utc>) -> Self {
        match outcome {
            OperationOutcome::Done => self.ended(None, now),
            OperationOutcome::Refused(failure) => self.ended(Some(failure), now),
            OperationOutcome::Open => self,
        }
    }

    /// How it ended: `None` well.
    #[must_use]
    pub fn ended(self, failure: Option<Failure>, now: DateTime<Utc>) -> Self {
        let status = if failure.is_some() { OperationStatus::Failed } else { OperationStatus::Succeeded };
        Self { status, failure, completed_at: Some(now.trunc_subsecs(6)), ..self }
    }
}

/// What a job learnt about its operation, beside what it learnt about the thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationOutcome {
    /// It is as it was wanted.
    Done,
    Refused(Failure),
    /// Not known yet, or not sent: try again.
    Open,
}
