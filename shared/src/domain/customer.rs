//! A customer: the user of a token, as the providers know them.

use chrono::{DateTime, Utc};

use super::ids::{CustomerId, UserId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub id: CustomerId,
    pub user_id: UserId,
    pub email: Option<String>,
    pub name: Option<String>,
    /// Set by the first payment that reached Stripe.
    pub stripe_customer_id: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}
