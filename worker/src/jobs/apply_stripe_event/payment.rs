//! `payment_intent.*`

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::evidence::Evidence;
use shared::domain::ids::PaymentId;
use shared::domain::payment::{Payment, ProviderPayment};
use shared::domain::timeline::{Actor, Step};
use shared::domain::transitions::Transitions as _;
use shared::store::{Saved, payments};
use uuid::Uuid;

use super::News;
use crate::creation::known_from_now_on;
use crate::jobs::poll_stripe;
use crate::runner::JobError;

pub(super) async fn record(
    txn: &DatabaseTransaction,
    news: &News<'_>,
    before: &Payment,
    seen: ProviderPayment,
) -> Result<Vec<Uuid>, JobError> {
    let after = before.apply(Evidence::Observed(seen), Utc::now())?;
    let changed = after.differs_from(before);
    let step = step(news, news.event_type.to_owned());
    // Also where nothing changed: it is news, and what was read before it is old from now on.
    if changed || !after.status.is_final() {
        if payments::save(txn, before, &after, &step).await? == Saved::Stale {
            return Err(JobError::Stale);
        }
    } else {
        payments::add_step(txn, after.id, &step).await?;
    }
    let known = after.provider_payment_id.as_deref();
    known_from_now_on(txn, before.provider_payment_id.as_deref(), known).await?;
    if before.provider_payment_id.is_none() && poll_stripe::payment_waits(after.status) {
        poll_stripe::poll_from_now_on(txn, after.id.0).await?;
    }
    Ok(if changed { vec![before.id.0] } else { Vec::new() })
}

/// Whether nothing that Stripe could show of the object would be news.
pub(super) fn is_over(payment: &Payment, object: &str) -> bool {
    payment.status.is_final() && payment.provider_payment_id.as_deref() == Some(object)
}

/// A step in the timeline that the event caused.
pub(super) async fn add_step(
    txn: &DatabaseTransaction,
    news: &News<'_>,
    payment: PaymentId,
    detail: String,
) -> Result<(), JobError> {
    Ok(payments::add_step(txn, payment, &step(news, detail)).await?)
}

fn step(news: &News<'_>, detail: String) -> Step {
    Step { actor: Actor::Webhook, cause: news.event.provider_event_id.clone(), detail }
}
