//! Refunds. Postgres keeps their sum within what was captured: see the migration.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};

use super::{Saved, all, json, json_or_null, of_postgres, swap};
use crate::domain::ids::{PaymentId, RefundId, UserId};
use crate::domain::refund::Refund;
use crate::entities::refund;
use crate::tally;

/// Writes a new refund.
///
/// # Errors
/// The database's own. [`exceeds_captured`] tells whether it was the sum.
pub async fn insert(conn: &impl ConnectionTrait, new: &Refund) -> Result<(), DbErr> {
    refund::Entity::insert(row(new)?).exec_without_returning(conn).await?;
    tally::refund(None, new);
    Ok(())
}

/// Writes a refund that was made elsewhere, unless it is here already. Whether it was written.
///
/// # Errors
/// The database's own.
pub async fn insert_found(conn: &impl ConnectionTrait, found: &Refund) -> Result<bool, DbErr> {
    let known =
        OnConflict::columns([refund::Column::Provider, refund::Column::ProviderRefundId]).do_nothing().to_owned();
    let rows = refund::Entity::insert(row(found)?).on_conflict(known).exec_without_returning(conn).await?;
    if rows == 1 {
        tally::refund(None, found);
    }
    Ok(rows == 1)
}

/// Whether the database refused because the refunds would exceed what was captured.
#[must_use]
pub fn exceeds_captured(error: &DbErr) -> bool {
    of_postgres(error).is_some_and(|error| error.constraint() == Some("payments_refunds_within_captured"))
}

/// A user's refund.
///
/// # Errors
/// The database's own.
pub async fn find(conn: &impl ConnectionTrait, owner: &UserId, id: RefundId) -> Result<Option<Refund>, DbErr> {
    let found = refund::Entity::find_by_id(id.0).filter(refund::Column::UserId.eq(&owner.0)).one(conn).await?;
    found.map(TryInto::try_into).transpose()
}

/// The refund a job works on. No user asks here, so there is no owner.
///
/// # Errors
/// The database's own.
pub async fn find_for_job(conn: &impl ConnectionTrait, id: RefundId) -> Result<Option<Refund>, DbErr> {
    refund::Entity::find_by_id(id.0).one(conn).await?.map(TryInto::try_into).transpose()
}

/// Anybody's refund, for an administrator, locked until the transaction ends.
///
/// # Errors
/// The database's own.
pub async fn lock_any(conn: &impl ConnectionTrait, id: RefundId) -> Result<Option<Refund>, DbErr> {
    refund::Entity::find_by_id(id.0).lock_exclusive().one(conn).await?.map(TryInto::try_into).transpose()
}

/// The refund that is known to the provider by this id.
///
/// # Errors
/// The database's own.
pub async fn find_by_provider_id(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Refund>, DbErr> {
    let found = refund::Entity::find().filter(refund::Column::ProviderRefundId.eq(id)).one(conn).await?;
    found.map(TryInto::try_into).transpose()
}

/// A user's refunds, or those of one of the user's payments, newest first, at most `limit`, those older than `before`.
///
/// # Errors
/// The database's own.
pub async fn list(
    conn: &impl ConnectionTrait,
    owner: &UserId,
    payment: Option<PaymentId>,
    before: Option<RefundId>,
    limit: u64,
) -> Result<Vec<Refund>, DbErr> {
    let mut query = refund::Entity::find().filter(refund::Column::UserId.eq(&owner.0));
    if let Some(payment) = payment {
        query = query.filter(refund::Column::PaymentId.eq(payment.0));
    }
    if let Some(before) = before {
        query = query.filter(refund::Column::Id.lt(before.0));
    }
    all(query.order_by_desc(refund::Column::Id).limit(limit).all(conn).await?)
}

/// Compares and swaps: writes `after` if the row still is the version that `before` was read at.
///
/// # Errors
/// The database's own.
pub async fn save(conn: &impl ConnectionTrait, before: &Refund, after: &Refund) -> Result<Saved, DbErr> {
    use refund::Column;
    let kept = [Column::UserId, Column::PaymentId];
    let saved = swap::<refund::Entity>(conn, row(after)?, &kept, (before.id.0, before.version)).await?;
    if saved == Saved::Saved {
        tally::refund(Some(before), after);
    }
    Ok(saved)
}

fn row(refund: &Refund) -> Result<refund::ActiveModel, DbErr> {
    Ok(refund::ActiveModel {
        id: Set(refund.id.0),
        user_id: Set(refund.user_id.0.clone()),
        payment_id: Set(refund.payment_id.0),
        provider: Set(refund.provider.as_str().to_owned()),
        provider_refund_id: Set(refund.provider_refund_id.clone()),
        status: Set(refund.status.as_str().to_owned()),
        amount: Set(refund.money.minor),
        currency: Set(refund.money.currency.code()),
        reason: Set(refund.reason.clone()),
        failure: Set(json_or_null(refund.failure.as_ref())?),
        outcome_unknown_since: Set(refund.outcome_unknown_since),
        metadata: Set(json(&refund.metadata)?),
        version: Set(refund.version),
        created_at: Set(refund.created_at),
        updated_at: Set(refund.updated_at),
        completed_at: Set(refund.completed_at),
    })
}
