//! A payment, and the one function that decides how it may move.
//!
//! Whoever learns something about a payment (a job, a webhook, a look-up) says it as [`Evidence`];
//! [`Payment::apply`] decides what it means. Nothing else changes a status.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::ids::{CustomerId, PaymentId, UserId};
use super::money::Money;

names! {
    /// The providers that move the money.
    ProviderName { Stripe = "stripe" }
}
names! {
    PaymentStatus {
        /// Accepted; the provider has not answered yet.
        Pending = "pending",
        /// The provider is at it.
        Processing = "processing",
        /// The payer must do something: see `next_action`.
        RequiresAction = "requires_action",
        /// Authorised; the money waits to be captured.
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

/// Why an attempt failed, in the provider's own codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub decline_code: Option<String>,
    pub message: String,
}

#[derive(Debug, Clone)]
pub struct Payment {
    pub id: PaymentId,
    pub user_id: UserId,
    pub customer_id: CustomerId,
    pub provider: ProviderName,
    pub provider_payment_id: Option<String>,
    pub status: PaymentStatus,
    pub retryable: bool,
    pub money: Money,
    pub amount_captured: i64,
    pub amount_refunded: i64,
    pub capture_method: CaptureMethod,
    pub description: Option<String>,
    pub statement_descriptor: Option<String>,
    pub payment_method: Option<String>,
    pub return_url: Option<String>,
    pub client_secret: Option<SecretString>,
    pub next_action: Option<serde_json::Value>,
    pub failure: Option<Failure>,
    /// Set while we do not know what the provider did with a call of ours.
    pub outcome_unknown_since: Option<DateTime<Utc>>,
    pub metadata: BTreeMap<String, String>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// A payment as the provider describes it.
#[derive(Debug, Clone)]
pub struct ProviderPayment {
    pub id: String,
    pub status: PaymentStatus,
    pub retryable: bool,
    pub money: Money,
    pub amount_captured: i64,
    pub client_secret: Option<SecretString>,
    pub next_action: Option<serde_json::Value>,
    pub failure: Option<Failure>,
}

/// What somebody learnt about a payment.
#[derive(Debug, Clone)]
pub enum Evidence {
    /// The provider answered the call that created it. Newer news may have overtaken the answer.
    Created(ProviderPayment),
    /// The provider showed its state, read after the version of the payment that this is applied to.
    Observed(ProviderPayment),
    /// The provider refused the call: nothing was made, and the same call would be refused again.
    Refused(Failure),
    /// A call was made and we do not know what became of it.
    OutcomeUnknown,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalTransition {
    #[error("a payment that is {from} cannot become {to}")]
    Status { from: &'static str, to: &'static str },
    #[error("the provider's object {found} is not the payment's {expected}")]
    OtherObject { expected: String, found: String },
    #[error("the provider's object is over another amount or currency")]
    OtherMoney,
}

impl Payment {
    /// The payment after `evidence`, at `now`. Old or repeated evidence gives the payment back as it was.
    ///
    /// # Errors
    /// Evidence that contradicts what is known: it must be looked at by a person, not papered over.
    pub fn apply(&self, evidence: Evidence, now: DateTime<Utc>) -> Result<Self, IllegalTransition> {
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
                if self.status != PaymentStatus::Pending {
                    return Ok(self.clone());
                }
                let mut next = self.clone();
                next.status = PaymentStatus::Failed;
                next.retryable = false;
                next.failure = Some(failure);
                next.outcome_unknown_since = None;
                next.completed_at = Some(now);
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

    fn observe(&self, seen: ProviderPayment, now: DateTime<Utc>) -> Result<Self, IllegalTransition> {
        self.check_same_object(&seen)?;
        match movement(self.status, seen.status) {
            Movement::Stale => return Ok(self.clone()),
            Movement::Contradiction => {
                return Err(IllegalTransition::Status { from: self.status.as_str(), to: seen.status.as_str() });
            }
            Movement::Forward => {}
        }
        let final_state = is_final(seen.status);
        let mut next = self.clone();
        next.provider_payment_id = Some(seen.id);
        next.status = seen.status;
        next.retryable = seen.status == PaymentStatus::Failed && seen.retryable;
        next.amount_captured = seen.amount_captured.max(self.amount_captured);
        next.client_secret = seen.client_secret.or(next.client_secret);
        next.next_action = seen.next_action;
        next.failure = seen.failure;
        next.outcome_unknown_since = None;
        next.completed_at = if final_state { self.completed_at.or(Some(now)) } else { None };
        Ok(next)
    }

    fn check_same_object(&self, seen: &ProviderPayment) -> Result<(), IllegalTransition> {
        match &self.provider_payment_id {
            Some(expected) if *expected != seen.id => {
                return Err(IllegalTransition::OtherObject { expected: expected.clone(), found: seen.id.clone() });
            }
            Some(_) | None => {}
        }
        if seen.money != self.money {
            return Err(IllegalTransition::OtherMoney);
        }
        Ok(())
    }

    /// Whether a write is owed: anything that a reader could see has changed.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        self.status != other.status
            || self.retryable != other.retryable
            || self.provider_payment_id != other.provider_payment_id
            || self.amount_captured != other.amount_captured
            || self.client_secret.is_some() != other.client_secret.is_some()
            || self.next_action != other.next_action
            || self.failure != other.failure
            || self.outcome_unknown_since != other.outcome_unknown_since
    }
}

enum Movement {
    Forward,
    /// Old news.
    Stale,
    Contradiction,
}

/// Whether nothing comes after this status, as far as we know. A failed payment may still be paid.
fn is_final(status: PaymentStatus) -> bool {
    match status {
        PaymentStatus::Succeeded | PaymentStatus::Canceled => true,
        PaymentStatus::Pending
        | PaymentStatus::Processing
        | PaymentStatus::RequiresAction
        | PaymentStatus::RequiresCapture
        | PaymentStatus::Failed => false,
    }
}

fn movement(from: PaymentStatus, to: PaymentStatus) -> Movement {
    use PaymentStatus as S;
    match (from, to) {
        (S::Succeeded, S::Canceled) | (S::Canceled, S::Succeeded) => Movement::Contradiction,
        (S::Succeeded | S::Canceled, _) | (_, S::Pending) => Movement::Stale,
        (
            S::Pending | S::Processing | S::RequiresAction | S::RequiresCapture | S::Failed,
            S::Processing | S::RequiresAction | S::RequiresCapture | S::Succeeded | S::Failed | S::Canceled,
        ) => Movement::Forward,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PaymentStatus as S;

    fn sek(minor: i64) -> Money {
        Money { minor, currency: "sek".parse().expect("a real code") }
    }

    fn payment(status: PaymentStatus) -> Payment {
        let now = Utc::now();
        Payment {
            id: PaymentId::generate(),
            user_id: UserId("u".to_owned()),
            customer_id: CustomerId::generate(),
            provider: ProviderName::Stripe,
            provider_payment_id: (status != S::Pending).then(|| "pi_1".to_owned()),
            status,
            retryable: false,
            money: sek(1_000),
            amount_captured: 0,
            amount_refunded: 0,
            capture_method: CaptureMethod::Automatic,
            description: None,
            statement_descriptor: None,
            payment_method: None,
            return_url: None,
            client_secret: None,
            next_action: None,
            failure: None,
            outcome_unknown_since: None,
            metadata: BTreeMap::new(),
            version: 1,
            created_at: now,
            updated_at: now,
            completed_at: None,
            expires_at: None,
        }
    }

    fn seen(status: PaymentStatus) -> ProviderPayment {
        ProviderPayment {
            id: "pi_1".to_owned(),
            status,
            retryable: status == S::Failed,
            money: sek(1_000),
            amount_captured: if status == S::Succeeded { 1_000 } else { 0 },
            client_secret: None,
            next_action: None,
            failure: None,
        }
    }

    #[test]
    fn every_pair_of_statuses_has_its_rule() {
        for &from in S::ALL {
            for &to in S::ALL {
                let after = payment(from).apply(Evidence::Observed(seen(to)), Utc::now()).map(|p| p.status);
                let expected = match (from, to) {
                    (S::Succeeded, S::Canceled) | (S::Canceled, S::Succeeded) => None,
                    (S::Succeeded | S::Canceled, _) | (_, S::Pending) => Some(from),
                    _ => Some(to),
                };
                assert_eq!(after.ok(), expected, "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn a_failed_payment_that_the_provider_has_as_paid_is_paid() {
        let failed = payment(S::Pending)
            .apply(
                Evidence::Refused(Failure { code: "x".to_owned(), decline_code: None, message: String::new() }),
                Utc::now(),
            )
            .expect("legal");
        assert_eq!((failed.status, failed.retryable), (S::Failed, false));
        let paid = failed.apply(Evidence::Observed(seen(S::Succeeded)), Utc::now()).expect("legal");
        assert_eq!((paid.status, paid.failure.clone(), paid.amount_captured), (S::Succeeded, None, 1_000));
    }

    #[test]
    fn the_answer_of_the_create_call_never_overwrites_newer_news() {
        let after = payment(S::Failed).apply(Evidence::Created(seen(S::RequiresAction)), Utc::now()).expect("legal");
        assert_eq!(after.status, S::Failed);
    }

    #[test]
    fn unknown_is_marked_once_never_failed_and_cleared_by_evidence() {
        let first = Utc::now();
        let unknown = payment(S::Pending).apply(Evidence::OutcomeUnknown, first).expect("legal");
        assert_eq!((unknown.status, unknown.outcome_unknown_since), (S::Pending, Some(first)));
        let again = unknown.apply(Evidence::OutcomeUnknown, Utc::now()).expect("legal");
        assert_eq!(again.outcome_unknown_since, Some(first));
        let known = again.apply(Evidence::Observed(seen(S::Succeeded)), Utc::now()).expect("legal");
        assert_eq!(known.outcome_unknown_since, None);
        let late = known.apply(Evidence::OutcomeUnknown, Utc::now()).expect("legal");
        assert_eq!(late.outcome_unknown_since, None);
    }

    #[test]
    fn another_object_or_another_amount_is_refused() {
        let mut other = seen(S::Succeeded);
        other.id = "pi_2".to_owned();
        assert!(matches!(
            payment(S::Processing).apply(Evidence::Observed(other), Utc::now()),
            Err(IllegalTransition::OtherObject { .. })
        ));
        let mut more = seen(S::Succeeded);
        more.money = sek(2_000);
        assert!(matches!(
            payment(S::Pending).apply(Evidence::Created(more), Utc::now()),
            Err(IllegalTransition::OtherMoney)
        ));
    }
}
