//! Payments and their timelines.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{CommonTableExpression, Expr, LockType, OnConflict, Query, WithClause};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _, RuntimeErr, Select, Set,
};
use secrecy::ExposeSecret as _;

use super::{Saved, all, json, json_or_null, sql, swapping};
use crate::domain::ids::{PaymentId, UserId};
use crate::domain::money::Currency;
use crate::domain::payment::{Payment, PaymentStatus, ProviderName};
use crate::domain::timeline::{Step, TimelineEntry};
use crate::domain::transitions::Transitions as _;
use crate::entities::{payment, payment_timeline};
use crate::{tally, trace};

/// What a statement has just saved.
const SAVED: &str = "saved";

/// Notes that a payment was accepted by [`super::new_payments`], whose statement is not the work of one request.
pub fn note_accepted(new: &Payment) {
    tally::payment(None, new);
    trace::works_on(new.id, None);
}

/// A user's payment.
///
/// # Errors
/// The database's own.
pub async fn find(conn: &impl ConnectionTrait, owner: &UserId, id: PaymentId) -> Result<Option<Payment>, DbErr> {
    read(payment::Entity::find_by_id(id.0).filter(payment::Column::UserId.eq(&owner.0)).one(conn).await?)
}

/// The payment a job works on. No user asks here, so there is no owner.
///
/// # Errors
/// The database's own.
pub async fn find_for_job(conn: &impl ConnectionTrait, id: PaymentId) -> Result<Option<Payment>, DbErr> {
    read(payment::Entity::find_by_id(id.0).one(conn).await?)
}

/// Anybody's payment, for an administrator, locked until the transaction ends.
///
/// # Errors
/// The database's own.
pub async fn lock_any(conn: &impl ConnectionTrait, id: PaymentId) -> Result<Option<Payment>, DbErr> {
    read(payment::Entity::find_by_id(id.0).lock(LockType::NoKeyUpdate).one(conn).await?)
}

/// The payment that is known to the provider by this id.
///
/// # Errors
/// The database's own.
pub async fn find_by_provider_id(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Payment>, DbErr> {
    read(payment::Entity::find().filter(payment::Column::ProviderPaymentId.eq(id)).one(conn).await?)
}

/// A user's payment, locked until the transaction ends.
///
/// # Errors
/// The database's own.
pub async fn lock(conn: &impl ConnectionTrait, owner: &UserId, id: PaymentId) -> Result<Option<Payment>, DbErr> {
    let found = payment::Entity::find_by_id(id.0).filter(payment::Column::UserId.eq(&owner.0));
    read(found.lock(LockType::NoKeyUpdate).one(conn).await?)
}

/// The payment of a row: from here on the log tells that it is worked on.
fn read(row: Option<payment::Model>) -> Result<Option<Payment>, DbErr> {
    let Some(row) = row else { return Ok(None) };
    let payment = Payment::try_from(row)?;
    trace::works_on(payment.id, payment.trace);
    Ok(Some(payment))
}

/// Writes a payment that the provider made, unless it is here already. Whether it was written.
///
/// # Errors
/// The database's own.
pub async fn insert_found(conn: &impl ConnectionTrait, found: &Payment) -> Result<bool, DbErr> {
    let known =
        OnConflict::columns([payment::Column::Provider, payment::Column::ProviderPaymentId]).do_nothing().to_owned();
    let rows = payment::Entity::insert(row(found)?).on_conflict(known).exec_without_returning(conn).await?;
    if rows == 1 {
        tally::payment(None, found);
    }
    Ok(rows == 1)
}

/// Which payments are listed. What is `None` or empty does not matter.
#[derive(Debug, Clone, Default)]
pub struct PaymentFilter {
    pub status: Option<PaymentStatus>,
    pub provider: Option<ProviderName>,
    pub currency: Option<Currency>,
    pub created_after: Option<DateTime<Utc>>,
    pub created_before: Option<DateTime<Utc>>,
    /// All of these pairs.
    pub metadata: BTreeMap<String, String>,
}

/// A user's payments, newest first, at most `limit`, those older than `before`.
///
/// # Errors
/// The database's own.
pub async fn list(
    conn: &impl ConnectionTrait,
    owner: &UserId,
    filter: &PaymentFilter,
    before: Option<PaymentId>,
    limit: u64,
) -> Result<Vec<Payment>, DbErr> {
    let owned = payment::Entity::find().filter(payment::Column::UserId.eq(&owner.0));
    filtered(conn, owned, filter, before, limit).await
}

/// Everybody's payments, for administrators, as [`list`] gives a user's.
///
/// # Errors
/// The database's own.
pub async fn list_any(
    conn: &impl ConnectionTrait,
    filter: &PaymentFilter,
    before: Option<PaymentId>,
    limit: u64,
) -> Result<Vec<Payment>, DbErr> {
    filtered(conn, payment::Entity::find(), filter, before, limit).await
}

async fn filtered(
    conn: &impl ConnectionTrait,
    mut query: Select<payment::Entity>,
    filter: &PaymentFilter,
    before: Option<PaymentId>,
    limit: u64,
) -> Result<Vec<Payment>, DbErr> {
    if let Some(before) = before {
        query = query.filter(payment::Column::Id.lt(before.0));
    }
    if let Some(status) = filter.status {
        query = query.filter(payment::Column::Status.eq(status.as_str()));
    }
    if let Some(provider) = filter.provider {
        query = query.filter(payment::Column::Provider.eq(provider.as_str()));
    }
    if let Some(currency) = filter.currency {
        query = query.filter(payment::Column::Currency.eq(currency.code()));
    }
    if let Some(after) = filter.created_after {
        query = query.filter(payment::Column::CreatedAt.gt(after));
    }
    if let Some(before) = filter.created_before {
        query = query.filter(payment::Column::CreatedAt.lt(before));
    }
    if !filter.metadata.is_empty() {
        let pairs = json(&filter.metadata)?;
        query = query.filter(Expr::cust_with_values("metadata @> $1::jsonb", [pairs]));
    }
    all(query.order_by_desc(payment::Column::Id).limit(limit).all(conn).await?)
}

/// Compares and swaps: writes `after`, and the step that tells of it, if the row still is the version that `before` was
/// read at.
///
/// # Errors
/// The database's own.
pub async fn save(conn: &impl ConnectionTrait, before: &Payment, after: &Payment, step: &Step) -> Result<Saved, DbErr> {
    use payment::Column;
    use payment_timeline::Column as Told;
    // Triggers keep the sums.
    let kept =
        [Column::UserId, Column::SubscriptionId, Column::AmountRefunded, Column::AmountDisputed, Column::TraceParent];
    let mut payment = swapping::<payment::Entity>(row(after)?, &kept, (before.id.0, before.version))?.into_query();
    let told = Query::select()
        .columns([Column::Id, Column::Status])
        .exprs([step.actor.as_str(), step.cause.as_str(), step.detail.as_str()].map(Expr::val))
        .from(SAVED)
        .to_owned();
    let saved = CommonTableExpression::new()
        .table_name(SAVED)
        .query(payment.returning(Query::returning().columns([Column::Id, Column::Status])).to_owned())
        .to_owned();
    let step = Query::insert()
        .into_table(payment_timeline::Entity)
        .columns([Told::PaymentId, Told::Status, Told::Actor, Told::Cause, Told::Detail])
        .select_from(told)
        .map_err(|error| DbErr::Query(RuntimeErr::Internal(error.to_string())))?
        .to_owned();
    let done = conn.execute(&step.with(WithClause::new().cte(saved).to_owned())).await?;
    let saved = Saved::from_rows(done.rows_affected());
    if saved == Saved::Saved {
        tally::payment(Some(before), after);
    }
    Ok(saved)
}

/// Adds a step that tells what was learnt, and writes `after`, as [`save`] does, where it differs from `before`.
///
/// # Errors
/// The database's own.
pub async fn tell(conn: &impl ConnectionTrait, before: &Payment, after: &Payment, step: &Step) -> Result<Saved, DbErr> {
    if after.differs_from(before) {
        return save(conn, before, after, step).await;
    }
    add_step(conn, before.id, step).await?;
    Ok(Saved::Saved)
}

/// Adds a step to a payment's timeline, with the status that the payment has now: whoever is changing it at this moment
/// is waited for, unless its status is final and so cannot change.
///
/// # Errors
/// The database's own.
pub async fn add_step(conn: &impl ConnectionTrait, id: PaymentId, step: &Step) -> Result<(), DbErr> {
    let over = PaymentStatus::ALL.iter().filter(|status| status.is_final());
    conn.execute_raw(sql(
        "-- payments::add_step
         WITH over AS (SELECT id, status FROM payments WHERE id = $1 AND status = ANY($5)),
              open AS (SELECT id, status FROM payments WHERE id = $1 AND NOT EXISTS (SELECT FROM over) FOR NO KEY UPDATE)
         INSERT INTO payment_timeline (payment_id, status, actor, cause, detail)
         SELECT id, status, $2, $3, $4 FROM (SELECT * FROM over UNION ALL SELECT * FROM open) AS payment",
        [
            id.0.into(),
            step.actor.as_str().into(),
            step.cause.as_str().into(),
            step.detail.as_str().into(),
            over.map(|status| status.as_str().to_owned()).collect::<Vec<_>>().into(),
        ],
    ))
    .await
    .map(drop)
}

/// The steps of a user's payment, oldest first, at most a thousand. `None`: the user has no such payment.
///
/// # Errors
/// The database's own.
pub async fn timeline(
    conn: &impl ConnectionTrait,
    owner: &UserId,
    id: PaymentId,
) -> Result<Option<Vec<TimelineEntry>>, DbErr> {
    if find(conn, owner, id).await?.is_none() {
        return Ok(None);
    }
    steps(conn, id).await.map(Some)
}

/// The steps of anybody's payment, for an administrator, as [`timeline`] gives a user's.
///
/// # Errors
/// The database's own.
pub async fn steps(conn: &impl ConnectionTrait, id: PaymentId) -> Result<Vec<TimelineEntry>, DbErr> {
    let rows = payment_timeline::Entity::find()
        .filter(payment_timeline::Column::PaymentId.eq(id.0))
        .order_by_asc(payment_timeline::Column::Id)
        .limit(1_000)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

pub(super) fn row(payment: &Payment) -> Result<payment::ActiveModel, DbErr> {
    Ok(payment::ActiveModel {
        id: Set(payment.id.0),
        user_id: Set(payment.user_id.0.clone()),
        customer_id: Set(payment.customer_id.0),
        subscription_id: Set(payment.subscription_id.map(|id| id.0)),
        provider: Set(payment.provider.as_str().to_owned()),
        provider_payment_id: Set(payment.provider_payment_id.clone()),
        status: Set(payment.status.as_str().to_owned()),
        retryable: Set(payment.retryable),
        amount: Set(payment.money.minor),
        currency: Set(payment.money.currency.code()),
        amount_capturable: Set(payment.amount_capturable),
        amount_captured: Set(payment.amount_captured),
        amount_refunded: Set(payment.amount_refunded),
        amount_disputed: Set(payment.amount_disputed),
        capture_method: Set(payment.capture_method.as_str().to_owned()),
        description: Set(payment.description.clone()),
        statement_descriptor: Set(payment.statement_descriptor.clone()),
        payment_method: Set(payment.payment_method.clone()),
        off_session: Set(payment.off_session),
        return_url: Set(payment.return_url.clone()),
        swish: Set(json_or_null(payment.swish.as_ref())?),
        client_secret: Set(payment.client_secret.as_ref().map(|secret| secret.expose_secret().to_owned())),
        next_action: Set(payment.next_action.clone()),
        failure: Set(json_or_null(payment.failure.as_ref())?),
        last_operation: Set(json_or_null(payment.last_operation.as_ref())?),
        outcome_unknown_since: Set(payment.outcome_unknown_since),
        metadata: Set(json(&payment.metadata)?),
        version: Set(payment.version),
        created_at: Set(payment.created_at),
        updated_at: Set(payment.updated_at),
        completed_at: Set(payment.completed_at),
        expires_at: Set(payment.expires_at),
        trace_parent: Set(payment.trace.map(|trace| trace.to_string())),
    })
}
