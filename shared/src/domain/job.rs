//! Jobs: their kinds and lanes by explicit name (never a Rust type name), and when a failed one runs again.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::ids::JobId;
use super::payment::ProviderName;
use crate::trace::Trace;

names! {
    /// Lanes are separate queues, so that one cannot starve another and each is scaled alone. Each provider has its own:
    /// one that is slow takes no worker away from the other.
    Lane {
        /// Calls to Stripe that a user waits for.
        StripePayments = "stripe_payments",
        /// What Stripe tells us, and what we ask it in case it did not.
        StripeWebhooks = "stripe_webhooks",
        SwishPayments = "swish_payments",
        SwishWebhooks = "swish_webhooks",
    }
}

impl std::str::FromStr for Lane {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = || Self::ALL.iter().map(|lane| lane.as_str()).collect::<Vec<_>>().join(", ");
        Self::parse(text).ok_or_else(|| format!("`{text}` is not a lane ({})", names()))
    }
}

names! {
    JobKind {
        /// Subject: a payment. Creates it at its provider.
        CreatePayment = "create_payment",
        /// Subject: a payment. Carries out its last operation: capture or cancel.
        ChangePayment = "change_payment",
        /// Subject: a refund. Creates it at its provider.
        CreateRefund = "create_refund",
        /// Subject: a subscription. Creates it at its provider.
        CreateSubscription = "create_subscription",
        /// Subject: a subscription. Carries out its last operation: update or cancel.
        ChangeSubscription = "change_subscription",
        /// Subject: a setup. Creates it at its provider.
        CreateSetup = "create_setup",
        /// Subject: a customer. Tells the provider what we know of it.
        UpdateCustomer = "update_customer",
        /// Subject: a saved payment method. Detaches it from its customer at the provider.
        RemovePaymentMethod = "remove_payment_method",
        /// Subject: a dispute. Carries out its last operation: submit evidence or accept.
        ChangeDispute = "change_dispute",
        /// Subject: a provider event. Applies it to what it is about.
        ApplyStripeEvent = "apply_stripe_event",
        /// Subject: a provider event. Reads what it is about at Swish.
        ApplySwishCallback = "apply_swish_callback",
        /// Subject: a payment, a refund or a subscription at Stripe that waits. Reads it, now and then, until it does not.
        PollStripe = "poll_stripe",
        /// Subject: a payment or a refund at Swish. Reads it until it has ended.
        PollSwish = "poll_swish",
        /// No subject. Reads the feed of Stripe's events for those that no webhook told. One only, which never ends.
        SweepStripeEvents = "sweep_stripe_events",
    }
}

impl JobKind {
    /// The job that a provider's event makes.
    #[must_use]
    pub fn for_event_of(provider: ProviderName) -> Self {
        match provider {
            ProviderName::Stripe => Self::ApplyStripeEvent,
            ProviderName::Swish => Self::ApplySwishCallback,
        }
    }

    /// Whether it follows what a provider says, rather than what a user asks for.
    fn is_news(self) -> bool {
        match self {
            Self::CreatePayment
            | Self::ChangePayment
            | Self::CreateRefund
            | Self::CreateSubscription
            | Self::ChangeSubscription
            | Self::CreateSetup
            | Self::UpdateCustomer
            | Self::RemovePaymentMethod
            | Self::ChangeDispute => false,
            Self::ApplyStripeEvent
            | Self::ApplySwishCallback
            | Self::PollStripe
            | Self::PollSwish
            | Self::SweepStripeEvents => true,
        }
    }

    /// The lane of such a job, at the provider that it calls.
    #[must_use]
    pub fn lane(self, provider: ProviderName) -> Lane {
        match (provider, self.is_news()) {
            (ProviderName::Stripe, false) => Lane::StripePayments,
            (ProviderName::Stripe, true) => Lane::StripeWebhooks,
            (ProviderName::Swish, false) => Lane::SwishPayments,
            (ProviderName::Swish, true) => Lane::SwishWebhooks,
        }
    }
}

/// With the delays below, some five hours on average before a job is dead.
pub const MAX_ATTEMPTS: i32 = 30;
const BACKOFF_BASE: Duration = Duration::from_millis(500);
const BACKOFF_CAP: Duration = Duration::from_secs(30 * 60);

/// The right to work on a job until `leased_until`. `attempts` is the fencing token: whoever leases later has a larger one.
#[derive(Debug, Clone)]
pub struct Lease {
    pub job_id: JobId,
    pub kind: String,
    pub lane: String,
    /// Who holds it.
    pub worker: String,
    pub subject_id: uuid::Uuid,
    pub attempts: i32,
    pub max_attempts: i32,
    /// When the job was made, by Postgres' clock.
    pub created_at: DateTime<Utc>,
    /// What made it, for the logs.
    pub trace: Option<Trace>,
}

impl Lease {
    /// The tries that count: those that did not come back through no fault of the job.
    #[must_use]
    pub fn spent(&self) -> i32 {
        self.attempts - (self.max_attempts - MAX_ATTEMPTS).max(0)
    }
}

/// Exponential backoff with full jitter: anywhere between nothing and `0.5 s × 2^attempts`, at most half an hour.
/// `random` is a number in 0..=u32::MAX, so that the rule stays pure.
#[must_use]
pub fn backoff(attempts: i32, random: u32) -> Duration {
    let doublings = u32::try_from(attempts.max(0)).unwrap_or(0).min(16);
    let ceiling = BACKOFF_BASE.saturating_mul(1 << doublings).min(BACKOFF_CAP);
    let millis = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis((u128::from(millis) * u128::from(random) / u128::from(u32::MAX)).try_into().unwrap_or(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_back_through_no_fault_of_its_own_does_not_count() {
        let lease = |attempts, max_attempts| Lease {
            job_id: JobId::generate(),
            kind: String::new(),
            lane: String::new(),
            worker: String::new(),
            subject_id: uuid::Uuid::nil(),
            attempts,
            max_attempts,
            created_at: DateTime::UNIX_EPOCH,
            trace: None,
        };
        assert_eq!(lease(3, MAX_ATTEMPTS).spent(), 3);
        // Thirteen runs, seven of which a breaker stopped.
        assert_eq!(lease(13, MAX_ATTEMPTS + 7).spent(), 6);
        // A person had it run again, with as many attempts as a new one.
        assert_eq!(lease(31, 30 + MAX_ATTEMPTS).spent(), 1);
    }

    #[test]
    fn backoff_doubles_up_to_its_cap_and_spreads_over_the_whole_range() {
        assert_eq!(backoff(1, u32::MAX), Duration::from_secs(1));
        assert_eq!(backoff(4, u32::MAX), Duration::from_secs(8));
        assert_eq!(backoff(30, u32::MAX), BACKOFF_CAP);
        assert_eq!(backoff(i32::MAX, u32::MAX), BACKOFF_CAP);
        assert_eq!(backoff(4, 0), Duration::ZERO);
        assert_eq!(backoff(4, u32::MAX / 2), Duration::from_millis(3_999));
    }
}
