//! A payment method that a customer has saved. Its id is the provider's own (`pm_…`): it is what is paid with.

use chrono::{DateTime, Utc};

use super::ids::{CustomerId, UserId};
use super::transitions::Transitions;

names! {
    SavedPaymentMethodStatus {
        /// It can be paid with.
        Saved = "saved",
        /// It is being removed: nothing new is paid with it.
        Removing = "removing",
        /// It is gone, and cannot come back under this id.
        Removed = "removed",
    }
}

impl Transitions for SavedPaymentMethodStatus {
    const TABLE: &'static [(Self, &'static [Self])] =
        &[(Self::Saved, &[Self::Removing, Self::Removed]), (Self::Removing, &[Self::Removed]), (Self::Removed, &[])];
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedPaymentMethod {
    /// For jobs, whose subjects are UUIDs. Everybody else knows `id`.
    pub row_id: uuid::Uuid,
    pub id: String,
    pub user_id: UserId,
    pub customer_id: CustomerId,
    pub status: SavedPaymentMethodStatus,
    pub card: Card,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What may be shown of it. Other kinds than cards have a `kind` only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Card {
    /// `card`, `sepa_debit`, …
    pub kind: String,
    pub brand: Option<String>,
    pub last4: Option<String>,
    pub exp_month: Option<i32>,
    pub exp_year: Option<i32>,
}

/// A payment method as the provider describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderPaymentMethod {
    pub id: String,
    /// The provider's id of the customer who has saved it. `None`: nobody, or nobody any more.
    pub provider_customer_id: Option<String>,
    pub card: Card,
}
