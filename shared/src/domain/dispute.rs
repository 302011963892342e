//! A dispute: the payer's bank wants the money back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::evidence::{IllegalTransition, same_object};
use super::ids::{DisputeId, PaymentId, UserId};
use super::money::Money;
use super::operation::{NotPossible, Operation};
use super::payment::ProviderName;
use super::transitions::{Movement, Transitions, movement};

names! {
    DisputeStatus {
        /// The bank asks; no money is taken yet.
        WarningNeedsResponse = "warning_needs_response",
        WarningUnderReview = "warning_under_review",
        WarningClosed = "warning_closed",
        /// Evidence can be submitted until `evidence_due_by`.
        NeedsResponse = "needs_response",
        UnderReview = "under_review",
        Won = "won",
        Lost = "lost",
        /// Settled before it became a dispute.
        Prevented = "prevented",
    }
}
names! {
    /// Where the disputed money is.
    DisputeFunds {
        /// Still here.
        Held = "held",
        /// Taken back by the bank.
        Withdrawn = "withdrawn",
        /// Taken, and returned.
        Reinstated = "reinstated",
    }
}

impl Transitions for DisputeStatus {
    const TABLE: &'static [(Self, &'static [Self])] = &[
        (
            Self::WarningNeedsResponse,
            &[
                Self::WarningUnderReview,
                Self::WarningClosed,
                Self::NeedsResponse,
                Self::UnderReview,
                Self::Won,
                Self::Lost,
                Self::Prevented,
            ],
        ),
        (
            Self::WarningUnderReview,
            &[Self::WarningClosed, Self::NeedsResponse, Self::UnderReview, Self::Won, Self::Lost, Self::Prevented],
        ),
        // An inquiry that was closed can still be escalated.
        (Self::WarningClosed, &[Self::NeedsResponse, Self::UnderReview, Self::Won, Self::Lost]),
        (Self::NeedsResponse, &[Self::UnderReview, Self::Won, Self::Lost, Self::Prevented]),
        (Self::UnderReview, &[Self::NeedsResponse, Self::Won, Self::Lost]),
        // A network may decide again in the merchant's favour.
        (Self::Lost, &[Self::Won]),
        (Self::Won, &[]),
        (Self::Prevented, &[]),
    ];
}

/// What an administrator can want of a dispute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DisputeWish {
    /// Send the evidence to the bank, which is final.
    SubmitEvidence { evidence: BTreeMap<String, String> },
    /// Give the money back: the dispute is lost.
    Accept,
}

#[derive(Debug, Clone)]
pub struct Dispute {
    pub id: DisputeId,
    pub user_id: UserId,
    pub payment_id: PaymentId,
    pub provider: ProviderName,
    pub provider_dispute_id: String,
    pub status: DisputeStatus,
    /// The bank's reason, for example `fraudulent`.
    pub reason: String,
    pub money: Money,
    pub funds: DisputeFunds,
    pub evidence_due_by: Option<DateTime<Utc>>,
    pub evidence_submitted: bool,
    pub last_operation: Option<Operation<DisputeWish>>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
}

/// A dispute as the provider describes it.
#[derive(Debug, Clone)]
pub struct ProviderDispute {
    pub id: String,
    pub provider_payment_id: Option<String>,
    pub status: DisputeStatus,
    pub reason: String,
    pub money: Money,
    pub funds: DisputeFunds,
    pub evidence_due_by: Option<DateTime<Utc>>,
    /// What there is of it in words, submitted or not.
    pub evidence: BTreeMap<String, String>,
    pub evidence_submitted: bool,
    pub created_at: DateTime<Utc>,
}

impl Dispute {
    /// The dispute after the provider showed it, read after the version that this is applied to.
    ///
    /// # Errors
    /// What contradicts what is known.
    pub fn observe(&self, seen: ProviderDispute, now: DateTime<Utc>) -> Result<Self, IllegalTransition> {
        same_object(Some(&self.provider_dispute_id), &seen.id)?;
        match movement(self.status, seen.status) {
            Movement::Stale => return Ok(self.clone()),
            Movement::Contradiction => {
                return Err(IllegalTransition::Status { from: self.status.as_str(), to: seen.status.as_str() });
            }
            Movement::Same | Movement::Forward => {}
        }
        let mut next = self.clone();
        next.status = seen.status;
        next.reason = seen.reason;
        next.money = seen.money;
        next.funds = seen.funds;
        next.evidence_due_by = seen.evidence_due_by;
        next.evidence_submitted = seen.evidence_submitted;
        next.closed_at = if is_closed(seen.status) { self.closed_at.or(Some(now)) } else { None };
        Ok(next)
    }

    /// The dispute with `wanted` under way.
    ///
    /// # Errors
    /// It needs no response any more, or another operation is pending.
    pub fn request(&self, wanted: DisputeWish, now: DateTime<Utc>) -> Result<Self, NotPossible> {
        if !matches!(self.status, DisputeStatus::NeedsResponse | DisputeStatus::WarningNeedsResponse) {
            return Err(NotPossible::Status(self.status.as_str()));
        }
        let operation = Operation::begin(self.last_operation.as_ref(), wanted, now)?;
        Ok(Self { last_operation: Some(operation), ..self.clone() })
    }

    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        self.status != other.status
            || self.reason != other.reason
            || self.money != other.money
            || self.funds != other.funds
            || self.evidence_due_by != other.evidence_due_by
            || self.evidence_submitted != other.evidence_submitted
            || self.last_operation != other.last_operation
    }
}

/// Whether the bank has decided.
#[must_use]
pub fn is_closed(status: DisputeStatus) -> bool {
    match status {
        DisputeStatus::WarningClosed | DisputeStatus::Won | DisputeStatus::Lost | DisputeStatus::Prevented => true,
        DisputeStatus::WarningNeedsResponse
        | DisputeStatus::WarningUnderReview
        | DisputeStatus::NeedsResponse
        | DisputeStatus::UnderReview => false,
    }
}
