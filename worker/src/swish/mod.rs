//! What the jobs share that talk to Swish.
//!
//! - here: asking for money while the payer is there, and giving it back.
//! - [`reading`]: reading again what became of it. A callback and a poll do the same: they ask, and believe only the
//!   answer.

pub mod reading;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{DatabaseTransaction, DbErr};
use shared::domain::evidence::Failure;
use shared::domain::job::JobKind;
use shared::domain::payment::{Payment, PaymentStatus, ProviderName, ProviderPayment};
use shared::domain::refund::{ProviderRefund, Refund};
use shared::domain::swish::SwishDetails;
use shared::providers::ProviderError;
use shared::providers::stripe::Answer;
use shared::providers::swish::instruction;
use shared::store::jobs;
use uuid::Uuid;

use crate::context::Context;

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
    let asked = payment.swish.as_ref().is_some_and(|details| details.payer_alias.is_some());
    payment.provider == ProviderName::Swish && !asked && payment.client_secret.is_none() && seen.lost_its_token()
}

/// Gives money back. The bank's reference is asked for where it was not there when the payment was seen to be paid.
pub async fn create_refund(
    context: &Context,
    refund: &Refund,
    payment: &Payment,
    key: &str,
) -> Result<Answer<ProviderRefund>, ProviderError> {
    let swish = context.swish()?;
    let reference = |details: &SwishDetails| details.payment_reference.clone();
    let mut known = payment.swish.as_ref().and_then(reference);
    if known.is_none() {
        let seen = swish.fetch_payment(payment.provider_payment_id.as_deref().unwrap_or_default()).await;
        // Reading was all that was done: nothing was sent.
        let seen = seen.map_err(ProviderError::certainly_not_sent)?;
        known = seen.and_then(|seen| seen.swish).as_ref().and_then(reference);
    }
    swish.create_refund(refund, payment, known.as_deref(), key).await
}

/// Has a request that was just made looked at until it has ended.
pub async fn poll_from_now_on(txn: &DatabaseTransaction, subject: Uuid) -> Result<(), DbErr> {
    jobs::enqueue_later(txn, JobKind::PollSwish, ProviderName::Swish, subject, FIRST_POLL).await
}

fn waited(since: DateTime<Utc>) -> Duration {
    Utc::now().signed_duration_since(since).to_std().unwrap_or_default()
}
