//! What the jobs share that talk to Swish: starting a payment while the payer is there, and reading again what became
//! of it. A callback and a poll do the same: they ask, and believe only the answer.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, DbErr};
use shared::domain::evidence::{Evidence, Failure};
use shared::domain::ids::{PaymentId, RefundId};
use shared::domain::job::JobKind;
use shared::domain::payment::{Payment, PaymentStatus, ProviderName, ProviderPayment};
use shared::domain::refund::{ProviderRefund, Refund, RefundStatus};
use shared::domain::timeline::{Actor, Step};
use shared::providers::ProviderError;
use shared::providers::stripe::Answer;
use shared::providers::swish::instruction;
use shared::store::{Saved, jobs, payments, refunds};
use uuid::Uuid;

use crate::context::Context;
use crate::runner::JobError;

/// A payer who asked longer ago than this is not surprised with a request any more.
const START_WITHIN: Duration = Duration::from_secs(10 * 60);
/// A callback mostly comes first; it may be lost.
const FIRST_POLL: Duration = Duration::from_secs(10);

/// Asks Swish to ask the payer, unless it is too late for that.
pub async fn create_payment(
    context: &Context,
    payment: &Payment,
    key: &str,
) -> Result<Answer<ProviderPayment>, ProviderError> {
    if waited(payment.created_at) <= START_WITHIN {
        return context.swish()?.create_payment(payment, key).await;
    }
    match find_payment(context, payment, key).await? {
        Some(seen) => Ok(Answer { value: seen, request_id: None }),
        None => Err(ProviderError::Rejected {
            failure: Failure {
                code: "expired".to_owned(),
                decline_code: None,
                message: "The payment could not be sent to Swish while the payer was waiting.".to_owned(),
            },
            param: None,
            request_id: None,
        }),
    }
}

/// Reads the request that may have been made under a key. One that lost its token is canceled: nobody could pay it.
pub async fn find_payment(
    context: &Context,
    payment: &Payment,
    key: &str,
) -> Result<Option<ProviderPayment>, ProviderError> {
    let (swish, instruction) = (context.swish()?, instruction(key));
    let seen = swish.fetch_payment(&instruction).await?;
    match seen {
        Some(seen) if seen.status == PaymentStatus::RequiresAction && nobody_can_pay(payment, &seen) => {
            match swish.cancel_payment(&instruction).await {
                Ok(canceled) => Ok(Some(canceled.value)),
                // It has ended by itself.
                Err(ProviderError::Rejected { .. }) => swish.fetch_payment(&instruction).await,
                Err(error) => Err(error),
            }
        }
        seen => Ok(seen),
    }
}

/// Whether the request ended without anybody having been able to pay it: the payment gets another one.
pub fn is_void(payment: &Payment, seen: &ProviderPayment) -> bool {
    matches!(seen.status, PaymentStatus::Canceled | PaymentStatus::Failed) && nobody_can_pay(payment, seen)
}

fn nobody_can_pay(payment: &Payment, seen: &ProviderPayment) -> bool {
    payment.provider == ProviderName::Swish && payment.client_secret.is_none() && seen.lost_its_token()
}

/// Has a request that was just made looked at until it has ended.
pub async fn poll_from_now_on(txn: &DatabaseTransaction, subject: Uuid) -> Result<(), DbErr> {
    jobs::enqueue_later(txn, JobKind::PollSwish, subject, FIRST_POLL).await
}

/// Something of ours at Swish, as it was before Swish was asked.
pub enum Target {
    Payment(Box<Payment>),
    Refund(Box<Refund>, Box<Payment>),
}

/// What Swish showed. `None`: it has no such object.
pub enum Seen {
    Payment(Option<ProviderPayment>),
    Refund(Option<ProviderRefund>),
}

impl Target {
    /// By our id.
    pub async fn find(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<Self>, JobError> {
        if let Some(payment) = payments::find_for_job(txn, PaymentId(id)).await? {
            return Ok(Some(Self::Payment(Box::new(payment))));
        }
        Self::of_refund(txn, refunds::find_for_job(txn, RefundId(id)).await?).await
    }

    /// By Swish's id.
    pub async fn find_by_instruction(txn: &DatabaseTransaction, instruction: &str) -> Result<Option<Self>, JobError> {
        if let Some(payment) = payments::find_by_provider_id(txn, instruction).await? {
            return Ok(Some(Self::Payment(Box::new(payment))));
        }
        Self::of_refund(txn, refunds::find_by_provider_id(txn, instruction).await?).await
    }

    async fn of_refund(txn: &DatabaseTransaction, refund: Option<Refund>) -> Result<Option<Self>, JobError> {
        let Some(refund) = refund else { return Ok(None) };
        let payment = payments::find_for_job(txn, refund.payment_id).await?.ok_or(JobError::SubjectGone)?;
        Ok(Some(Self::Refund(Box::new(refund), Box::new(payment))))
    }

    /// Whether nothing more will come from Swish: what it does not know itself, a person finds out.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Payment(payment) => {
                matches!(payment.status, PaymentStatus::Succeeded | PaymentStatus::Canceled | PaymentStatus::Failed)
                    || (payment.status == PaymentStatus::Processing && payment.outcome_unknown_since.is_some())
            }
            Self::Refund(refund, _) => {
                matches!(refund.status, RefundStatus::Succeeded | RefundStatus::Failed | RefundStatus::Canceled)
                    || (refund.status == RefundStatus::Processing && refund.outcome_unknown_since.is_some())
            }
        }
    }

    /// How long ago it was asked for.
    pub fn age(&self) -> Duration {
        waited(match self {
            Self::Payment(payment) => payment.created_at,
            Self::Refund(refund, _) => refund.created_at,
        })
    }

    pub async fn fetch(&self, context: &Context) -> Result<Seen, ProviderError> {
        let swish = context.swish()?;
        match self {
            Self::Payment(payment) => {
                swish.fetch_payment(payment.provider_payment_id.as_deref().unwrap_or_default()).await.map(Seen::Payment)
            }
            Self::Refund(refund, _) => {
                swish.fetch_refund(refund.provider_refund_id.as_deref().unwrap_or_default()).await.map(Seen::Refund)
            }
        }
    }

    /// Writes what was seen, and the step, if it says anything new. Gives what changed; `None`: Swish did not show it.
    pub async fn record(
        self,
        txn: &DatabaseTransaction,
        seen: Seen,
        actor: Actor,
        cause: &str,
    ) -> Result<Option<Vec<Uuid>>, JobError> {
        let (payment, detail, changed) = match (self, seen) {
            (Self::Payment(before), Seen::Payment(Some(seen))) => {
                let after = before.apply(Evidence::Observed(seen), Utc::now())?;
                if !after.differs_from(&before) {
                    return Ok(Some(Vec::new()));
                }
                if payments::save(txn, &before, &after).await? == Saved::Stale {
                    return Err(JobError::Stale);
                }
                let what = format!("Swish: {}", after.provider_payment_id.as_deref().unwrap_or_default());
                let word = word(&what, after.status.as_str(), after.failure.as_ref(), after.outcome_unknown_since);
                let changed = vec![after.id.0];
                (after, word, changed)
            }
            (Self::Refund(before, payment), Seen::Refund(Some(seen))) => {
                let after = before.apply(Evidence::Observed(seen), Utc::now())?;
                if !after.differs_from(&before) {
                    return Ok(Some(Vec::new()));
                }
                if refunds::save(txn, &before, &after).await? == Saved::Stale {
                    return Err(JobError::Stale);
                }
                let what = format!("Swish: refund {}", after.id);
                let word = word(&what, after.status.as_str(), after.failure.as_ref(), after.outcome_unknown_since);
                let changed = vec![after.id.0, payment.id.0];
                (*payment, word, changed)
            }
            _ => return Ok(None),
        };
        let step = Step { status: payment.status, actor, cause: cause.to_owned(), detail };
        payments::add_step(txn, payment.id, &step).await?;
        Ok(Some(changed))
    }
}

/// For the timeline, and for the log where a person must act.
fn word(what: &str, status: &str, failure: Option<&Failure>, unknown_since: Option<DateTime<Utc>>) -> String {
    if unknown_since.is_some() {
        tracing::error!(what, "Swish does not know whether the money moved (DS24): ask the bank");
        return format!("{what} is unknown to Swish itself (DS24): a person must ask the bank");
    }
    match failure {
        Some(failure) => format!("{what} is {status}: {}", failure.decline_code.as_deref().unwrap_or(&failure.code)),
        None => format!("{what} is {status}"),
    }
}

fn waited(since: DateTime<Utc>) -> Duration {
    Utc::now().signed_duration_since(since).to_std().unwrap_or_default()
}
