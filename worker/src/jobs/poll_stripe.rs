//! `poll_stripe`: reads at Stripe what waits for longer than is usual, in case that neither a webhook nor the feed of events
//! told what became of it.
//!
//! If we crash: it is read again.

use std::time::Duration;

use chrono::Utc;
use sea_orm::{DatabaseTransaction, DbErr};
use shared::domain::evidence::Evidence;
use shared::domain::ids::{PaymentId, RefundId, SubscriptionId};
use shared::domain::job::{JobKind, Lease};
use shared::domain::payment::{Payment, PaymentStatus, ProviderName, ProviderPayment};
use shared::domain::refund::{ProviderRefund, Refund, RefundStatus};
use shared::domain::subscription::{ProviderSubscription, Subscription, SubscriptionStatus};
use shared::domain::timeline::{Actor, Step};
use shared::providers::ProviderError;
use shared::store::jobs::Ending;
use shared::store::{Saved, jobs, payments, refunds, subscriptions};
use uuid::Uuid;

use crate::context::Context;
use crate::runner::{Job, JobError, Preparation, Recorded, spread};

const NAME: &str = "poll_stripe";
/// By then a webhook has told, and if it was lost, the feed.
const FIRST: Duration = Duration::from_secs(3_600);
const MOST: Duration = Duration::from_secs(24 * 3_600);
/// Events are not kept for longer.
const HORIZON: Duration = Duration::from_secs(30 * 24 * 3_600);

pub struct PollStripe;

/// Something that waits, as it was before Stripe was asked, and its id there.
pub enum Target {
    Payment(Box<Payment>, String),
    Refund(Box<Refund>, String),
    Subscription(Box<Subscription>, String),
}

/// What Stripe showed. `None`: it has no such object.
pub enum Seen {
    Payment(Option<ProviderPayment>),
    Refund(Option<ProviderRefund>),
    Subscription(Option<ProviderSubscription>),
}

/// Has what was just made looked at until it does not wait any more.
///
/// # Errors
/// The database's own.
pub async fn poll_from_now_on(txn: &DatabaseTransaction, subject: Uuid) -> Result<(), DbErr> {
    jobs::enqueue_later(txn, JobKind::PollStripe, ProviderName::Stripe, subject, FIRST).await
}

#[must_use]
pub fn payment_waits(status: PaymentStatus) -> bool {
    matches!(status, PaymentStatus::Processing | PaymentStatus::RequiresAction | PaymentStatus::RequiresCapture)
}

#[must_use]
pub fn refund_waits(status: RefundStatus) -> bool {
    matches!(status, RefundStatus::Pending | RefundStatus::Processing | RefundStatus::RequiresAction)
}

#[must_use]
pub fn subscription_waits(status: SubscriptionStatus) -> bool {
    status == SubscriptionStatus::Incomplete
}

impl Target {
    /// `None`: it does not wait, or is not at Stripe.
    async fn find(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<Self>, JobError> {
        if let Some(payment) = payments::find_for_job(txn, PaymentId(id)).await? {
            let at_stripe = payment.provider_payment_id.clone().filter(|_| payment.provider == ProviderName::Stripe);
            let waits = at_stripe.filter(|_| payment_waits(payment.status));
            return Ok(waits.map(|id| Self::Payment(Box::new(payment), id)));
        }
        if let Some(refund) = refunds::find_for_job(txn, RefundId(id)).await? {
            let at_stripe = refund.provider_refund_id.clone().filter(|_| refund.provider == ProviderName::Stripe);
            let waits = at_stripe.filter(|_| refund_waits(refund.status));
            return Ok(waits.map(|id| Self::Refund(Box::new(refund), id)));
        }
        let Some(subscription) = subscriptions::find_for_job(txn, SubscriptionId(id)).await? else { return Ok(None) };
        let waits = subscription.provider_subscription_id.clone().filter(|_| subscription_waits(subscription.status));
        Ok(waits.map(|id| Self::Subscription(Box::new(subscription), id)))
    }

    fn waits_for_a_payer(&self) -> bool {
        match self {
            Self::Payment(payment, _) => payment.status != PaymentStatus::Processing,
            Self::Refund(..) => false,
            Self::Subscription(..) => true,
        }
    }
}

impl Job for PollStripe {
    type Prepared = Target;
    type Outcome = Result<Seen, ProviderError>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Preparation<Target>, JobError> {
        Ok(Target::find(txn, lease.subject_id).await?.map_or(Preparation::Done(Vec::new(), None), Preparation::Ready))
    }

    async fn call(context: &Context, target: &Target) -> Self::Outcome {
        match target {
            Target::Payment(_, id) => context.stripe.fetch_payment(id).await.map(Seen::Payment),
            Target::Refund(_, id) => context.stripe.fetch_refund(id).await.map(Seen::Refund),
            Target::Subscription(_, id) => context.stripe.fetch_subscription(id).await.map(Seen::Subscription),
        }
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        target: Target,
        outcome: Self::Outcome,
    ) -> Result<Recorded, JobError> {
        let age = Utc::now().signed_duration_since(lease.created_at).to_std().unwrap_or_default();
        // Asking spends nothing: this is the net under what was lost, and must not wear out.
        let patient = target.waits_for_a_payer();
        let again = |error: Option<String>| {
            if age <= HORIZON {
                Ending::Snooze { delay: spread((age / 3).clamp(FIRST, MOST)), error }
            } else if patient && error.is_none() {
                // Who has not come by now does not come any more.
                Ending::Done
            } else {
                Ending::Dead { error: error.unwrap_or_else(|| "still open at Stripe".to_owned()) }
            }
        };
        let changed = match outcome {
            Err(error) => return Ok(Recorded::new(again(Some(error.chain())), Vec::new())),
            Ok(seen) => match (target, seen) {
                (Target::Payment(before, _), Seen::Payment(Some(seen))) => write_payment(txn, &before, seen).await?,
                (Target::Refund(before, _), Seen::Refund(Some(seen))) => write_refund(txn, &before, seen).await?,
                (Target::Subscription(before, _), Seen::Subscription(Some(seen))) => {
                    write_subscription(txn, &before, seen).await?
                }
                _ => {
                    let error = "Stripe does not show what it made: is the API key of this account?".to_owned();
                    return Ok(Recorded::new(again(Some(error)), Vec::new()));
                }
            },
        };
        if !changed.is_empty() {
            tracing::warn!("no webhook has told, nor has the feed: found by asking");
        }
        let ending = if Target::find(txn, lease.subject_id).await?.is_some() { again(None) } else { Ending::Done };
        Ok(Recorded::new(ending, changed))
    }
}

/// Gives what changed; nothing, mostly.
async fn write_payment(
    txn: &DatabaseTransaction,
    before: &Payment,
    seen: ProviderPayment,
) -> Result<Vec<Uuid>, JobError> {
    let after = before.apply(Evidence::Observed(seen), Utc::now())?;
    if !after.differs_from(before) {
        return Ok(Vec::new());
    }
    match payments::save(txn, before, &after, &step(format!("Stripe: {}", after.status.as_str()))).await? {
        Saved::Saved => Ok(vec![before.id.0]),
        Saved::Stale => Err(JobError::Stale),
    }
}

async fn write_refund(txn: &DatabaseTransaction, before: &Refund, seen: ProviderRefund) -> Result<Vec<Uuid>, JobError> {
    let after = before.apply(Evidence::Observed(seen), Utc::now())?;
    if !after.differs_from(before) {
        return Ok(Vec::new());
    }
    if refunds::save(txn, before, &after).await? == Saved::Stale {
        return Err(JobError::Stale);
    }
    let step = step(format!("Stripe: refund {} is {}", before.id, after.status.as_str()));
    payments::add_step(txn, before.payment_id, &step).await?;
    Ok(vec![before.id.0, before.payment_id.0])
}

async fn write_subscription(
    txn: &DatabaseTransaction,
    before: &Subscription,
    seen: ProviderSubscription,
) -> Result<Vec<Uuid>, JobError> {
    let after = before.apply(Evidence::Observed(seen), Utc::now())?;
    if !after.differs_from(before) {
        return Ok(Vec::new());
    }
    match subscriptions::save(txn, before, &after).await? {
        Saved::Saved => Ok(vec![before.id.0]),
        Saved::Stale => Err(JobError::Stale),
    }
}

fn step(detail: String) -> Step {
    Step { actor: Actor::Job, cause: NAME.to_owned(), detail }
}
