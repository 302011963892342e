//! A setup: a payment method is being saved for later, without taking money.

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use super::evidence::{Evidence, Failure, IllegalTransition, same_object};
use super::ids::{CustomerId, SetupId, UserId};
use super::payment::ProviderName;
use super::transitions::{Movement, Transitions, movement};

names! {
    SetupStatus {
        /// Accepted; the provider has not answered yet.
        Pending = "pending",
        /// The payer is to give a payment method: confirm with `client_secret`.
        RequiresPaymentMethod = "requires_payment_method",
        /// The payer is to authenticate.
        RequiresAction = "requires_action",
        Processing = "processing",
        /// The payment method is saved.
        Succeeded = "succeeded",
        Canceled = "canceled",
        /// The provider refused to begin.
        Failed = "failed",
    }
}

impl Transitions for SetupStatus {
    const TABLE: &'static [(Self, &'static [Self])] = &[
        (
            Self::Pending,
            &[
                Self::RequiresPaymentMethod,
                Self::RequiresAction,
                Self::Processing,
                Self::Succeeded,
                Self::Canceled,
                Self::Failed,
            ],
        ),
        (Self::RequiresPaymentMethod, &[Self::RequiresAction, Self::Processing, Self::Succeeded, Self::Canceled]),
        (Self::RequiresAction, &[Self::RequiresPaymentMethod, Self::Processing, Self::Succeeded, Self::Canceled]),
        (Self::Processing, &[Self::RequiresPaymentMethod, Self::RequiresAction, Self::Succeeded, Self::Canceled]),
        // What we took for refused may turn out to have been made.
        (
            Self::Failed,
            &[Self::RequiresPaymentMethod, Self::RequiresAction, Self::Processing, Self::Succeeded, Self::Canceled],
        ),
        (Self::Succeeded, &[]),
        (Self::Canceled, &[]),
    ];
}

#[derive(Debug, Clone)]
pub struct Setup {
    pub id: SetupId,
    pub user_id: UserId,
    pub customer_id: CustomerId,
    pub provider: ProviderName,
    pub provider_setup_id: Option<String>,
    pub status: SetupStatus,
    pub client_secret: Option<SecretString>,
    /// The payment method that is saved, once it is.
    pub payment_method: Option<String>,
    /// Of the last attempt.
    pub failure: Option<Failure>,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A setup as the provider describes it.
#[derive(Debug, Clone)]
pub struct ProviderSetup {
    pub id: String,
    pub status: SetupStatus,
    pub client_secret: Option<SecretString>,
    pub payment_method: Option<String>,
    pub failure: Option<Failure>,
}

impl Setup {
    /// The setup after `evidence`. Old or repeated evidence gives it back as it was.
    ///
    /// # Errors
    /// Evidence that contradicts what is known.
    pub fn apply(&self, evidence: Evidence<ProviderSetup>) -> Result<Self, IllegalTransition> {
        let mut next = self.clone();
        match evidence {
            Evidence::Created(seen) if self.status != SetupStatus::Pending => {
                same_object(self.provider_setup_id.as_ref(), &seen.id)?;
                next.provider_setup_id = Some(seen.id);
                next.client_secret = next.client_secret.or(seen.client_secret);
            }
            Evidence::Created(seen) | Evidence::Observed(seen) => return self.observe(seen),
            Evidence::Refused(failure) if self.status == SetupStatus::Pending => {
                next.status = SetupStatus::Failed;
                next.failure = Some(failure);
            }
            // No money can have moved: there is nothing to warn of.
            Evidence::Refused(_) | Evidence::OutcomeUnknown => {}
        }
        Ok(next)
    }

    fn observe(&self, seen: ProviderSetup) -> Result<Self, IllegalTransition> {
        same_object(self.provider_setup_id.as_ref(), &seen.id)?;
        match movement(self.status, seen.status) {
            Movement::Stale => return Ok(self.clone()),
            Movement::Contradiction => {
                return Err(IllegalTransition::Status { from: self.status.as_str(), to: seen.status.as_str() });
            }
            Movement::Same | Movement::Forward => {}
        }
        let mut next = self.clone();
        next.provider_setup_id = Some(seen.id);
        next.status = seen.status;
        next.client_secret = seen.client_secret.or(next.client_secret);
        next.payment_method = seen.payment_method;
        next.failure = seen.failure;
        Ok(next)
    }

    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        self.status != other.status
            || self.provider_setup_id != other.provider_setup_id
            || self.client_secret.is_some() != other.client_secret.is_some()
            || self.payment_method != other.payment_method
            || self.failure != other.failure
    }
}
