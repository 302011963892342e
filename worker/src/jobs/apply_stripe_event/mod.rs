//! `apply_stripe_event`: applies a stored event to the thing that it is about.
//!
//! Events come twice, late and in any order. A payment's final state cannot be overtaken and is applied as it stands;
//! anything else is read again at Stripe, and applied only if our row is still the version that was read before.
//! What is not ours is put aside under the id of the object that would make it ours, and taken up again if it does.
//!
//! If we crash: nothing is written before the last commit, and reading again does no harm.

mod dispute;
mod invoice;
mod payment;
mod payment_method;
mod refund;

use chrono::Utc;
use sea_orm::{DatabaseTransaction, DbErr};
use shared::domain::customer::Customer;
use shared::domain::dispute::{Dispute, ProviderDispute};
use shared::domain::evidence::Evidence;
use shared::domain::ids::ProviderEventId;
use shared::domain::job::Lease;
use shared::domain::payment::{Payment, ProviderPayment};
use shared::domain::provider_event::ProviderEvent;
use shared::domain::refund::{ProviderRefund, Refund};
use shared::domain::saved_payment_method::{ProviderPaymentMethod, SavedPaymentMethod};
use shared::domain::setup::{ProviderSetup, Setup};
use shared::domain::subscription::{ProviderSubscription, Subscription};
use shared::providers::ProviderError;
use shared::providers::stripe::{Event, ProviderInvoice, Subject};
use shared::store::closing::Closing;
use shared::store::jobs::Ending;
use shared::store::{Saved, customers, payments, provider_events, saved_payment_methods, setups, subscriptions};
use uuid::Uuid;

use crate::context::Context;
use crate::creation::{known_from_now_on, retry};
use crate::jobs::poll_stripe;
use crate::runner::{Job, JobError, Preparation, Recorded};

pub struct ApplyStripeEvent;

pub struct Prepared {
    event: ProviderEvent,
    event_type: String,
    target: Target,
}

/// What of ours the event is about, as it was before Stripe was asked.
enum Target {
    Payment(Payment, Option<Box<ProviderPayment>>, String),
    /// `None`: a refund that was not made through us, of a payment that is ours.
    Refund(Option<Refund>, Payment, String),
    Dispute(Option<Dispute>, Payment, String),
    Subscription(Subscription, String),
    /// Whose it is, only Stripe can say.
    Invoice(String),
    Setup(Setup, String),
    PaymentMethod(Option<SavedPaymentMethod>, String),
    CustomerGone(Customer, String),
    /// Nobody's, as far as we know: the object that would make it ours.
    NotOurs(String),
    Unused,
}

/// What Stripe showed. The inner `None`: it has no such object.
pub enum Seen {
    Payment(Option<ProviderPayment>),
    Refund(Option<ProviderRefund>),
    Dispute(Option<ProviderDispute>),
    Subscription(Option<ProviderSubscription>),
    Invoice(Option<(ProviderInvoice, Vec<ProviderPayment>)>),
    Setup(Option<ProviderSetup>),
    PaymentMethod(Option<ProviderPaymentMethod>),
    Nothing,
}

impl Job for ApplyStripeEvent {
    type Prepared = Prepared;
    type Outcome = Result<Seen, ProviderError>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Preparation<Prepared>, JobError> {
        let id = ProviderEventId(lease.subject_id);
        let event = provider_events::find(txn, id).await?.ok_or(JobError::SubjectGone)?;
        let parsed = match Event::parse(&event.body) {
            Ok(parsed) => parsed,
            Err(unreadable) => {
                tracing::error!(event.id = event.provider_event_id, %unreadable, "an event cannot be read; it is kept");
                return Ok(Preparation::Done(Vec::new(), Some(Closing::unreadable(id, unreadable.to_string()))));
            }
        };
        let mut target = find_target(txn, &parsed.subject).await?;
        if let Target::NotOurs(object) = &target {
            // Whoever is making it ours at this moment is waited for; then it is looked for again.
            provider_events::lock_object(txn, object).await?;
            target = find_target(txn, &parsed.subject).await?;
        }
        match target {
            Target::NotOurs(object) => {
                let detail = format!("{object} is not ours");
                Ok(Preparation::Done(Vec::new(), Some(Closing::ignored(id, detail, Some(object)))))
            }
            Target::Unused => {
                let detail = format!("{} is not used", parsed.event_type);
                Ok(Preparation::Done(Vec::new(), Some(Closing::ignored(id, detail, None))))
            }
            // What is final, in the event or here already, needs no look at Stripe.
            Target::Payment(before, Some(final_state), _) => {
                let changed = payment::record(txn, &News::of(&event, &parsed), &before, *final_state).await?;
                Ok(Preparation::Done(changed, Some(Closing::applied(id, &parsed.event_type))))
            }
            Target::Payment(before, None, object) if payment::is_over(&before, &object) => {
                payment::add_step(txn, &News::of(&event, &parsed), before.id, parsed.event_type.clone()).await?;
                Ok(Preparation::Done(Vec::new(), Some(Closing::applied(id, &parsed.event_type))))
            }
            target => Ok(Preparation::Ready(Prepared { event, event_type: parsed.event_type, target })),
        }
    }

    async fn call(context: &Context, prepared: &Prepared) -> Self::Outcome {
        let stripe = &context.stripe;
        match &prepared.target {
            Target::Payment(_, _, id) => stripe.fetch_payment(id).await.map(Seen::Payment),
            Target::Refund(_, _, id) => stripe.fetch_refund(id).await.map(Seen::Refund),
            Target::Dispute(_, _, id) => stripe.fetch_dispute(id).await.map(Seen::Dispute),
            Target::Subscription(_, id) => stripe.fetch_subscription(id).await.map(Seen::Subscription),
            Target::Invoice(id) => invoice::fetch(stripe, id).await.map(Seen::Invoice),
            Target::Setup(_, id) => stripe.fetch_setup(id).await.map(Seen::Setup),
            Target::PaymentMethod(_, id) => stripe.fetch_payment_method(id).await.map(Seen::PaymentMethod),
            Target::CustomerGone(..) | Target::NotOurs(_) | Target::Unused => Ok(Seen::Nothing),
        }
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        prepared: Prepared,
        outcome: Self::Outcome,
    ) -> Result<Recorded, JobError> {
        let seen = match outcome {
            Ok(seen) => seen,
            Err(error) => return Ok(Recorded::new(retry(lease, &error), Vec::new())),
        };
        let Prepared { event, event_type, target } = prepared;
        let news = News { event: &event, event_type: &event_type };
        let applied = match (target, seen) {
            (Target::Payment(before, _, _), Seen::Payment(Some(seen))) => {
                Applied::Changed(payment::record(txn, &news, &before, seen).await?)
            }
            (Target::Refund(before, payment, _), Seen::Refund(Some(seen))) => {
                Applied::Changed(refund::record(txn, &news, before, &payment, seen).await?)
            }
            (Target::Dispute(before, payment, _), Seen::Dispute(Some(seen))) => {
                Applied::Changed(dispute::record(txn, &news, before, &payment, seen).await?)
            }
            (Target::Subscription(before, _), Seen::Subscription(Some(seen))) => {
                Applied::Changed(record_subscription(txn, &before, seen).await?)
            }
            (Target::Invoice(_), Seen::Invoice(Some((invoice, seen)))) => {
                invoice::record(txn, &news, &invoice, seen).await?
            }
            (Target::Setup(before, _), Seen::Setup(Some(seen))) => {
                Applied::Changed(record_setup(txn, &before, seen).await?)
            }
            (Target::PaymentMethod(before, _), Seen::PaymentMethod(seen)) => {
                payment_method::record(txn, before, seen).await?
            }
            (Target::CustomerGone(customer, stripe_id), _) => {
                customers::forget_stripe_customer(txn, customer.id, &stripe_id).await?;
                saved_payment_methods::remove_all(txn, customer.id).await?;
                Applied::Changed(vec![customer.id.0])
            }
            // Stripe told us of an object that our key does not show: a key of another account, most likely.
            _ => {
                let error = format!("Stripe does not show what {event_type} is about: is the API key of this account?");
                let ending = Ending::Retry { delay: crate::runner::retry_delay(lease), error };
                return Ok(Recorded::new(ending, Vec::new()));
            }
        };
        let (changed, closes) = match applied {
            Applied::Changed(changed) => (changed, Closing::applied(event.id, &event_type)),
            Applied::NotOurs(detail, object) => (Vec::new(), Closing::ignored(event.id, detail, object)),
        };
        Ok(Recorded::new(Ending::Done, changed).closing(closes))
    }
}

/// What came of an event.
enum Applied {
    /// The ids of what changed.
    Changed(Vec<Uuid>),
    /// What it is about is not ours, in words; the object that would make it ours.
    NotOurs(String, Option<String>),
}

/// The event, for those who write what it says.
struct News<'a> {
    event: &'a ProviderEvent,
    event_type: &'a str,
}

impl<'a> News<'a> {
    fn of(event: &'a ProviderEvent, parsed: &'a Event) -> Self {
        Self { event, event_type: &parsed.event_type }
    }
}

async fn find_target(txn: &DatabaseTransaction, subject: &Subject) -> Result<Target, JobError> {
    Ok(match subject {
        Subject::Payment { provider_payment_id, payment_id, final_state } => {
            let payment = match named(*payment_id, |id| payments::find_for_job(txn, id)).await? {
                Some(found) => Some(found),
                None => payments::find_by_provider_id(txn, provider_payment_id).await?,
            };
            match payment {
                Some(payment) => Target::Payment(payment, final_state.clone(), provider_payment_id.clone()),
                None => Target::NotOurs(provider_payment_id.clone()),
            }
        }
        Subject::Refund { provider_refund_id: id, provider_payment_id, refund_id } => {
            refund::find(txn, id, provider_payment_id.as_deref(), *refund_id).await?
        }
        Subject::Dispute { provider_dispute_id: id, provider_payment_id } => {
            dispute::find(txn, id, provider_payment_id.as_deref()).await?
        }
        Subject::Subscription { provider_subscription_id: id, subscription_id } => {
            let found = match named(*subscription_id, |id| subscriptions::find_for_job(txn, id)).await? {
                Some(found) => Some(found),
                None => subscriptions::find_by_provider_id(txn, id).await?,
            };
            found.map_or_else(|| Target::NotOurs(id.clone()), |found| Target::Subscription(found, id.clone()))
        }
        Subject::Invoice { provider_invoice_id } => Target::Invoice(provider_invoice_id.clone()),
        Subject::Setup { provider_setup_id: id, setup_id } => {
            let found = match named(*setup_id, |id| setups::find_for_job(txn, id)).await? {
                Some(found) => Some(found),
                None => setups::find_by_provider_id(txn, id).await?,
            };
            found.map_or_else(|| Target::NotOurs(id.clone()), |found| Target::Setup(found, id.clone()))
        }
        Subject::PaymentMethod { provider_payment_method_id: id } => {
            Target::PaymentMethod(saved_payment_methods::find_by_provider_id(txn, id).await?, id.clone())
        }
        Subject::CustomerDeleted { provider_customer_id: id } => {
            let found = customers::find_by_stripe_id(txn, id).await?;
            found.map_or_else(|| Target::NotOurs(id.clone()), |found| Target::CustomerGone(found, id.clone()))
        }
        Subject::Unused => Target::Unused,
    })
}

/// The thing that the metadata name by our id. The name may be another program's: then there is none.
async fn named<I, T, F>(id: Option<I>, find: impl FnOnce(I) -> F) -> Result<Option<T>, DbErr>
where
    F: Future<Output = Result<Option<T>, DbErr>>,
{
    match id {
        Some(id) => find(id).await,
        None => Ok(None),
    }
}

async fn record_subscription(
    txn: &DatabaseTransaction,
    before: &Subscription,
    seen: ProviderSubscription,
) -> Result<Vec<Uuid>, JobError> {
    let after = before.apply(Evidence::Observed(seen), Utc::now())?;
    // Also where nothing changed: it is news, and what was read before it is old from now on.
    if subscriptions::save(txn, before, &after).await? == Saved::Stale {
        return Err(JobError::Stale);
    }
    let known = after.provider_subscription_id.as_deref();
    known_from_now_on(txn, before.provider_subscription_id.as_deref(), known).await?;
    if before.provider_subscription_id.is_none() && poll_stripe::subscription_waits(after.status) {
        poll_stripe::poll_from_now_on(txn, after.id.0).await?;
    }
    Ok(vec![before.id.0])
}

async fn record_setup(txn: &DatabaseTransaction, before: &Setup, seen: ProviderSetup) -> Result<Vec<Uuid>, JobError> {
    let after = before.apply(Evidence::Observed(seen))?;
    match setups::save(txn, before, &after).await? {
        Saved::Saved => Ok(vec![before.id.0]),
        Saved::Stale => Err(JobError::Stale),
    }
}
