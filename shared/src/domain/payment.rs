//! A payment, and the one function that decides how it may move.
//!
//! Whoever learns something about a payment (a job, a webhook, a look-up) says it as [`Evidence`];
//! [`Payment::apply`] decides what it means. Nothing else changes a status.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, Failure, Finding, IllegalTransition, same_object};
use super::ids::{CustomerId, PaymentId, SubscriptionId, UserId};
use super::money::Money;
use super::operation::{NotPossible, Operation};
use super::swish::SwishDetails;
use super::transitions::{Movement, Transitions, movement};
use crate::trace::Trace;

names! {
    /// The providers that move the money.
    ProviderName { Stripe = "stripe", Swish = "swish" }
}
impl ProviderName {
    /// As people write it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Stripe => "Stripe",
            Self::Swish => "Swish",
        }
    }
}

names! {
    PaymentStatus {
        /// Accepted; the provider has not answered yet.
        Pending = "pending",
        /// The provider is at it.
        Processing = "processing",
        /// The payer must do something: see `next_action`.
        RequiresAction = "requires_action",
        /// Authorised; the money waits to be captured until `expires_at`.
        RequiresCapture = "requires_capture",
        Succeeded = "succeeded",
        /// The last attempt failed; `retryable` says whether the payer may try again.
        Failed = "failed",
        Canceled = "canceled",
    }
}
names! {
    /// When the money is taken: at once, or by a capture later.
    CaptureMethod { Automatic = "automatic", Manual = "manual" }
}
names! {
    /// Why a payment is canceled, in the words that providers take.
    CancelReason {
        Duplicate = "duplicate",
        Fraudulent = "fraudulent",
        RequestedByCustomer = "requested_by_customer",
        Abandoned = "abandoned",
    }
}

impl Transitions for PaymentStatus {
    const TABLE: &'static [(Self, &'static [Self])] = &[
        (
            Self::Pending,
            &[
                Self::Processing,
                Self::RequiresAction,
                Self::RequiresCapture,
                Self::Succeeded,
                Self::Failed,
                Self::Canceled,
            ],
        ),
        (
            Self::Processing,
            &[Self::RequiresAction, Self::RequiresCapture, Self::Succeeded, Self::Failed, Self::Canceled],
        ),
        (
            Self::RequiresAction,
            &[Self::Processing, Self::RequiresCapture, Self::Succeeded, Self::Failed, Self::Canceled],
        ),
        (Self::RequiresCapture, &[Self::Processing, Self::Succeeded, Self::Failed, Self::Canceled]),
        // The payer may try again; and what we took for refused may turn out to be paid.
        (
            Self::Failed,
            &[Self::Processing, Self::RequiresAction, Self::RequiresCapture, Self::Succeeded, Self::Canceled],
        ),
        (Self::Succeeded, &[]),
        (Self::Canceled, &[]),
    ];
}

/// What can be wanted of a payment that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PaymentWish {
    /// Take the money that is held; `amount` in minor units, all of it where there is none.
    Capture {
        amount: i64,
    },
    Cancel {
        reason: Option<CancelReason>,
    },
}

#[derive(Debug, Clone)]
pub struct Payment {
    pub id: PaymentId,
    pub user_id: UserId,
    pub customer_id: CustomerId,
    /// Set where a subscription made it.
    pub subscription_id: Option<SubscriptionId>,
    pub provider: ProviderName,
    pub provider_payment_id: Option<String>,
    pub status: PaymentStatus,
    pub retryable: bool,
    pub money: Money,
    /// What is held and can be captured.
    pub amount_capturable: i64,
    pub amount_captured: i64,
    /// The sum of the refunds that have not failed. Postgres keeps it.
    pub amount_refunded: i64,
    /// What disputes have taken back and not returned. Postgres keeps it.
    pub amount_disputed: i64,
    pub capture_method: CaptureMethod,
    pub description: Option<String>,
    pub statement_descriptor: Option<String>,
    pub payment_method: Option<String>,
    /// The payer is not there: a saved payment method is charged.
    pub off_session: bool,
    pub return_url: Option<String>,
    /// Set where Swish is the provider.
    pub swish: Option<SwishDetails>,
    /// What the payer's device pays with: Stripe's client secret, Swish's token.
    pub client_secret: Option<SecretString>,
    pub next_action: Option<serde_json::Value>,
    pub failure: Option<Failure>,
    pub last_operation: Option<Operation<PaymentWish>>,
    /// Set while we do not know what the provider did with a call of ours.
    pub outcome_unknown_since: Option<DateTime<Utc>>,
    pub metadata: BTreeMap<String, String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
    /// Until when the money is held, or the payer can pay.
    pub expires_at: Option<DateTime<Utc>>,
    /// In which it was asked for, for the logs.
    pub trace: Option<Trace>,
}

/// A payment as the provider describes it.
#[derive(Debug, Clone)]
pub struct ProviderPayment {
    pub id: String,
    pub status: PaymentStatus,
    pub retryable: bool,
    pub money: Money,
    pub amount_capturable: i64,
    pub amount_captured: i64,
    pub payment_method: Option<String>,
    pub client_secret: Option<SecretString>,
    pub next_action: Option<serde_json::Value>,
    pub failure: Option<Failure>,
    /// The provider itself does not know whether the money moved.
    pub outcome_unknown: bool,
    /// What Swish shows besides.
    pub swish: Option<SwishDetails>,
    pub expires_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

impl Payment {
    /// The payment after `evidence`, at `now`. Old or repeated evidence gives the payment back as it was.
    ///
    /// # Errors
    /// Evidence that contradicts what is known: it must be looked at by a person, not papered over.
    pub fn apply(&self, evidence: Evidence<ProviderPayment>, now: DateTime<Utc>) -> Result<Self, IllegalTransition> {
        match evidence {
            Evidence::Created(seen) => {
                if self.status == PaymentStatus::Pending {
                    self.observe(seen, now)
                } else {
                    // A webhook was faster than the answer. The answer's references stay true, its status may be old.
                    self.check_same_object(&seen)?;
                    let mut next = self.clone();
                    next.provider_payment_id = Some(seen.id);
                    next.client_secret = next.client_secret.or(seen.client_secret);
                    next.outcome_unknown_since = None;
                    Ok(next)
                }
            }
            Evidence::Observed(seen) => self.observe(seen, now),
            Evidence::Refused(failure) => {
                let mut next = self.clone();
                if self.status == PaymentStatus::Pending {
                    next.status = PaymentStatus::Failed;
                    next.failure = Some(failure);
                    next.outcome_unknown_since = None;
                    next.completed_at = Some(now);
                }
                Ok(next)
            }
            Evidence::OutcomeUnknown => {
                let mut next = self.clone();
                if self.status == PaymentStatus::Pending {
                    next.outcome_unknown_since = self.outcome_unknown_since.or(Some(now));
                }
                Ok(next)
            }
        }
    }

    /// The payment after a person has found out what the provider itself does not know.
    ///
    /// # Errors
    /// The provider does know, or may still be asked.
    pub fn settle(&self, finding: Finding, now: DateTime<Utc>) -> Result<Self, NotPossible> {
        let (Some(id), Some(_)) = (self.provider_payment_id.clone(), self.outcome_unknown_since) else {
            return Err(NotPossible::Status(self.status.as_str()));
        };
        let made = finding == Finding::Made;
        let found = ProviderPayment {
            id,
            status: if made { PaymentStatus::Succeeded } else { PaymentStatus::Failed },
            retryable: false,
            money: self.money,
            amount_capturable: 0,
            amount_captured: if made { self.money.minor } else { 0 },
            payment_method: None,
            client_secret: None,
            next_action: None,
            failure: (!made).then(Failure::not_made),
            outcome_unknown: false,
            swish: None,
            expires_at: None,
            created_at: now,
        };
        self.observe(found, now).map_err(|_| NotPossible::Status(self.status.as_str()))
    }

    fn observe(&self, seen: ProviderPayment, now: DateTime<Utc>) -> Result<Self, IllegalTransition> {
        self.check_same_object(&seen)?;
        // A person has found out what the provider still does not know.
        if seen.outcome_unknown && self.status == PaymentStatus::Failed && self.provider_payment_id.is_some() {
            return Ok(self.clone());
        }
        match movement(self.status, seen.status) {
            Movement::Stale => return Ok(self.clone()),
            Movement::Contradiction => {
                return Err(IllegalTransition::Status { from: self.status.as_str(), to: seen.status.as_str() });
            }
            Movement::Same | Movement::Forward => {}
        }
        let mut next = self.clone();
        next.provider_payment_id = Some(seen.id);
        next.status = seen.status;
        next.retryable = seen.status == PaymentStatus::Failed && seen.retryable;
        next.amount_capturable = seen.amount_capturable;
        next.amount_captured = seen.amount_captured.max(self.amount_captured);
        next.payment_method = seen.payment_method.or(next.payment_method);
        next.client_secret = seen.client_secret.or(next.client_secret);
        next.next_action = seen.next_action;
        next.failure = seen.failure;
        next.outcome_unknown_since = if seen.outcome_unknown { self.outcome_unknown_since.or(Some(now)) } else { None };
        if let (Some(ours), Some(theirs)) = (&self.swish, &seen.swish) {
            next.swish = Some(ours.with(theirs));
        }
        next.expires_at = match seen.status {
            PaymentStatus::RequiresCapture => seen.expires_at.or(self.expires_at),
            // The first word counts: later ones differ by the clock that they were read by.
            PaymentStatus::RequiresAction => self.expires_at.or(seen.expires_at),
            _ => None,
        };
        next.completed_at = if seen.status.is_final() { self.completed_at.or(Some(now)) } else { None };
        Ok(next)
    }

    fn check_same_object(&self, seen: &ProviderPayment) -> Result<(), IllegalTransition> {
        same_object(self.provider_payment_id.as_ref(), &seen.id)?;
        if seen.money == self.money { Ok(()) } else { Err(IllegalTransition::OtherMoney) }
    }

    /// What can still be refunded, in minor units.
    #[must_use]
    pub fn amount_refundable(&self) -> i64 {
        self.amount_captured.saturating_sub(self.amount_refunded).max(0)
    }

    /// The payment with a capture under way: of `amount`, or of all that is held.
    ///
    /// # Errors
    /// Nothing is held, more is wanted than is held, or another operation is pending.
    pub fn request_capture(&self, amount: Option<i64>, now: DateTime<Utc>) -> Result<Self, NotPossible> {
        if self.status != PaymentStatus::RequiresCapture {
            return Err(NotPossible::Status(self.status.as_str()));
        }
        let amount = amount.unwrap_or(self.amount_capturable);
        Money::chargeable(amount, self.money.currency)
            .map_err(|invalid| NotPossible::Field("/amount", invalid.to_string()))?;
        if amount > self.amount_capturable {
            return Err(NotPossible::ExceedsHeld(self.amount_capturable));
        }
        self.request(PaymentWish::Capture { amount }, now)
    }

    /// The payment with a cancellation under way. One that the provider has not seen yet is canceled once it has.
    ///
    /// # Errors
    /// The payment is final or was never made, or another operation is pending.
    pub fn request_cancel(&self, reason: Option<CancelReason>, now: DateTime<Utc>) -> Result<Self, NotPossible> {
        let never_made = self.status == PaymentStatus::Failed && self.provider_payment_id.is_none();
        if self.status.is_final() || never_made {
            return Err(NotPossible::Status(self.status.as_str()));
        }
        if self.subscription_id.is_some() {
            let detail = "it belongs to a subscription; cancel the subscription instead";
            return Err(NotPossible::Field("", detail.to_owned()));
        }
        self.request(PaymentWish::Cancel { reason }, now)
    }

    fn request(&self, wanted: PaymentWish, now: DateTime<Utc>) -> Result<Self, NotPossible> {
        let operation = Operation::begin(self.last_operation.as_ref(), wanted, now)?;
        Ok(Self { last_operation: Some(operation), ..self.clone() })
    }

    /// Whether a write is owed: anything that a reader could see has changed.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        self.status != other.status
            || self.retryable != other.retryable
            || self.provider_payment_id != other.provider_payment_id
            || self.amount_capturable != other.amount_capturable
            || self.amount_captured != other.amount_captured
            || self.payment_method != other.payment_method
            || self.client_secret.is_some() != other.client_secret.is_some()
            || self.next_action != other.next_action
            || self.failure != other.failure
            || self.last_operation != other.last_operation
            || self.outcome_unknown_since != other.outcome_unknown_since
            || self.swish != other.swish
            || self.expires_at != other.expires_at
    }
}
