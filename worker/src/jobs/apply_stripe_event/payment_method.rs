//! `payment_method.*`: what customers have saved.

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::saved_payment_method::{ProviderPaymentMethod, SavedPaymentMethod, SavedPaymentMethodStatus};
use shared::store::{Saved, customers, provider_events, saved_payment_methods};
use uuid::Uuid;

use super::Applied;
use crate::creation::known_from_now_on;
use crate::runner::JobError;

pub(super) async fn record(
    txn: &DatabaseTransaction,
    before: Option<SavedPaymentMethod>,
    seen: Option<ProviderPaymentMethod>,
) -> Result<Applied, JobError> {
    let owner = match seen.as_ref().and_then(|seen| seen.provider_customer_id.as_deref()) {
        Some(stripe_customer_id) => customers::find_by_stripe_id(txn, stripe_customer_id).await?,
        None => None,
    };
    let (before, after) = match (before, seen, owner) {
        (Some(before), Some(seen), Some(_)) if before.status != SavedPaymentMethodStatus::Removed => {
            let after = SavedPaymentMethod { card: seen.card, ..before.clone() };
            (before, after)
        }
        // Removed for good: old news.
        (Some(_), Some(_), Some(_)) => return Ok(Applied::Changed(Vec::new())),
        (Some(before), _, None) | (Some(before), None, Some(_)) => {
            let after = SavedPaymentMethod { status: SavedPaymentMethodStatus::Removed, ..before.clone() };
            (before, after)
        }
        (None, Some(seen), Some(owner)) => {
            let now = Utc::now();
            let found = SavedPaymentMethod {
                row_id: Uuid::now_v7(),
                id: seen.id,
                user_id: owner.user_id,
                customer_id: owner.id,
                status: SavedPaymentMethodStatus::Saved,
                card: seen.card,
                version: 1,
                created_at: now,
                updated_at: now,
            };
            if !saved_payment_methods::insert_found(txn, &found).await? {
                return Err(JobError::Stale);
            }
            // That it was removed may have been heard first.
            known_from_now_on(txn, None, Some(&found.id)).await?;
            return Ok(Applied::Changed(vec![found.row_id, found.customer_id.0]));
        }
        (None, seen, _) => {
            let object = seen.map(|seen| seen.id);
            if let Some(object) = &object {
                provider_events::lock_object(txn, object).await?;
                if saved_payment_methods::find_by_provider_id(txn, object).await?.is_some() {
                    return Err(JobError::Stale);
                }
            }
            return Ok(Applied::NotOurs("no customer of ours has it".to_owned(), object));
        }
    };
    if after == before {
        return Ok(Applied::Changed(Vec::new()));
    }
    match saved_payment_methods::save(txn, &before, &after).await? {
        Saved::Saved => Ok(Applied::Changed(vec![before.row_id, before.customer_id.0])),
        Saved::Stale => Err(JobError::Stale),
    }
}
