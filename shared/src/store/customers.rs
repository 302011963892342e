//! Customers: one row a user, made the first time that the user does something.

use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait, QueryFilter as _};

use super::{Saved, json, sql};
use crate::domain::customer::Customer;
use crate::domain::ids::{CustomerId, UserId};
use crate::entities::customer;

/// The user's customer, made now if there is none. What the first token said of email and name stays:
/// a Stripe customer is created from them, and a retry must send the same.
///
/// # Errors
/// The database's own.
pub async fn ensure(
    conn: &impl ConnectionTrait,
    user_id: &UserId,
    email: Option<&str>,
    name: Option<&str>,
) -> Result<Customer, DbErr> {
    // Twice: a row that another transaction inserted meanwhile is only visible to the next statement.
    for _ in 0..2 {
        let statement = sql(
            "-- customers::ensure
             WITH found AS (SELECT * FROM customers WHERE user_id = $2),
                  made AS (INSERT INTO customers (id, user_id, email, name)
                           SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT FROM found)
                           ON CONFLICT (user_id) DO NOTHING RETURNING *)
             SELECT * FROM found UNION ALL SELECT * FROM made",
            [
                CustomerId::generate().0.into(),
                user_id.0.as_str().into(),
                email.map(str::to_owned).into(),
                name.map(str::to_owned).into(),
            ],
        );
        if let Some(row) = customer::Entity::find().from_raw_sql(statement).one(conn).await? {
            return row.try_into();
        }
    }
    Err(DbErr::RecordNotFound(format!("customer of user {user_id}")))
}

/// The customer of a payment, for the job that works on it.
///
/// # Errors
/// The database's own.
pub async fn find_for_job(conn: &impl ConnectionTrait, id: CustomerId) -> Result<Option<Customer>, DbErr> {
    customer::Entity::find_by_id(id.0).one(conn).await?.map(TryInto::try_into).transpose()
}

/// The customer who is known to Stripe by this id.
///
/// # Errors
/// The database's own.
pub async fn find_by_stripe_id(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Customer>, DbErr> {
    let found = customer::Entity::find().filter(customer::Column::StripeCustomerId.eq(id)).one(conn).await?;
    found.map(TryInto::try_into).transpose()
}

/// Remembers the Stripe customer that was made under the key of `generation`. The first one stays.
///
/// # Errors
/// The database's own.
pub async fn set_stripe_customer(
    conn: &impl ConnectionTrait,
    id: CustomerId,
    generation: i32,
    stripe_customer_id: &str,
) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- customers::set_stripe_customer
         UPDATE customers SET stripe_customer_id = $3
         WHERE id = $1 AND stripe_generation = $2 AND stripe_customer_id IS NULL",
        [id.0.into(), generation.into(), stripe_customer_id.into()],
    ))
    .await
    .map(drop)
}

/// Forgets a Stripe customer that is gone. The next one is made under another key.
///
/// # Errors
/// The database's own.
pub async fn forget_stripe_customer(
    conn: &impl ConnectionTrait,
    id: CustomerId,
    stripe_customer_id: &str,
) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- customers::forget_stripe_customer
         UPDATE customers SET stripe_customer_id = NULL, stripe_generation = stripe_generation + 1
         WHERE id = $1 AND stripe_customer_id = $2",
        [id.0.into(), stripe_customer_id.into()],
    ))
    .await
    .map(drop)
}

/// Gives up the key of `generation`, under which only a failure is stored.
///
/// # Errors
/// The database's own.
pub async fn skip_generation(conn: &impl ConnectionTrait, id: CustomerId, generation: i32) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- customers::skip_generation
         UPDATE customers SET stripe_generation = stripe_generation + 1
         WHERE id = $1 AND stripe_generation = $2 AND stripe_customer_id IS NULL",
        [id.0.into(), generation.into()],
    ))
    .await
    .map(drop)
}

/// Stripe has been told that these keys of metadata are gone.
///
/// # Errors
/// The database's own.
pub async fn forget_removed_metadata(conn: &impl ConnectionTrait, told: &Customer) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- customers::forget_removed_metadata
         UPDATE customers SET removed_metadata = '{}' WHERE id = $1 AND updated_at = $2 AND removed_metadata <> '{}'",
        [told.id.0.into(), told.updated_at.into()],
    ))
    .await
    .map(drop)
}

/// Writes email, name and metadata, if nobody wrote them since `before` was read.
///
/// # Errors
/// The database's own.
pub async fn save(conn: &impl ConnectionTrait, before: &Customer, after: &Customer) -> Result<Saved, DbErr> {
    let done = conn
        .execute_raw(sql(
            "-- customers::save
             UPDATE customers SET email = $3, name = $4, metadata = $5, removed_metadata = $6, updated_at = clock_timestamp()
             WHERE id = $1 AND updated_at = $2",
            [
                before.id.0.into(),
                before.updated_at.into(),
                after.email.clone().into(),
                after.name.clone().into(),
                json(&after.metadata)?.into(),
                after.removed_metadata.iter().cloned().collect::<Vec<_>>().into(),
            ],
        ))
        .await?;
    Ok(Saved::from_rows(done.rows_affected()))
}
