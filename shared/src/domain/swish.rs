//! What only a Swish payment has.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwishDetails {
    /// The payer's number, digits with the country code. Without one, whoever has the token can pay; then it is known
    /// once they have.
    pub payer_alias: Option<String>,
    /// What the payer reads.
    pub message: Option<String>,
    /// The least age of the payer, in years.
    pub age_limit: Option<u8>,
    /// The bank's reference of the payment, which refunds name. Known once it is paid.
    pub payment_reference: Option<String>,
}

impl SwishDetails {
    /// With what the provider has shown besides.
    #[must_use]
    pub fn with(&self, seen: &Self) -> Self {
        let mut next = self.clone();
        next.payer_alias = next.payer_alias.or_else(|| seen.payer_alias.clone());
        next.payment_reference = next.payment_reference.or_else(|| seen.payment_reference.clone());
        next
    }
}
