//! A refund: money on its way back. Postgres sees to it that the refunds of a payment never exceed what was captured.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::evidence::{Evidence, Failure, Finding, IllegalTransition, same_object};
use super::ids::{PaymentId, RefundId, UserId};
use super::money::Money;
use super::operation::NotPossible;
use super::payment::ProviderName;
use super::transitions::{Movement, Transitions, movement};

names! {
    RefundStatus {
        /// Accepted; the provider has not answered yet.
        Pending = "pending",
        /// The provider is at it.
        Processing = "processing",
        /// The payer must do something, and was told by the provider.
        RequiresAction = "requires_action",
        /// On its way to the payer. It may still fail: a bank can send it back days later.
        Succeeded = "succeeded",
        /// Refused, or sent back. Its amount can be refunded again.
        Failed = "failed",
        Canceled = "canceled",
    }
}
names! {
    /// Why, in the words that providers take.
    RefundReason {
        Duplicate = "duplicate",
        Fraudulent = "fraudulent",
        RequestedByCustomer = "requested_by_customer",
    }
}

impl Transitions for RefundStatus {
    const TABLE: &'static [(Self, &'static [Self])] = &[
        (Self::Pending, &[Self::Processing, Self::RequiresAction, Self::Succeeded, Self::Failed, Self::Canceled]),
        (Self::Processing, &[Self::RequiresAction, Self::Succeeded, Self::Failed, Self::Canceled]),
        (Self::RequiresAction, &[Self::Processing, Self::Succeeded, Self::Failed, Self::Canceled]),
        (Self::Succeeded, &[Self::Failed]),
        (Self::Failed, &[]),
        (Self::Canceled, &[]),
    ];
}

#[derive(Debug, Clone)]
pub struct Refund {
    pub id: RefundId,
    pub user_id: UserId,
    pub payment_id: PaymentId,
    pub provider: ProviderName,
    pub provider_refund_id: Option<String>,
    pub status: RefundStatus,
    pub money: Money,
    /// As the provider has it: one that was made elsewhere may have another reason than ours.
    pub reason: Option<String>,
    pub failure: Option<Failure>,
    pub outcome_unknown_since: Option<DateTime<Utc>>,
    pub metadata: BTreeMap<String, String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
}

/// A refund as the provider describes it.
#[derive(Debug, Clone)]
pub struct ProviderRefund {
    pub id: String,
    pub provider_payment_id: String,
    pub status: RefundStatus,
    pub money: Money,
    pub reason: Option<String>,
    pub failure: Option<Failure>,
    /// The provider itself does not know whether the money moved.
    pub outcome_unknown: bool,
    pub created_at: DateTime<Utc>,
}

impl Refund {
    /// The refund after `evidence`, at `now`. Old or repeated evidence gives it back as it was.
    ///
    /// # Errors
    /// Evidence that contradicts what is known.
    pub fn apply(&self, evidence: Evidence<ProviderRefund>, now: DateTime<Utc>) -> Result<Self, IllegalTransition> {
        let mut next = self.clone();
        match evidence {
            Evidence::Created(seen) if self.status != RefundStatus::Pending => {
                // An event was faster than the answer, whose status may be old.
                self.check_same_object(&seen)?;
                next.provider_refund_id = Some(seen.id);
                next.outcome_unknown_since = None;
            }
            Evidence::Created(seen) | Evidence::Observed(seen) => return self.observe(seen, now),
            Evidence::Refused(failure) if self.status == RefundStatus::Pending => {
                next.status = RefundStatus::Failed;
                next.failure = Some(failure);
                next.outcome_unknown_since = None;
                next.completed_at = Some(now);
            }
            Evidence::OutcomeUnknown if self.status == RefundStatus::Pending => {
                next.outcome_unknown_since = self.outcome_unknown_since.or(Some(now));
            }
            Evidence::Refused(_) | Evidence::OutcomeUnknown => {}
        }
        Ok(next)
    }

    /// The refund after a person has found out what the provider itself does not know.
    ///
    /// # Errors
    /// The provider does know, or may still be asked.
    pub fn settle(&self, finding: Finding, now: DateTime<Utc>) -> Result<Self, NotPossible> {
        let (Some(id), Some(_)) = (self.provider_refund_id.clone(), self.outcome_unknown_since) else {
            return Err(NotPossible::Status(self.status.as_str()));
        };
        let made = finding == Finding::Made;
        let found = ProviderRefund {
            id,
            provider_payment_id: String::new(),
            status: if made { RefundStatus::Succeeded } else { RefundStatus::Failed },
            money: self.money,
            reason: None,
            failure: (!made).then(Failure::not_made),
            outcome_unknown: false,
            created_at: now,
        };
        self.observe(found, now).map_err(|_| NotPossible::Status(self.status.as_str()))
    }

    fn observe(&self, seen: ProviderRefund, now: DateTime<Utc>) -> Result<Self, IllegalTransition> {
        self.check_same_object(&seen)?;
        // What we took for refused was made after all: its story begins now.
        let refused = self.status == RefundStatus::Failed && self.provider_refund_id.is_none();
        let from = if refused { RefundStatus::Pending } else { self.status };
        match movement(from, seen.status) {
            Movement::Stale => return Ok(self.clone()),
            Movement::Contradiction => {
                return Err(IllegalTransition::Status { from: self.status.as_str(), to: seen.status.as_str() });
            }
            Movement::Same | Movement::Forward => {}
        }
        let mut next = self.clone();
        next.provider_refund_id = Some(seen.id);
        next.status = seen.status;
        next.failure = seen.failure;
        next.outcome_unknown_since = if seen.outcome_unknown { self.outcome_unknown_since.or(Some(now)) } else { None };
        next.completed_at = match seen.status {
            RefundStatus::Succeeded | RefundStatus::Failed | RefundStatus::Canceled => {
                if from == seen.status {
                    self.completed_at
                } else {
                    Some(now)
                }
            }
            RefundStatus::Pending | RefundStatus::Processing | RefundStatus::RequiresAction => None,
        };
        Ok(next)
    }

    fn check_same_object(&self, seen: &ProviderRefund) -> Result<(), IllegalTransition> {
        same_object(self.provider_refund_id.as_ref(), &seen.id)?;
        if seen.money == self.money { Ok(()) } else { Err(IllegalTransition::OtherMoney) }
    }

    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        self.status != other.status
            || self.provider_refund_id != other.provider_refund_id
            || self.failure != other.failure
            || self.outcome_unknown_since != other.outcome_unknown_since
    }
}
