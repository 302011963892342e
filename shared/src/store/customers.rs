//! Customers: one row a user, made the first time that the user does something.

use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

use super::sql;
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
            return Ok(row.into());
        }
    }
    Err(DbErr::RecordNotFound(format!("customer of user {user_id}")))
}

/// The customer of a payment, for the job that works on it.
///
/// # Errors
/// The database's own.
pub async fn find_for_job(conn: &impl ConnectionTrait, id: CustomerId) -> Result<Option<Customer>, DbErr> {
    Ok(customer::Entity::find_by_id(id.0).one(conn).await?.map(Into::into))
}

/// Remembers the Stripe customer. The first one stays.
///
/// # Errors
/// The database's own.
pub async fn set_stripe_customer(
    conn: &impl ConnectionTrait,
    id: CustomerId,
    stripe_customer_id: &str,
) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- customers::set_stripe_customer
         UPDATE customers SET stripe_customer_id = $2, updated_at = now() WHERE id = $1 AND stripe_customer_id IS NULL",
        [id.0.into(), stripe_customer_id.into()],
    ))
    .await
    .map(drop)
}
