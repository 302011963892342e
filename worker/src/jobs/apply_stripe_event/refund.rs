//! `refund.*`: of refunds that we made, and of those that others made of our payments.

use chrono::Utc;
use sea_orm::{DatabaseTransaction, DbErr};
use shared::domain::evidence::Evidence;
use shared::domain::ids::RefundId;
use shared::domain::payment::Payment;
use shared::domain::refund::{ProviderRefund, Refund, RefundStatus};
use shared::store::{Saved, payments, refunds};
use uuid::Uuid;

use super::payment::add_step;
use super::{News, Target, named};
use crate::jobs::poll_stripe;
use crate::runner::JobError;

pub(super) async fn find(
    txn: &DatabaseTransaction,
    id: &str,
    provider_payment_id: Option<&str>,
    refund_id: Option<RefundId>,
) -> Result<Target, JobError> {
    let refund = match named(refund_id, |id| refunds::find_for_job(txn, id)).await? {
        Some(refund) => Some(refund),
        None => refunds::find_by_provider_id(txn, id).await?,
    };
    let payment = match (&refund, provider_payment_id) {
        (Some(refund), _) => payments::find_for_job(txn, refund.payment_id).await?,
        (None, Some(payment)) => payments::find_by_provider_id(txn, payment).await?,
        (None, None) => None,
    };
    Ok(match payment {
        Some(payment) => Target::Refund(refund, payment, id.to_owned()),
        None => Target::NotOurs(provider_payment_id.unwrap_or(id).to_owned()),
    })
}

pub(super) async fn record(
    txn: &DatabaseTransaction,
    news: &News<'_>,
    before: Option<Refund>,
    payment: &Payment,
    seen: ProviderRefund,
) -> Result<Vec<Uuid>, JobError> {
    let detail = format!("{}: {} is {}", news.event_type, seen.id, seen.status.as_str());
    let id = match before {
        Some(before) => {
            let after = before.apply(Evidence::Observed(seen), Utc::now())?;
            // Also where nothing changed: it is news, and what was read before it is old from now on.
            if refunds::save(txn, &before, &after).await.map_err(conflict)? == Saved::Stale {
                return Err(JobError::Stale);
            }
            if before.provider_refund_id.is_none() && poll_stripe::refund_waits(after.status) {
                poll_stripe::poll_from_now_on(txn, after.id.0).await?;
            }
            before.id
        }
        None => {
            let found = found(payment, seen)?;
            if !refunds::insert_found(txn, &found).await.map_err(conflict)? {
                return Err(JobError::Stale);
            }
            if poll_stripe::refund_waits(found.status) {
                poll_stripe::poll_from_now_on(txn, found.id.0).await?;
            }
            found.id
        }
    };
    add_step(txn, news, payment.id, detail).await?;
    Ok(vec![id.0, payment.id.0])
}

/// A refund that was made elsewhere.
fn found(payment: &Payment, seen: ProviderRefund) -> Result<Refund, JobError> {
    let refund = Refund {
        id: RefundId::generate(),
        user_id: payment.user_id.clone(),
        payment_id: payment.id,
        provider: payment.provider,
        provider_refund_id: None,
        status: RefundStatus::Pending,
        money: seen.money,
        reason: seen.reason.clone(),
        failure: None,
        outcome_unknown_since: None,
        metadata: std::collections::BTreeMap::new(),
        version: 1,
        created_at: seen.created_at,
        updated_at: Utc::now(),
        completed_at: None,
    };
    Ok(refund.apply(Evidence::Observed(seen), Utc::now())?)
}

/// Money was refunded elsewhere that a refund of ours still sets aside: Stripe will refuse ours, then there is room.
fn conflict(error: DbErr) -> JobError {
    if refunds::exceeds_captured(&error) {
        JobError::Conflict("the refunds exceed what was captured, as far as we know".to_owned())
    } else {
        error.into()
    }
}
