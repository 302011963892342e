//! `charge.dispute.*`

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::dispute::{Dispute, ProviderDispute, is_closed};
use shared::domain::ids::DisputeId;
use shared::domain::payment::Payment;
use shared::store::{Saved, disputes, payments};
use uuid::Uuid;

use super::payment::add_step;
use super::{News, Target};
use crate::runner::JobError;

pub(super) async fn find(
    txn: &DatabaseTransaction,
    id: &str,
    provider_payment_id: Option<&str>,
) -> Result<Target, JobError> {
    let dispute = disputes::find_by_provider_id(txn, id).await?;
    let payment = match (&dispute, provider_payment_id) {
        (Some(dispute), _) => payments::find_for_job(txn, dispute.payment_id).await?,
        (None, Some(payment)) => payments::find_by_provider_id(txn, payment).await?,
        (None, None) => None,
    };
    Ok(match payment {
        Some(payment) => Target::Dispute(dispute, payment, id.to_owned()),
        None => Target::NotOurs(provider_payment_id.unwrap_or(id).to_owned()),
    })
}

pub(super) async fn record(
    txn: &DatabaseTransaction,
    news: &News<'_>,
    before: Option<Dispute>,
    payment: &Payment,
    seen: ProviderDispute,
) -> Result<Vec<Uuid>, JobError> {
    let (status, funds) = (seen.status.as_str(), seen.funds.as_str());
    let detail = format!("{}: {} is {status}, the money is {funds}", news.event_type, seen.id);
    let id = match before {
        Some(before) => {
            let after = before.observe(seen, Utc::now())?;
            // Also where nothing changed: it is news, and what was read before it is old from now on.
            if disputes::save(txn, &before, &after).await? == Saved::Stale {
                return Err(JobError::Stale);
            }
            before.id
        }
        None => {
            let found = found(payment, seen);
            if !disputes::insert_found(txn, &found).await? {
                return Err(JobError::Stale);
            }
            found.id
        }
    };
    add_step(txn, news, payment.id, detail).await?;
    Ok(vec![id.0, payment.id.0])
}

fn found(payment: &Payment, seen: ProviderDispute) -> Dispute {
    let now = Utc::now();
    Dispute {
        id: DisputeId::generate(),
        user_id: payment.user_id.clone(),
        payment_id: payment.id,
        provider: payment.provider,
        provider_dispute_id: seen.id,
        status: seen.status,
        reason: seen.reason,
        money: seen.money,
        funds: seen.funds,
        evidence_due_by: seen.evidence_due_by,
        evidence_submitted: seen.evidence_submitted,
        last_operation: None,
        version: 1,
        created_at: seen.created_at,
        updated_at: now,
        closed_at: is_closed(seen.status).then_some(now),
    }
}
