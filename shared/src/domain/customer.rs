//! A customer: the user of a token, as the providers know them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::ids::{CustomerId, UserId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub id: CustomerId,
    pub user_id: UserId,
    pub email: Option<String>,
    pub name: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Keys of metadata that were removed and that Stripe may still have.
    pub removed_metadata: BTreeSet<String>,
    /// Set by the first job that needed one at Stripe; empty again when it was deleted there.
    pub stripe_customer_id: Option<String>,
    /// How many Stripe customers this one has had or given up making. Part of the key that the next one is made under.
    pub stripe_generation: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Customer {
    /// With these metadata instead.
    #[must_use]
    pub fn with_metadata(mut self, metadata: BTreeMap<String, String>) -> Self {
        self.removed_metadata.extend(self.metadata.into_keys());
        self.removed_metadata.retain(|key| !metadata.contains_key(key));
        self.metadata = metadata;
        self
    }
}
