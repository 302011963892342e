//! Subscriptions. The latest payment of one is the newest that points to it.

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};
use secrecy::ExposeSecret as _;

use super::{Saved, json, json_or_null, sql, swap};
use crate::domain::ids::{PaymentId, SubscriptionId, UserId};
use crate::domain::subscription::{Subscription, SubscriptionStatus};
use crate::entities::subscription;
use crate::tally;

/// Writes a new subscription.
///
/// # Errors
/// The database's own.
pub async fn insert(conn: &impl ConnectionTrait, new: &Subscription) -> Result<(), DbErr> {
    subscription::Entity::insert(row(new)?).exec_without_returning(conn).await?;
    tally::subscription(None, new);
    Ok(())
}

/// A user's subscription.
///
/// # Errors
/// The database's own.
pub async fn find(
    conn: &impl ConnectionTrait,
    owner: &UserId,
    id: SubscriptionId,
) -> Result<Option<Subscription>, DbErr> {
    let found =
        subscription::Entity::find_by_id(id.0).filter(subscription::Column::UserId.eq(&owner.0)).one(conn).await?;
    with_latest(conn, found).await
}

/// A user's subscription, locked until the transaction ends.
///
/// # Errors
/// The database's own.
pub async fn lock(
    conn: &impl ConnectionTrait,
    owner: &UserId,
    id: SubscriptionId,
) -> Result<Option<Subscription>, DbErr> {
    let found = subscription::Entity::find_by_id(id.0)
        .filter(subscription::Column::UserId.eq(&owner.0))
        .lock_exclusive()
        .one(conn)
        .await?;
    with_latest(conn, found).await
}

/// The subscription a job works on. No user asks here, so there is no owner.
///
/// # Errors
/// The database's own.
pub async fn find_for_job(conn: &impl ConnectionTrait, id: SubscriptionId) -> Result<Option<Subscription>, DbErr> {
    subscription::Entity::find_by_id(id.0).one(conn).await?.map(TryInto::try_into).transpose()
}

/// The subscription that is known to the provider by this id.
///
/// # Errors
/// The database's own.
pub async fn find_by_provider_id(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Subscription>, DbErr> {
    let found =
        subscription::Entity::find().filter(subscription::Column::ProviderSubscriptionId.eq(id)).one(conn).await?;
    found.map(TryInto::try_into).transpose()
}

/// A user's subscriptions, newest first, at most `limit`, those older than `before`.
///
/// # Errors
/// The database's own.
pub async fn list(
    conn: &impl ConnectionTrait,
    owner: &UserId,
    status: Option<SubscriptionStatus>,
    before: Option<SubscriptionId>,
    limit: u64,
) -> Result<Vec<Subscription>, DbErr> {
    let mut query = subscription::Entity::find().filter(subscription::Column::UserId.eq(&owner.0));
    if let Some(status) = status {
        query = query.filter(subscription::Column::Status.eq(status.as_str()));
    }
    if let Some(before) = before {
        query = query.filter(subscription::Column::Id.lt(before.0));
    }
    let rows = query.order_by_desc(subscription::Column::Id).limit(limit).all(conn).await?;
    let mut found: Vec<Subscription> = super::all(rows)?;
    add_latest(conn, &mut found).await?;
    Ok(found)
}

async fn with_latest(
    conn: &impl ConnectionTrait,
    found: Option<subscription::Model>,
) -> Result<Option<Subscription>, DbErr> {
    let Some(row) = found else { return Ok(None) };
    let mut found: [Subscription; 1] = [row.try_into()?];
    add_latest(conn, &mut found).await?;
    let [found] = found;
    Ok(Some(found))
}

/// One statement for all of them.
async fn add_latest(conn: &impl ConnectionTrait, found: &mut [Subscription]) -> Result<(), DbErr> {
    let ids: Vec<uuid::Uuid> = found.iter().map(|subscription| subscription.id.0).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let rows = conn
        .query_all_raw(sql(
            "-- subscriptions::add_latest
             SELECT DISTINCT ON (subscription_id) subscription_id, id FROM payments
             WHERE subscription_id = ANY($1) ORDER BY subscription_id, id DESC",
            [ids.into()],
        ))
        .await?;
    for row in rows {
        let (of, latest): (uuid::Uuid, uuid::Uuid) = (row.try_get("", "subscription_id")?, row.try_get("", "id")?);
        for subscription in found.iter_mut().filter(|subscription| subscription.id.0 == of) {
            subscription.latest_payment_id = Some(PaymentId(latest));
        }
    }
    Ok(())
}

/// Compares and swaps: writes `after` if the row still is the version that `before` was read at.
///
/// # Errors
/// The database's own.
pub async fn save(conn: &impl ConnectionTrait, before: &Subscription, after: &Subscription) -> Result<Saved, DbErr> {
    use subscription::Column;
    let kept = [Column::UserId];
    let saved = swap::<subscription::Entity>(conn, row(after)?, &kept, (before.id.0, before.version)).await?;
    if saved == Saved::Saved {
        tally::subscription(Some(before), after);
    }
    Ok(saved)
}

/// How many are active, in trial or past due.
///
/// # Errors
/// The database's own.
pub async fn count_active(conn: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let row = conn
        .query_one_raw(sql(
            "-- subscriptions::count_active
             SELECT count(*) AS number FROM subscriptions WHERE status IN ('active', 'trialing', 'past_due')",
            [],
        ))
        .await?;
    row.ok_or_else(|| DbErr::RecordNotFound("a number".to_owned()))?.try_get("", "number")
}

fn row(subscription: &Subscription) -> Result<subscription::ActiveModel, DbErr> {
    Ok(subscription::ActiveModel {
        id: Set(subscription.id.0),
        user_id: Set(subscription.user_id.0.clone()),
        customer_id: Set(subscription.customer_id.0),
        provider: Set(subscription.provider.as_str().to_owned()),
        provider_subscription_id: Set(subscription.provider_subscription_id.clone()),
        provider_item_id: Set(subscription.provider_item_id.clone()),
        product_name: Set(subscription.product_name.clone()),
        payment_method: Set(subscription.payment_method.clone()),
        status: Set(subscription.status.as_str().to_owned()),
        amount: Set(subscription.money.minor),
        currency: Set(subscription.money.currency.code()),
        interval: Set(subscription.interval.as_str().to_owned()),
        interval_count: Set(subscription.interval_count),
        trial_period_days: Set(subscription.trial_period_days),
        current_period_start: Set(subscription.current_period_start),
        current_period_end: Set(subscription.current_period_end),
        trial_end: Set(subscription.trial_end),
        cancel_at_period_end: Set(subscription.cancel_at_period_end),
        canceled_at: Set(subscription.canceled_at),
        ended_at: Set(subscription.ended_at),
        outcome_unknown_since: Set(subscription.outcome_unknown_since),
        version: Set(subscription.version),
        created_at: Set(subscription.created_at),
        updated_at: Set(subscription.updated_at),
        client_secret: Set(subscription.client_secret.as_ref().map(|secret| secret.expose_secret().to_owned())),
        failure: Set(json_or_null(subscription.failure.as_ref())?),
        last_operation: Set(json_or_null(subscription.last_operation.as_ref())?),
        metadata: Set(json(&subscription.metadata)?),
    })
}
