//! `create_payment`: creates a payment at Stripe, and its customer if the user has none there yet.
//!
//! If we crash: before the call, nothing was sent. During or after it, the next run sends the same request under the
//! same key and Stripe answers as it did the first time; past the life of the key it is looked up instead. A webhook
//! that settles the payment meanwhile leaves this job nothing to do.

use std::time::Duration;

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::customer::Customer;
use shared::domain::ids::PaymentId;
use shared::domain::job::Lease;
use shared::domain::payment::{Evidence, Payment, PaymentStatus, ProviderPayment};
use shared::domain::timeline::{Actor, Step};
use shared::providers::stripe::{Answer, KEY_LIFETIME, NewPayment};
use shared::providers::{CallError, ProviderError};
use shared::store::attempts::{self, Attempt, AttemptOutcome};
use shared::store::jobs::Ending;
use shared::store::payments::Saved;
use shared::store::{customers, payments};

use crate::context::Context;
use crate::runner::{Job, JobError, Recorded, retry_delay};

const NAME: &str = "create_payment";

pub struct CreatePayment;

pub struct Prepared {
    payment: Payment,
    customer: Customer,
    attempt: Attempt,
}

pub struct Outcome {
    /// Made, or found, by this run.
    stripe_customer_id: Option<String>,
    result: Result<Answer<ProviderPayment>, ProviderError>,
}

impl Job for CreatePayment {
    type Prepared = Prepared;
    type Outcome = Outcome;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Option<Prepared>, JobError> {
        let id = PaymentId(lease.subject_id);
        let payment = payments::find_for_job(txn, id).await?.ok_or(JobError::SubjectGone)?;
        if payment.status != PaymentStatus::Pending {
            // A webhook told us first how it went.
            return Ok(None);
        }
        let customer = customers::find_for_job(txn, payment.customer_id).await?.ok_or(JobError::SubjectGone)?;
        let attempt = attempts::open(txn, lease.job_id, NAME).await?;
        Ok(Some(Prepared { payment, customer, attempt }))
    }

    async fn call(context: &Context, prepared: &Prepared) -> Outcome {
        let stripe_customer_id = match &prepared.customer.stripe_customer_id {
            Some(id) => id.clone(),
            None => match context.stripe.create_customer(&prepared.customer).await {
                Ok(answer) => answer.value,
                Err(error) => return Outcome { stripe_customer_id: None, result: Err(no_money_moved(error)) },
            },
        };
        let result = create_or_find(context, prepared, &stripe_customer_id).await;
        Outcome { stripe_customer_id: Some(stripe_customer_id), result }
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        prepared: Prepared,
        outcome: Outcome,
    ) -> Result<Recorded, JobError> {
        if let (Some(id), None) = (&outcome.stripe_customer_id, &prepared.customer.stripe_customer_id) {
            customers::set_stripe_customer(txn, prepared.customer.id, id).await?;
        }
        // Read again: a webhook may have been faster than the answer.
        let before = payments::find_for_job(txn, prepared.payment.id).await?.ok_or(JobError::SubjectGone)?;
        let lesson = learn(lease, outcome.result);
        let after = before.apply(lesson.evidence.clone().unwrap_or(Evidence::OutcomeUnknown), Utc::now());
        let after = if lesson.evidence.is_some() { after? } else { before.clone() };
        if after.differs_from(&before) && payments::save(txn, &before, &after).await? == Saved::Stale {
            return Err(JobError::Stale);
        }
        let step = Step { status: after.status, actor: Actor::Job, cause: NAME.to_owned(), detail: lesson.detail };
        payments::add_step(txn, before.id, &step).await?;
        attempts::close(
            txn,
            prepared.attempt.id,
            lesson.attempt,
            lesson.request_id.as_deref(),
            lesson.error.as_deref(),
        )
        .await?;
        Ok(Recorded { ending: lesson.ending, changed: Some(before.id) })
    }
}

/// Sends the request; where sending cannot tell, looks the payment up.
async fn create_or_find(
    context: &Context,
    prepared: &Prepared,
    stripe_customer_id: &str,
) -> Result<Answer<ProviderPayment>, ProviderError> {
    let look_up = || context.stripe.find_payment(stripe_customer_id, prepared.payment.id);
    let found = |value| Answer { value, request_id: None };
    if prepared.attempt.tries > 1 && prepared.attempt.age > KEY_LIFETIME {
        // The key may be forgotten: sending it again could charge again.
        return match look_up().await {
            Ok(Some(payment)) => Ok(found(payment)),
            Ok(None) => Err(ProviderError::Unknown {
                source: CallError::Unreadable("the key is too old to be sent again, and nothing was found".to_owned()),
                look_up: true,
            }),
            Err(error) => Err(still_unknown(error)),
        };
    }
    let new =
        NewPayment { payment: &prepared.payment, stripe_customer_id, idempotency_key: prepared.attempt.id.to_string() };
    match context.stripe.create_payment(&new).await {
        Err(ProviderError::Unknown { source, look_up: true }) => match look_up().await {
            Ok(Some(payment)) => Ok(found(payment)),
            Ok(None) | Err(_) => Err(ProviderError::Unknown { source, look_up: true }),
        },
        other => other,
    }
}

/// A failed call for the customer leaves nothing unknown about the payment: it was not sent yet.
fn no_money_moved(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::Unknown { source, .. } => ProviderError::NotSent { source, retry_after: None },
        other => other,
    }
}

/// A failed look-up tells nothing about what it looked for.
fn still_unknown(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::NotSent { source, .. } | ProviderError::Unknown { source, .. } => {
            ProviderError::Unknown { source, look_up: true }
        }
        ProviderError::Rejected { failure, .. } => ProviderError::Unknown {
            source: CallError::Unreadable(format!("the look-up was refused: {}", failure.code)),
            look_up: true,
        },
    }
}

/// What a run of the job has taught us.
struct Lesson {
    evidence: Option<Evidence>,
    attempt: AttemptOutcome,
    ending: Ending,
    detail: String,
    request_id: Option<String>,
    error: Option<String>,
}

fn learn(lease: &Lease, result: Result<Answer<ProviderPayment>, ProviderError>) -> Lesson {
    let retry = |at_least: Duration, error: &ProviderError| Ending::Retry {
        delay: retry_delay(lease).max(at_least),
        error: error.chain(),
    };
    match result {
        Ok(Answer { value, request_id }) => Lesson {
            detail: match &value.failure {
                Some(failure) => format!(
                    "Stripe declined {}: {}",
                    value.id,
                    failure.decline_code.as_deref().unwrap_or(&failure.code)
                ),
                None => format!("Stripe made {}: {}", value.id, value.status.as_str()),
            },
            evidence: Some(Evidence::Created(value)),
            attempt: AttemptOutcome::Done,
            ending: Ending::Done,
            request_id,
            error: None,
        },
        Err(ProviderError::Rejected { failure, request_id }) => Lesson {
            detail: format!("Stripe refused: {}", failure.code),
            error: Some(failure.code.clone()),
            evidence: Some(Evidence::Refused(failure)),
            attempt: AttemptOutcome::Rejected,
            ending: Ending::Done,
            request_id,
        },
        Err(error) => {
            let (evidence, attempt, at_least, what) = match &error {
                ProviderError::NotSent { retry_after, .. } => {
                    (None, AttemptOutcome::NotSent, retry_after.unwrap_or_default(), "Stripe did not take the request")
                }
                ProviderError::Unknown { .. } | ProviderError::Rejected { .. } => {
                    (Some(Evidence::OutcomeUnknown), AttemptOutcome::Unknown, Duration::ZERO, "the outcome is unknown")
                }
            };
            let next = if lease.attempts >= lease.max_attempts { "a person must look" } else { "trying again" };
            Lesson {
                evidence,
                attempt,
                ending: retry(at_least, &error),
                detail: format!("try {}: {what}; {next}", lease.attempts),
                request_id: None,
                error: Some(error.chain()),
            }
        }
    }
}
