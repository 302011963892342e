//! Payment methods that customers have saved.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _, Set,
};
use uuid::Uuid;

use super::{Saved, all, sql};
use crate::domain::ids::{CustomerId, UserId};
use crate::domain::saved_payment_method::SavedPaymentMethod;
use crate::entities::saved_payment_method as row_of;

/// How many are listed at most.
const LIST_MAX: u64 = 100;

/// What a user can pay with, newest first, at most a hundred.
///
/// # Errors
/// The database's own.
pub async fn list(conn: &impl ConnectionTrait, owner: &UserId) -> Result<Vec<SavedPaymentMethod>, DbErr> {
    let query = row_of::Entity::find()
        .filter(row_of::Column::UserId.eq(&owner.0))
        .filter(row_of::Column::Status.eq("saved"))
        .order_by_desc(row_of::Column::Id)
        .limit(LIST_MAX);
    all(query.all(conn).await?)
}

/// A user's payment method by the provider's id, whatever became of it.
///
/// # Errors
/// The database's own.
pub async fn find(conn: &impl ConnectionTrait, owner: &UserId, id: &str) -> Result<Option<SavedPaymentMethod>, DbErr> {
    let found = row_of::Entity::find()
        .filter(row_of::Column::ProviderPaymentMethodId.eq(id))
        .filter(row_of::Column::UserId.eq(&owner.0));
    found.one(conn).await?.map(TryInto::try_into).transpose()
}

/// The payment method a job works on. No user asks here, so there is no owner.
///
/// # Errors
/// The database's own.
pub async fn find_for_job(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<SavedPaymentMethod>, DbErr> {
    row_of::Entity::find_by_id(id).one(conn).await?.map(TryInto::try_into).transpose()
}

/// The payment method that is known to the provider by this id.
///
/// # Errors
/// The database's own.
pub async fn find_by_provider_id(conn: &impl ConnectionTrait, id: &str) -> Result<Option<SavedPaymentMethod>, DbErr> {
    let found = row_of::Entity::find().filter(row_of::Column::ProviderPaymentMethodId.eq(id)).one(conn).await?;
    found.map(TryInto::try_into).transpose()
}

/// Writes a payment method that was made elsewhere, unless it is here already. Whether it was written.
///
/// # Errors
/// The database's own.
pub async fn insert_found(conn: &impl ConnectionTrait, found: &SavedPaymentMethod) -> Result<bool, DbErr> {
    let known = OnConflict::column(row_of::Column::ProviderPaymentMethodId).do_nothing().to_owned();
    let rows = row_of::Entity::insert(row(found)).on_conflict(known).exec_without_returning(conn).await?;
    Ok(rows == 1)
}

/// Compares and swaps: writes `after` if the row still is the version that `before` was read at.
///
/// # Errors
/// The database's own.
pub async fn save(
    conn: &impl ConnectionTrait,
    before: &SavedPaymentMethod,
    after: &SavedPaymentMethod,
) -> Result<Saved, DbErr> {
    let mut row = row(after);
    row.version = Set(before.version.saturating_add(1));
    row.id = sea_orm::NotSet;
    row.user_id = sea_orm::NotSet;
    row.created_at = sea_orm::NotSet;
    row.updated_at = sea_orm::NotSet;
    let updated = row_of::Entity::update_many()
        .set(row)
        .col_expr(row_of::Column::UpdatedAt, Expr::cust("clock_timestamp()"))
        .filter(row_of::Column::Id.eq(before.row_id))
        .filter(row_of::Column::Version.eq(before.version))
        .exec(conn)
        .await?;
    Ok(Saved::from_rows(updated.rows_affected))
}

/// Everything that a customer had saved is gone: the provider's customer is. Gives how many.
///
/// # Errors
/// The database's own.
pub async fn remove_all(conn: &impl ConnectionTrait, customer: CustomerId) -> Result<u64, DbErr> {
    let done = conn
        .execute_raw(sql(
            "-- saved_payment_methods::remove_all
             UPDATE saved_payment_methods SET status = 'removed', version = version + 1, updated_at = clock_timestamp()
             WHERE customer_id = $1 AND status <> 'removed'",
            [customer.0.into()],
        ))
        .await?;
    Ok(done.rows_affected())
}

fn row(method: &SavedPaymentMethod) -> row_of::ActiveModel {
    row_of::ActiveModel {
        id: Set(method.row_id),
        provider_payment_method_id: Set(method.id.clone()),
        user_id: Set(method.user_id.0.clone()),
        customer_id: Set(method.customer_id.0),
        status: Set(method.status.as_str().to_owned()),
        kind: Set(method.card.kind.clone()),
        brand: Set(method.card.brand.clone()),
        last4: Set(method.card.last4.clone()),
        exp_month: Set(method.card.exp_month),
        exp_year: Set(method.card.exp_year),
        version: Set(method.version),
        created_at: Set(method.created_at),
        updated_at: Set(method.updated_at),
    }
}
