//! The ids. Each is a UUID v7 of our own, so that ids sort by the time they were made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// A payment.
    PaymentId
}
id! {
    /// A refund of a payment.
    RefundId
}
id! {
    /// A subscription.
    SubscriptionId
}
id! {
    /// A setup: a payment method being saved.
    SetupId
}
id! {
    /// A dispute over a payment.
    DisputeId
}
id! {
    /// A customer: one for each user.
    CustomerId
}
id! {
    /// A job.
    JobId
}
id! {
    /// An attempt: its text is the idempotency key that the provider sees.
    AttemptId
}
id! {
    /// An event of a provider, as stored in the inbox.
    ProviderEventId
}

/// The owner of everything: the `sub` of the token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId(pub String);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
