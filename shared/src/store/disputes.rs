//! Disputes. Administrators see everybody's, users their own.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
    Set,
};

use super::{Saved, all, json_or_null, swap};
use crate::domain::dispute::{Dispute, DisputeStatus};
use crate::domain::ids::{DisputeId, PaymentId, UserId};
use crate::entities::dispute;
use crate::tally;

/// Writes a dispute that was made elsewhere, unless it is here already. Whether it was written.
///
/// # Errors
/// The database's own.
pub async fn insert_found(conn: &impl ConnectionTrait, found: &Dispute) -> Result<bool, DbErr> {
    let known =
        OnConflict::columns([dispute::Column::Provider, dispute::Column::ProviderDisputeId]).do_nothing().to_owned();
    let rows = dispute::Entity::insert(row(found)?).on_conflict(known).exec_without_returning(conn).await?;
    if rows == 1 {
        tally::dispute(None, found);
    }
    Ok(rows == 1)
}

/// A user's dispute.
///
/// # Errors
/// The database's own.
pub async fn find(conn: &impl ConnectionTrait, owner: &UserId, id: DisputeId) -> Result<Option<Dispute>, DbErr> {
    let found = dispute::Entity::find_by_id(id.0).filter(dispute::Column::UserId.eq(&owner.0)).one(conn).await?;
    found.map(TryInto::try_into).transpose()
}

/// Anybody's dispute, for a job or an administrator.
///
/// # Errors
/// The database's own.
pub async fn find_any(conn: &impl ConnectionTrait, id: DisputeId) -> Result<Option<Dispute>, DbErr> {
    dispute::Entity::find_by_id(id.0).one(conn).await?.map(TryInto::try_into).transpose()
}

/// Anybody's dispute, for an administrator, locked until the transaction ends.
///
/// # Errors
/// The database's own.
pub async fn lock_any(conn: &impl ConnectionTrait, id: DisputeId) -> Result<Option<Dispute>, DbErr> {
    dispute::Entity::find_by_id(id.0).lock_exclusive().one(conn).await?.map(TryInto::try_into).transpose()
}

/// The dispute that is known to the provider by this id.
///
/// # Errors
/// The database's own.
pub async fn find_by_provider_id(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Dispute>, DbErr> {
    let found = dispute::Entity::find().filter(dispute::Column::ProviderDisputeId.eq(id)).one(conn).await?;
    found.map(TryInto::try_into).transpose()
}

/// A user's disputes, newest first, at most `limit`, those older than `before`.
///
/// # Errors
/// The database's own.
pub async fn list(
    conn: &impl ConnectionTrait,
    owner: &UserId,
    (payment, status): (Option<PaymentId>, Option<DisputeStatus>),
    before: Option<DisputeId>,
    limit: u64,
) -> Result<Vec<Dispute>, DbErr> {
    let mut query = dispute::Entity::find().filter(dispute::Column::UserId.eq(&owner.0));
    if let Some(payment) = payment {
        query = query.filter(dispute::Column::PaymentId.eq(payment.0));
    }
    page(conn, query, status, before, limit).await
}

/// Everybody's disputes, for an administrator.
///
/// # Errors
/// The database's own.
pub async fn list_any(
    conn: &impl ConnectionTrait,
    status: Option<DisputeStatus>,
    before: Option<DisputeId>,
    limit: u64,
) -> Result<Vec<Dispute>, DbErr> {
    page(conn, dispute::Entity::find(), status, before, limit).await
}

async fn page(
    conn: &impl ConnectionTrait,
    mut query: Select<dispute::Entity>,
    status: Option<DisputeStatus>,
    before: Option<DisputeId>,
    limit: u64,
) -> Result<Vec<Dispute>, DbErr> {
    if let Some(status) = status {
        query = query.filter(dispute::Column::Status.eq(status.as_str()));
    }
    if let Some(before) = before {
        query = query.filter(dispute::Column::Id.lt(before.0));
    }
    all(query.order_by_desc(dispute::Column::Id).limit(limit).all(conn).await?)
}

/// Compares and swaps: writes `after` if the row still is the version that `before` was read at.
///
/// # Errors
/// The database's own.
pub async fn save(conn: &impl ConnectionTrait, before: &Dispute, after: &Dispute) -> Result<Saved, DbErr> {
    use dispute::Column;
    let kept = [Column::UserId, Column::PaymentId];
    let saved = swap::<dispute::Entity>(conn, row(after)?, &kept, (before.id.0, before.version)).await?;
    if saved == Saved::Saved {
        tally::dispute(Some(before), after);
    }
    Ok(saved)
}

fn row(dispute: &Dispute) -> Result<dispute::ActiveModel, DbErr> {
    Ok(dispute::ActiveModel {
        id: Set(dispute.id.0),
        user_id: Set(dispute.user_id.0.clone()),
        payment_id: Set(dispute.payment_id.0),
        provider: Set(dispute.provider.as_str().to_owned()),
        provider_dispute_id: Set(dispute.provider_dispute_id.clone()),
        status: Set(dispute.status.as_str().to_owned()),
        reason: Set(dispute.reason.clone()),
        amount: Set(dispute.money.minor),
        currency: Set(dispute.money.currency.code()),
        funds: Set(dispute.funds.as_str().to_owned()),
        evidence_due_by: Set(dispute.evidence_due_by),
        evidence_submitted: Set(dispute.evidence_submitted),
        last_operation: Set(json_or_null(dispute.last_operation.as_ref())?),
        version: Set(dispute.version),
        created_at: Set(dispute.created_at),
        updated_at: Set(dispute.updated_at),
        closed_at: Set(dispute.closed_at),
    })
}
