//! What all jobs share that create something at a provider: at Stripe its customer first, one key, what an answer teaches.
//!
//! If we crash: before the call, nothing was sent. During or after it, the next run sends the same request under the
//! same key and Stripe answers as it did the first time; past the life of the key it is looked up instead. An event
//! that settles the thing meanwhile leaves the job nothing to do.

use std::time::Duration;

use sea_orm::{DatabaseTransaction, DbErr};
use shared::domain::customer::Customer;
use shared::domain::evidence::{Evidence, Failure};
use shared::domain::ids::CustomerId;
use shared::domain::job::{JobKind, Lease};
use shared::domain::payment::ProviderName;
use shared::providers::stripe::{Answer, KEY_LIFETIME};
use shared::providers::swish::STILL_ON_ITS_WAY;
use shared::providers::{CallError, ProviderError};
use shared::store::attempts::{self, Attempt, AttemptOutcome};
use shared::store::closing::Closing;
use shared::store::jobs::{self, Ending};
use shared::store::{customers, provider_events};
use uuid::Uuid;

use crate::context::Context;
use crate::runner::{Job, JobError, Preparation, Recorded, retry_delay, snooze_delay};

/// When a refusal is looked at once more, all the same.
const LAST_LOOK: Duration = Duration::from_secs(6 * 60);

/// A job that creates something at a provider.
pub trait Creation {
    /// The name of the job.
    const NAME: &'static str;
    type Subject: Send + Sync;
    /// The thing as Stripe describes it.
    type Seen: Send + Sync;

    /// The subject, while it is still to be created.
    fn load(
        txn: &DatabaseTransaction,
        id: Uuid,
    ) -> impl Future<Output = Result<Option<Self::Subject>, JobError>> + Send;

    /// Who creates it.
    fn provider(_: &Self::Subject) -> ProviderName {
        ProviderName::Stripe
    }

    /// Whether nothing came of what was found and nothing can, though it is still wanted: it gets another key.
    fn is_void(_: &Self::Subject, _: &Self::Seen) -> bool {
        false
    }

    /// Whose Stripe customer it is made for; `None` where it needs none.
    fn customer(subject: &Self::Subject) -> Option<CustomerId>;

    fn send(
        context: &Context,
        subject: &Self::Subject,
        stripe_customer_id: &str,
        key: &str,
    ) -> impl Future<Output = Result<Answer<Self::Seen>, ProviderError>> + Send;

    /// Looks for it by our id, or by the key.
    fn find(
        context: &Context,
        subject: &Self::Subject,
        stripe_customer_id: &str,
        key: &str,
    ) -> impl Future<Output = Result<Option<Self::Seen>, ProviderError>> + Send;

    /// For people, after the name of the provider: what an answer says.
    fn describe(seen: &Self::Seen) -> String;

    /// Reads it again, applies the evidence (`None`: nothing was learnt), writes it and the step. Gives what changed.
    fn apply(
        txn: &DatabaseTransaction,
        subject: &Self::Subject,
        evidence: Option<Evidence<Self::Seen>>,
        detail: String,
    ) -> impl Future<Output = Result<Vec<Uuid>, JobError>> + Send;
}

pub enum Prepared<T> {
    /// The user has no Stripe customer yet: it is made in a run of its own, so that every try names the same one.
    NeedsCustomer(T, Customer),
    Ready(T, Attempt),
}

pub enum Outcome<S> {
    Customer(Result<Answer<String>, ProviderError>),
    Object(Result<Answer<S>, ProviderError>),
}

impl<C: Creation> Job for C {
    type Prepared = Prepared<C::Subject>;
    type Outcome = Outcome<C::Seen>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Preparation<Self::Prepared>, JobError> {
        let Some(subject) = C::load(txn, lease.subject_id).await? else {
            return Ok(Preparation::Done(Vec::new(), None));
        };
        let Some(id) = C::customer(&subject) else {
            let attempt = attempts::open(txn, lease.job_id, C::NAME).await?;
            return Ok(Preparation::Ready(Prepared::Ready(subject, attempt)));
        };
        if let Some(attempt) = attempts::open_for(txn, lease.job_id, C::NAME, id).await? {
            return Ok(Preparation::Ready(Prepared::Ready(subject, attempt)));
        }
        let customer = customers::find_for_job(txn, id).await?.ok_or(JobError::SubjectGone)?;
        Ok(Preparation::Ready(Prepared::NeedsCustomer(subject, customer)))
    }

    async fn call(context: &Context, prepared: &Self::Prepared) -> Self::Outcome {
        match prepared {
            Prepared::NeedsCustomer(_, customer) => {
                let key = format!("customer-{}-{}", customer.id, customer.stripe_generation);
                Outcome::Customer(context.stripe.create_customer(customer, &key).await)
            }
            Prepared::Ready(subject, attempt) => {
                let customer = attempt.stripe_customer_id.as_deref().unwrap_or_default();
                let key = attempt.id.to_string();
                let send = C::send(context, subject, customer, &key);
                let find = C::find(context, subject, customer, &key);
                Outcome::Object(send_or_find(attempt, C::provider(subject), send, find).await)
            }
        }
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        prepared: Self::Prepared,
        outcome: Self::Outcome,
    ) -> Result<Recorded, JobError> {
        match (prepared, outcome) {
            (Prepared::NeedsCustomer(subject, customer), Outcome::Customer(result)) => {
                record_customer::<C>(txn, lease, &subject, &customer, result).await
            }
            (Prepared::Ready(subject, attempt), Outcome::Object(result)) => {
                record_object::<C>(txn, lease, &subject, &attempt, result).await
            }
            // The call answers what was prepared.
            (Prepared::NeedsCustomer(..) | Prepared::Ready(..), _) => Err(JobError::Stale),
        }
    }
}

async fn record_customer<C: Creation>(
    txn: &DatabaseTransaction,
    lease: &Lease,
    subject: &C::Subject,
    customer: &Customer,
    result: Result<Answer<String>, ProviderError>,
) -> Result<Recorded, JobError> {
    let error = match result {
        Ok(answer) => {
            customers::set_stripe_customer(txn, customer.id, customer.stripe_generation, &answer.value).await?;
            tell_what_changed(txn, customer).await?;
            let ending = Ending::Snooze { delay: Duration::ZERO, error: None };
            return Ok(Recorded::new(ending, Vec::new()));
        }
        Err(ProviderError::Rejected { failure, .. }) => {
            let detail = format!("Stripe refused the customer: {}", failure.code);
            let changed = C::apply(txn, subject, Some(Evidence::Refused(failure)), detail).await?;
            return Ok(Recorded::new(Ending::Done, changed));
        }
        Err(error) => error,
    };
    if let ProviderError::Unknown { look_up: true, .. } = &error {
        // The failure is stored under the key. A customer moves no money: another one may be made under the next.
        customers::skip_generation(txn, customer.id, customer.stripe_generation).await?;
    }
    let detail = format!("try {}: no Stripe customer yet; {}", lease.attempts, next_words(lease));
    let changed = C::apply(txn, subject, None, detail).await?;
    Ok(Recorded::new(retry(lease, &error), changed))
}

async fn record_object<C: Creation>(
    txn: &DatabaseTransaction,
    lease: &Lease,
    subject: &C::Subject,
    attempt: &Attempt,
    result: Result<Answer<C::Seen>, ProviderError>,
) -> Result<Recorded, JobError> {
    if let (Some(customer), Some(pinned)) = (C::customer(subject), attempt.stripe_customer_id.as_deref())
        && result.as_ref().is_err_and(is_customer_gone)
    {
        // A certain refusal: nothing was made under this key. The next customer gets an attempt of its own.
        customers::forget_stripe_customer(txn, customer, pinned).await?;
        let closes = rejected(attempt, "the customer is gone at Stripe".to_owned());
        let detail = "the customer was deleted at Stripe; making another".to_owned();
        let changed = C::apply(txn, subject, None, detail).await?;
        let error = format!("{pinned} is gone at Stripe");
        return Ok(Recorded::new(Ending::Retry { delay: Duration::ZERO, error }, changed).closing(closes));
    }
    let provider = C::provider(subject).title();
    if let Ok(Answer { value, .. }) = &result
        && C::is_void(subject, value)
        // One that was given up gets no other.
        && !attempt.given_up
    {
        let error = "nothing can come of what was made under this key".to_owned();
        let closes = rejected(attempt, error.clone());
        let detail = format!("{provider}: the answer was lost, and with it what the payer needs; making another");
        let changed = C::apply(txn, subject, None, detail).await?;
        return Ok(Recorded::new(Ending::Retry { delay: Duration::ZERO, error }, changed).closing(closes));
    }
    let (evidence, outcome, ending, detail, provider_request_id, error) = match result {
        Ok(Answer { value, request_id }) => {
            let detail = format!("{provider} {}", C::describe(&value));
            (Some(Evidence::Created(value)), AttemptOutcome::Done, Ending::Done, detail, request_id, None)
        }
        Err(ProviderError::Rejected { failure, request_id, .. }) => {
            let detail = if attempt.given_up {
                format!("{provider} has nothing of it, and it was given up")
            } else {
                format!("{provider} refused: {}", failure.code)
            };
            let error = Some(failure.code.clone());
            (Some(Evidence::Refused(failure)), AttemptOutcome::Rejected, Ending::Done, detail, request_id, error)
        }
        Err(error) => {
            let (evidence, outcome, what) = match &error {
                ProviderError::NotSent { .. } => (None, AttemptOutcome::NotSent, "the request was not taken"),
                ProviderError::Unknown { .. } | ProviderError::Rejected { .. } => {
                    (Some(Evidence::OutcomeUnknown), AttemptOutcome::Unknown, "the outcome is unknown")
                }
            };
            let next = if outcome == AttemptOutcome::NotSent { "trying again" } else { next_words(lease) };
            let detail = format!("try {}: {what}; {next}", lease.attempts);
            (evidence, outcome, retry(lease, &error), detail, None, Some(error.chain()))
        }
    };
    let changed = C::apply(txn, subject, evidence, detail).await?;
    if (C::provider(subject), outcome) == (ProviderName::Swish, AttemptOutcome::Rejected) && attempt.tries > 1 {
        jobs::enqueue_later(txn, JobKind::PollSwish, ProviderName::Swish, lease.subject_id, LAST_LOOK).await?;
    }
    Ok(Recorded::new(ending, changed).closing(Closing::Attempt { id: attempt.id, outcome, provider_request_id, error }))
}

/// Nothing came of it for certain: the next try gets another key.
fn rejected(attempt: &Attempt, error: String) -> Closing {
    let (id, outcome) = (attempt.id, AttemptOutcome::Rejected);
    Closing::Attempt { id, outcome, provider_request_id: None, error: Some(error) }
}

fn is_customer_gone(error: &ProviderError) -> bool {
    matches!(error, ProviderError::Rejected { failure, param, .. }
        if failure.code == "resource_missing" && param.as_deref() == Some("customer"))
}

fn next_words(lease: &Lease) -> &'static str {
    if lease.attempts >= lease.max_attempts { "a person must look" } else { "trying again" }
}

/// Again later, not before the provider wants it. What was not even taken spends no attempt: a night without the
/// provider, or with a wrong key, must end no job.
pub(crate) fn retry(lease: &Lease, error: &ProviderError) -> Ending {
    let text = error.chain();
    match error {
        // The breaker says when it may be tried again; spread, so that the backlog does not come all at once.
        ProviderError::NotSent { source: CallError::BreakerOpen { .. }, retry_after } => {
            let spread = Duration::from_millis(rand::random_range(0..10_000));
            Ending::Snooze { delay: retry_after.unwrap_or_default().saturating_add(spread), error: Some(text) }
        }
        ProviderError::NotSent { retry_after, .. } => {
            let delay = snooze_delay(lease).max(retry_after.unwrap_or_default()).max(Duration::from_millis(250));
            Ending::Snooze { delay, error: Some(text) }
        }
        ProviderError::Unknown { .. } | ProviderError::Rejected { .. } => {
            Ending::Retry { delay: retry_delay(lease), error: text }
        }
    }
}

/// What was changed while the Stripe customer was made from what was known before.
async fn tell_what_changed(txn: &DatabaseTransaction, made_from: &Customer) -> Result<(), JobError> {
    let now = customers::find_for_job(txn, made_from.id).await?.ok_or(JobError::SubjectGone)?;
    if now.updated_at != made_from.updated_at {
        // The relay rings.
        let _ = jobs::enqueue(txn, JobKind::UpdateCustomer, ProviderName::Stripe, now.id.0).await?;
    }
    Ok(())
}

/// Sends the request; where sending cannot tell, looks the thing up. Only one of the futures may ever be polled.
async fn send_or_find<S>(
    attempt: &Attempt,
    provider: ProviderName,
    send: impl Future<Output = Result<Answer<S>, ProviderError>> + Send,
    find: impl Future<Output = Result<Option<S>, ProviderError>> + Send,
) -> Result<Answer<S>, ProviderError> {
    let found = |value| Answer { value, request_id: None };
    if attempt.is_too_late() {
        return Err(too_late());
    }
    // Swish never takes an instruction twice.
    let forgotten = provider == ProviderName::Stripe && attempt.age_now() > KEY_LIFETIME;
    if forgotten || attempt.given_up {
        // The key may be forgotten: sending it again could do it again.
        return match find.await {
            Ok(Some(seen)) => Ok(found(seen)),
            Ok(None) if attempt.given_up => {
                Err(ProviderError::Rejected { failure: Failure::not_made(), param: None, request_id: None })
            }
            Ok(None) => Err(unreadable("the key is too old to be sent again, and nothing was found")),
            Err(error) => Err(still_unknown(error)),
        };
    }
    match send.await {
        Err(ProviderError::Unknown { source, look_up: true }) => match find.await {
            Ok(Some(seen)) => Ok(found(seen)),
            Ok(None) | Err(_) => Err(ProviderError::Unknown { source, look_up: true }),
        },
        // This try was refused; an earlier one may not have been. Swish refuses for what it has, perhaps for that.
        Err(error @ ProviderError::Rejected { .. })
            if !is_customer_gone(&error) && (attempt.tries > 1 || provider == ProviderName::Swish) =>
        {
            match find.await {
                Ok(Some(seen)) => Ok(found(seen)),
                Ok(None)
                    if provider == ProviderName::Swish && attempt.tries > 1 && attempt.age_now() < STILL_ON_ITS_WAY =>
                {
                    Err(unreadable("it was refused, and an earlier try may still be on its way"))
                }
                Ok(None) => Err(error),
                Err(failed) => Err(still_unknown(failed)),
            }
        }
        other => other,
    }
}

/// A worker that slept, or waited for Postgres, does not know what others have done since.
pub(crate) fn too_late() -> ProviderError {
    ProviderError::NotSent { source: CallError::TooLate, retry_after: None }
}

pub(crate) fn unreadable(text: &str) -> ProviderError {
    ProviderError::Unknown { source: CallError::Unreadable(text.to_owned()), look_up: true }
}

/// A failed look-up tells nothing about what it looked for.
pub(crate) fn still_unknown(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::NotSent { source, .. } | ProviderError::Unknown { source, .. } => {
            ProviderError::Unknown { source, look_up: true }
        }
        ProviderError::Rejected { failure, .. } => unreadable(&format!("the look-up was refused: {}", failure.code)),
    }
}

/// From now on we know that `object` (an id of the provider's) is ours: events that were put aside as not ours are
/// taken up again. Nothing, if it was known before.
pub(crate) async fn known_from_now_on(
    txn: &DatabaseTransaction,
    before: Option<&str>,
    object: Option<&str>,
) -> Result<(), DbErr> {
    if let (None, Some(object)) = (before, object) {
        // Whoever puts an event aside holds this lock: it is either seen here, or sees what we wrote.
        if provider_events::lock_object(txn, object).await? {
            provider_events::reopen(txn, object).await?;
        }
    }
    Ok(())
}
