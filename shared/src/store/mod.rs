//! Every query. Free functions, the connection first, the owner second wherever a user asks; domain types in and out.
//!
//! The caller opens the transaction. Time in here is Postgres' own (`now()`), so that hosts with wrong clocks
//! cannot steal each other's leases.

use std::str::FromStr as _;
use std::time::Duration;

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait as _, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend,
    DbErr, EntityTrait, QueryFilter as _, RuntimeErr, Statement, UpdateMany, Value,
};
use uuid::Uuid;

pub mod attempts;
pub mod closing;
pub mod customers;
pub mod dead_letters;
pub mod disputes;
pub mod event_sweeps;
pub mod idempotency_keys;
pub mod jobs;
pub mod new_payments;
pub mod payments;
pub mod provider_events;
pub mod refunds;
pub mod saved_payment_methods;
pub mod setups;
pub mod subscriptions;
pub mod unknown_outcomes;

/// The newest migration that this release needs.
pub const SCHEMA: &str = "m20261129_000027_lock_provider_objects";

/// A pool of connections that are made as they are needed: the process starts, and stays up, without Postgres.
///
/// # Errors
/// A URL that cannot be parsed.
pub async fn connect(url: &str, application_name: &str, connections_max: u32) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(5))
        // The default pings before every use, a round trip more for each statement; idle connections may be dead.
        .test_before_acquire_if_idle_for(Duration::from_secs(1))
        .connect_lazy(true)
        .set_application_name(application_name)
        .statement_timeout(Duration::from_secs(10))
        // Who holds a lock for longer hangs. One whose process is frozen in the middle of a transaction is cut off.
        .map_sqlx_postgres_opts(|options| {
            options.options([("lock_timeout", "3s"), ("idle_in_transaction_session_timeout", "15s")])
        })
        .sqlx_logging(false);
    Database::connect(options).await
}

/// Whether the schema is as new as this release needs.
///
/// # Errors
/// The database's own: there may be no schema at all.
pub async fn has_schema(conn: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let statement = sql("SELECT FROM seaql_migrations WHERE version >= $1 LIMIT 1", [SCHEMA.into()]);
    Ok(conn.query_one_raw(statement).await?.is_some())
}

/// What became of a compare-and-swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Saved {
    Saved,
    /// Somebody else wrote since `before` was read: read it again, decide again.
    Stale,
}

impl Saved {
    fn from_rows(rows: u64) -> Self {
        if rows == 1 { Self::Saved } else { Self::Stale }
    }
}

/// Whether Postgres refused the values (SQLSTATE classes 22 and 23): the same statement would be refused again.
#[must_use]
pub fn is_refusal(error: &DbErr) -> bool {
    sqlstate(error).is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// Whether Postgres gave up waiting for another transaction, or for two that waited for each other (SQLSTATE 57014, 55P03,
/// 40P01): the same statement may do later.
#[must_use]
pub fn is_blocked(error: &DbErr) -> bool {
    sqlstate(error).is_some_and(|code| ["57014", "55P03", "40P01"].contains(&code.as_str()))
}

/// Postgres' code of an error, where it is Postgres that speaks.
fn sqlstate(error: &DbErr) -> Option<String> {
    of_postgres(error)?.code().map(std::borrow::Cow::into_owned)
}

/// The error as Postgres gave it.
fn of_postgres(error: &DbErr) -> Option<&dyn sea_orm::sqlx::error::DatabaseError> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(source)) | DbErr::Query(RuntimeErr::SqlxError(source)) => {
            source.as_database_error()
        }
        _ => None,
    }
}

/// Compares and swaps: writes `row`, but for what never changes (`kept`, and when it was made), if it still is of the
/// version that was read; then it is of the next one.
async fn swap<E>(
    conn: &impl ConnectionTrait,
    row: E::ActiveModel,
    kept: &[E::Column],
    read: (Uuid, i32),
) -> Result<Saved, DbErr>
where
    E: EntityTrait,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    Ok(Saved::from_rows(swapping::<E>(row, kept, read)?.exec(conn).await?.rows_affected))
}

/// The statement of [`swap`].
fn swapping<E>(mut row: E::ActiveModel, kept: &[E::Column], (id, version): (Uuid, i32)) -> Result<UpdateMany<E>, DbErr>
where
    E: EntityTrait,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let column = |name: &str| E::Column::from_str(name).map_err(|_| DbErr::Type(format!("a table without {name}")));
    let (id_column, version_column, updated_at) = (column("id")?, column("version")?, column("updated_at")?);
    for unwritten in kept.iter().copied().chain([id_column, updated_at, column("created_at")?]) {
        row.not_set(unwritten);
    }
    row.set(version_column, version.saturating_add(1).into());
    Ok(E::update_many()
        .set(row)
        .col_expr(updated_at, Expr::cust("clock_timestamp()"))
        .filter(id_column.eq(id))
        .filter(version_column.eq(version)))
}

/// A value as a JSON column holds it.
fn json<T: serde::Serialize>(value: &T) -> Result<serde_json::Value, DbErr> {
    serde_json::to_value(value).map_err(|error| DbErr::Json(error.to_string()))
}

/// The same for a column that may be NULL.
fn json_or_null<T: serde::Serialize>(value: Option<&T>) -> Result<Option<serde_json::Value>, DbErr> {
    value.map(json).transpose()
}

/// Reads rows as domain types.
fn all<R, D>(rows: Vec<R>) -> Result<Vec<D>, DbErr>
where
    D: TryFrom<R, Error = DbErr>,
{
    rows.into_iter().map(TryInto::try_into).collect()
}

/// One statement with its values.
fn sql<I>(text: &str, values: I) -> Statement
where
    I: IntoIterator<Item = Value>,
{
    Statement::from_sql_and_values(DbBackend::Postgres, text, values)
}

/// A statement without values.
pub(crate) fn statement(text: &str) -> Statement {
    Statement::from_string(DbBackend::Postgres, text)
}

/// For `make_interval(secs => $n)`.
fn seconds(duration: Duration) -> Value {
    duration.as_secs_f64().into()
}
