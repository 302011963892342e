//! `apply_stripe_event`: applies a stored event to the payment that it is about.
//!
//! Events come twice, late and in any order. A final state cannot be overtaken and is applied as it stands; for any
//! other the PaymentIntent is read again, and applied only if the payment is still the version that was read before.
//!
//! If we crash: nothing is written before the last commit, and reading again does no harm.

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::ids::ProviderEventId;
use shared::domain::job::Lease;
use shared::domain::payment::{Evidence, Payment, ProviderPayment};
use shared::domain::provider_event::{EventOutcome, ProviderEvent};
use shared::domain::timeline::{Actor, Step};
use shared::providers::ProviderError;
use shared::providers::stripe::{Event, PaymentNews};
use shared::store::jobs::Ending;
use shared::store::payments::Saved;
use shared::store::{payments, provider_events};

use crate::context::Context;
use crate::runner::{Job, JobError, Recorded, retry_delay};

pub struct ApplyStripeEvent;

pub struct Prepared {
    event: ProviderEvent,
    payment: Payment,
    news: PaymentNews,
}

impl Job for ApplyStripeEvent {
    type Prepared = Prepared;
    type Outcome = Result<Option<ProviderPayment>, ProviderError>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Option<Prepared>, JobError> {
        let id = ProviderEventId(lease.subject_id);
        let event = provider_events::find_for_job(txn, id).await?.ok_or(JobError::SubjectGone)?;
        let (outcome, detail) = match Event::parse(&event.body) {
            Err(unreadable) => {
                tracing::error!(event.id = event.provider_event_id, %unreadable, "an event cannot be read; it is kept");
                (EventOutcome::Unreadable, unreadable.to_string())
            }
            Ok(Event::Other(name)) => (EventOutcome::Ignored, format!("{name} is not used")),
            Ok(Event::Payment(news)) => {
                let payment = match news.payment_id {
                    Some(payment_id) => payments::find_for_job(txn, payment_id).await?,
                    None => None,
                };
                match payment {
                    Some(payment) => return Ok(Some(Prepared { event, payment, news: *news })),
                    None => (EventOutcome::Ignored, format!("{} is not ours", news.provider_payment_id)),
                }
            }
        };
        provider_events::settle(txn, id, outcome, &detail).await?;
        Ok(None)
    }

    async fn call(context: &Context, prepared: &Prepared) -> Self::Outcome {
        match &prepared.news.final_state {
            Some(seen) => Ok(Some(seen.clone())),
            None => context.stripe.fetch_payment(&prepared.news.provider_payment_id).await,
        }
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        prepared: Prepared,
        outcome: Self::Outcome,
    ) -> Result<Recorded, JobError> {
        let Prepared { event, payment: before, news } = prepared;
        let seen = match outcome {
            Ok(Some(seen)) => seen,
            Ok(None) => {
                let detail = format!("Stripe has no {}", news.provider_payment_id);
                provider_events::settle(txn, event.id, EventOutcome::Ignored, &detail).await?;
                return Ok(Recorded { ending: Ending::Done, changed: None });
            }
            Err(error) => {
                let ending = Ending::Retry { delay: retry_delay(lease), error: error.chain() };
                return Ok(Recorded { ending, changed: None });
            }
        };
        let after = before.apply(Evidence::Observed(seen), Utc::now())?;
        let changed = after.differs_from(&before);
        if changed && payments::save(txn, &before, &after).await? == Saved::Stale {
            return Err(JobError::Stale);
        }
        let step = Step {
            status: after.status,
            actor: Actor::Webhook,
            cause: event.provider_event_id.clone(),
            detail: news.event_type.clone(),
        };
        payments::add_step(txn, before.id, &step).await?;
        provider_events::settle(txn, event.id, EventOutcome::Applied, &news.event_type).await?;
        Ok(Recorded { ending: Ending::Done, changed: changed.then_some(before.id) })
    }
}
