//! A subscription: the provider charges again each period. Each charge is a payment of its own.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, Failure, IllegalTransition, same_object};
use super::ids::{CustomerId, PaymentId, SubscriptionId, UserId};
use super::money::Money;
use super::operation::{NotPossible, Operation};
use super::payment::ProviderName;
use super::transitions::{Movement, Transitions, movement};

names! {
    SubscriptionStatus {
        /// Accepted; the provider has not answered yet.
        Pending = "pending",
        /// The first payment is still to be made, within 23 hours: confirm it with `client_secret`.
        Incomplete = "incomplete",
        /// The first payment was not made in time.
        IncompleteExpired = "incomplete_expired",
        Trialing = "trialing",
        Active = "active",
        /// A renewal could not be charged; the provider tries again.
        PastDue = "past_due",
        /// The provider has given up charging; invoices stay open.
        Unpaid = "unpaid",
        /// The trial ended without a payment method.
        Paused = "paused",
        Canceled = "canceled",
        /// The provider refused to make it.
        Failed = "failed",
    }
}
names! {
    Interval { Day = "day", Week = "week", Month = "month", Year = "year" }
}

impl Transitions for SubscriptionStatus {
    const TABLE: &'static [(Self, &'static [Self])] = &[
        (
            Self::Pending,
            &[
                Self::Incomplete,
                Self::IncompleteExpired,
                Self::Trialing,
                Self::Active,
                Self::PastDue,
                Self::Unpaid,
                Self::Paused,
                Self::Canceled,
                Self::Failed,
            ],
        ),
        (
            Self::Incomplete,
            &[Self::IncompleteExpired, Self::Trialing, Self::Active, Self::PastDue, Self::Unpaid, Self::Canceled],
        ),
        (Self::Trialing, &[Self::Active, Self::PastDue, Self::Unpaid, Self::Paused, Self::Canceled]),
        (Self::Active, &[Self::Trialing, Self::PastDue, Self::Unpaid, Self::Paused, Self::Canceled]),
        (Self::PastDue, &[Self::Trialing, Self::Active, Self::Unpaid, Self::Paused, Self::Canceled]),
        (Self::Unpaid, &[Self::Trialing, Self::Active, Self::PastDue, Self::Paused, Self::Canceled]),
        (Self::Paused, &[Self::Trialing, Self::Active, Self::PastDue, Self::Unpaid, Self::Canceled]),
        // What we took for refused may turn out to have been made.
        (
            Self::Failed,
            &[
                Self::Incomplete,
                Self::IncompleteExpired,
                Self::Trialing,
                Self::Active,
                Self::PastDue,
                Self::Unpaid,
                Self::Paused,
                Self::Canceled,
            ],
        ),
        (Self::IncompleteExpired, &[]),
        (Self::Canceled, &[]),
    ];
}

/// What can be wanted of a subscription that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SubscriptionWish {
    Update(SubscriptionChange),
    /// At once. (At the end of the period is an update.)
    Cancel,
}

/// What is to change; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_at_period_end: Option<bool>,
    /// From the next period on, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// All of it, as it shall be then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub user_id: UserId,
    pub customer_id: CustomerId,
    pub provider: ProviderName,
    pub provider_subscription_id: Option<String>,
    /// The provider's id of the one thing that is subscribed to.
    pub provider_item_id: Option<String>,
    pub status: SubscriptionStatus,
    /// For each period.
    pub money: Money,
    pub interval: Interval,
    pub interval_count: i32,
    pub product_name: String,
    pub trial_period_days: Option<i32>,
    pub payment_method: Option<String>,
    pub current_period_start: Option<DateTime<Utc>>,
    pub current_period_end: Option<DateTime<Utc>>,
    pub trial_end: Option<DateTime<Utc>>,
    pub cancel_at_period_end: bool,
    pub canceled_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub client_secret: Option<SecretString>,
    /// The newest of its payments. Read from them, not stored.
    pub latest_payment_id: Option<PaymentId>,
    pub failure: Option<Failure>,
    pub last_operation: Option<Operation<SubscriptionWish>>,
    pub outcome_unknown_since: Option<DateTime<Utc>>,
    pub metadata: BTreeMap<String, String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A subscription as the provider describes it.
#[derive(Debug, Clone)]
pub struct ProviderSubscription {
    pub id: String,
    pub item_id: String,
    pub status: SubscriptionStatus,
    pub money: Money,
    pub payment_method: Option<String>,
    pub current_period_start: Option<DateTime<Utc>>,
    pub current_period_end: Option<DateTime<Utc>>,
    pub trial_end: Option<DateTime<Utc>>,
    pub cancel_at_period_end: bool,
    pub canceled_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// All that the provider has, ours and others'.
    pub metadata: BTreeMap<String, String>,
    /// Of the newest invoice, while it is to be paid.
    pub client_secret: Option<SecretString>,
}

impl Subscription {
    /// The subscription after `evidence`, at `now`. Old or repeated evidence gives it back as it was.
    ///
    /// # Errors
    /// Evidence that contradicts what is known.
    pub fn apply(
        &self,
        evidence: Evidence<ProviderSubscription>,
        now: DateTime<Utc>,
    ) -> Result<Self, IllegalTransition> {
        let mut next = self.clone();
        match evidence {
            Evidence::Created(seen) if self.status != SubscriptionStatus::Pending => {
                // An event was faster than the answer, whose status may be old.
                same_object(self.provider_subscription_id.as_ref(), &seen.id)?;
                next.provider_subscription_id = Some(seen.id);
                next.outcome_unknown_since = None;
            }
            Evidence::Created(seen) | Evidence::Observed(seen) => return self.observe(seen),
            Evidence::Refused(failure) if self.status == SubscriptionStatus::Pending => {
                next.status = SubscriptionStatus::Failed;
                next.failure = Some(failure);
                next.outcome_unknown_since = None;
                next.ended_at = Some(now);
            }
            Evidence::OutcomeUnknown if self.status == SubscriptionStatus::Pending => {
                next.outcome_unknown_since = self.outcome_unknown_since.or(Some(now));
            }
            Evidence::Refused(_) | Evidence::OutcomeUnknown => {}
        }
        Ok(next)
    }

    fn observe(&self, seen: ProviderSubscription) -> Result<Self, IllegalTransition> {
        same_object(self.provider_subscription_id.as_ref(), &seen.id)?;
        // The amount may change, also at the provider's own pages; the currency may not.
        if seen.money.currency != self.money.currency {
            return Err(IllegalTransition::OtherMoney);
        }
        match movement(self.status, seen.status) {
            Movement::Stale => return Ok(self.clone()),
            Movement::Contradiction => {
                return Err(IllegalTransition::Status { from: self.status.as_str(), to: seen.status.as_str() });
            }
            Movement::Same | Movement::Forward => {}
        }
        let mut next = self.clone();
        next.provider_subscription_id = Some(seen.id);
        next.provider_item_id = Some(seen.item_id);
        next.status = seen.status;
        next.money = seen.money;
        next.payment_method = seen.payment_method.or(next.payment_method);
        next.current_period_start = seen.current_period_start;
        next.current_period_end = seen.current_period_end;
        next.trial_end = seen.trial_end;
        next.cancel_at_period_end = seen.cancel_at_period_end;
        next.canceled_at = seen.canceled_at;
        next.ended_at = seen.ended_at;
        next.client_secret = seen.client_secret;
        next.failure = None;
        next.outcome_unknown_since = None;
        Ok(next)
    }

    /// The subscription with a change under way.
    ///
    /// # Errors
    /// It has ended or does not exist at the provider yet, or another operation is pending.
    pub fn request_update(&self, change: SubscriptionChange, now: DateTime<Utc>) -> Result<Self, NotPossible> {
        if self.has_ended() || self.status == SubscriptionStatus::Pending {
            return Err(NotPossible::Status(self.status.as_str()));
        }
        if let Some(amount) = change.amount {
            Money::chargeable(amount, self.money.currency)
                .map_err(|invalid| NotPossible::Field("/amount", invalid.to_string()))?;
        }
        self.request(SubscriptionWish::Update(change), now)
    }

    /// The subscription with its end under way. One that the provider has not seen yet is ended once it has.
    ///
    /// # Errors
    /// It has ended, or another operation is pending.
    pub fn request_cancel(&self, now: DateTime<Utc>) -> Result<Self, NotPossible> {
        if self.has_ended() {
            return Err(NotPossible::Status(self.status.as_str()));
        }
        self.request(SubscriptionWish::Cancel, now)
    }

    /// Whether nothing can be asked of it any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.status.is_final() || self.status == SubscriptionStatus::Failed
    }

    fn request(&self, wanted: SubscriptionWish, now: DateTime<Utc>) -> Result<Self, NotPossible> {
        let operation = Operation::begin(self.last_operation.as_ref(), wanted, now)?;
        Ok(Self { last_operation: Some(operation), ..self.clone() })
    }

    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        let secret = |of: &Self| of.client_secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        self.status != other.status
            || self.provider_subscription_id != other.provider_subscription_id
            || self.provider_item_id != other.provider_item_id
            || self.money != other.money
            || self.payment_method != other.payment_method
            || self.current_period_start != other.current_period_start
            || self.current_period_end != other.current_period_end
            || self.trial_end != other.trial_end
            || self.cancel_at_period_end != other.cancel_at_period_end
            || self.canceled_at != other.canceled_at
            || self.ended_at != other.ended_at
            || secret(self) != secret(other)
            || self.failure != other.failure
            || self.last_operation != other.last_operation
            || self.outcome_unknown_since != other.outcome_unknown_since
            || self.metadata != other.metadata
    }
}
