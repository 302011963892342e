//! `change_payment`: captures or cancels a payment at its provider, as its last operation wants.
//!
//! If we crash: see [`crate::change`].

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::evidence::Evidence;
use shared::domain::ids::PaymentId;
use shared::domain::job::{JobKind, Lease};
use shared::domain::operation::Operation;
use shared::domain::payment::{Payment, PaymentStatus, PaymentWish, ProviderName, ProviderPayment};
use shared::domain::timeline::{Actor, Step};
use shared::domain::transitions::Transitions as _;
use shared::store::attempts::{self, Attempt};
use shared::store::{Saved, jobs, payments};

use crate::change::{Changed, Verdict, carry_out, not_made, patience};
use crate::context::Context;
use crate::runner::{Job, JobError, Preparation, Recorded};

const NAME: &str = "change_payment";

pub struct ChangePayment;

pub struct Prepared {
    payment: Payment,
    provider_payment_id: String,
    operation: Operation<PaymentWish>,
    attempt: Attempt,
}

impl Job for ChangePayment {
    type Prepared = Prepared;
    type Outcome = Changed<ProviderPayment>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Preparation<Prepared>, JobError> {
        let payment = payments::find_for_job(txn, PaymentId(lease.subject_id)).await?.ok_or(JobError::SubjectGone)?;
        let Some(operation) = Operation::pending(payment.last_operation.as_ref(), lease.job_id).cloned() else {
            return Ok(Preparation::Done(Vec::new(), None));
        };
        match payment.provider_payment_id.clone() {
            Some(provider_payment_id) => {
                let attempt = attempts::open(txn, lease.job_id, what(&operation.wanted)).await?;
                Ok(Preparation::Ready(Prepared { payment, provider_payment_id, operation, attempt }))
            }
            None if payment.status == PaymentStatus::Pending
                && (payment.outcome_unknown_since.is_some()
                    || !jobs::is_given_up(txn, JobKind::CreatePayment, payment.id.0).await?) =>
            {
                Ok(Preparation::NotYet(patience(operation.requested_at)))
            }
            None => {
                let failure = not_made("payment");
                let mut after = payment.clone();
                let detail = format!("{} failed: {}", what(&operation.wanted), failure.code);
                after.last_operation = Some(operation.ended(Some(failure), Utc::now()));
                match payments::save(txn, &payment, &after, &step(detail)).await? {
                    Saved::Saved => Ok(Preparation::Done(vec![payment.id.0], None)),
                    Saved::Stale => Err(JobError::Stale),
                }
            }
        }
    }

    async fn call(context: &Context, prepared: &Prepared) -> Changed<ProviderPayment> {
        if prepared.payment.provider == ProviderName::Swish {
            return cancel_at_swish(context, prepared).await;
        }
        let (id, key) = (prepared.provider_payment_id.as_str(), prepared.attempt.id.to_string());
        let read = context.stripe.fetch_payment(id);
        match &prepared.operation.wanted {
            PaymentWish::Capture { amount } => {
                let send = context.stripe.capture_payment(id, *amount, &key);
                let amount = *amount;
                carry_out(&prepared.attempt, send, read, move |seen| captured(seen, amount)).await
            }
            PaymentWish::Cancel { reason } => {
                let send = context.stripe.cancel_payment(id, *reason, &key);
                carry_out(&prepared.attempt, send, read, canceled).await
            }
        }
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        prepared: Prepared,
        outcome: Changed<ProviderPayment>,
    ) -> Result<Recorded, JobError> {
        let before = payments::find_for_job(txn, prepared.payment.id).await?.ok_or(JobError::SubjectGone)?;
        let detail = outcome.describe(lease, what(&prepared.operation.wanted));
        let (ending, closes) = (outcome.ending(lease), outcome.closing(&prepared.attempt));
        let mut after = before.clone();
        if let Some(seen) = outcome.seen {
            // What is not final may be older than what was written meanwhile.
            if before.version != prepared.payment.version && !seen.status.is_final() {
                return Err(JobError::Stale);
            }
            after = before.apply(Evidence::Observed(seen), Utc::now())?;
        }
        after.last_operation = Some(prepared.operation.after(outcome.operation, Utc::now()));
        if payments::tell(txn, &before, &after, &step(detail)).await? == Saved::Stale {
            return Err(JobError::Stale);
        }
        Ok(Recorded::new(ending, vec![before.id.0]).closing(closes))
    }
}

/// There is nothing else that Swish can do: it takes all of the money when the payer approves.
async fn cancel_at_swish(context: &Context, prepared: &Prepared) -> Changed<ProviderPayment> {
    match context.swish() {
        Ok(swish) => {
            let id = prepared.provider_payment_id.as_str();
            carry_out(&prepared.attempt, swish.cancel_payment(id), swish.fetch_payment(id), canceled).await
        }
        Err(error) => Changed::open(None, error),
    }
}

fn step(detail: String) -> Step {
    Step { actor: Actor::Job, cause: NAME.to_owned(), detail }
}

fn what(wanted: &PaymentWish) -> &'static str {
    match wanted {
        PaymentWish::Capture { .. } => "capture",
        PaymentWish::Cancel { .. } => "cancel",
    }
}

fn captured(seen: &ProviderPayment, amount: i64) -> Verdict {
    match seen.status {
        PaymentStatus::Succeeded if seen.amount_captured == amount => Verdict::Done,
        status if status.is_final() => Verdict::Overtaken,
        _ => Verdict::Open,
    }
}

fn canceled(seen: &ProviderPayment) -> Verdict {
    match seen.status {
        PaymentStatus::Canceled => Verdict::Done,
        status if status.is_final() => Verdict::Overtaken,
        _ => Verdict::Open,
    }
}
