//! Attempts: one row for each thing that we want a provider to do, however often we have to try.
//!
//! The id of the row is the idempotency key. It is written before the first call and never chosen anew, so that
//! the provider does the thing at most once.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

use super::sql;
use crate::domain::ids::{AttemptId, JobId};
use crate::entities::attempt;

#[derive(Debug, Clone)]
pub struct Attempt {
    pub id: AttemptId,
    /// 1 on the first try.
    pub tries: i32,
    /// How long ago the first try began, by Postgres' clock.
    pub age: Duration,
}

/// Opens the attempt of a job for an operation, or opens it again with the same id.
///
/// # Errors
/// The database's own.
pub async fn open(conn: &impl ConnectionTrait, job_id: JobId, operation: &str) -> Result<Attempt, DbErr> {
    let statement = sql(
        "-- attempts::open
         INSERT INTO attempts (id, job_id, operation) VALUES ($1, $2, $3)
         ON CONFLICT (job_id, operation) DO UPDATE
         SET tries = attempts.tries + 1, outcome = 'open', updated_at = now()
         RETURNING *",
        [AttemptId::generate().0.into(), job_id.0.into(), operation.into()],
    );
    let row = attempt::Entity::find()
        .from_raw_sql(statement)
        .one(conn)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("the attempt just opened".to_owned()))?;
    Ok(Attempt {
        id: AttemptId(row.id),
        tries: row.tries,
        age: (row.updated_at - row.created_at).to_std().unwrap_or_default(),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The provider did it, or told us that it did not and why (a decline).
    Done,
    /// It certainly did nothing; the next try may send again.
    NotSent,
    /// Nobody knows.
    Unknown,
    /// The provider will never do it.
    Rejected,
}

impl AttemptOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Rejected => "rejected",
        }
    }
}

/// Notes how a try ended.
///
/// # Errors
/// The database's own.
pub async fn close(
    conn: &impl ConnectionTrait,
    id: AttemptId,
    outcome: AttemptOutcome,
    provider_request_id: Option<&str>,
    error: Option<&str>,
) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- attempts::close
         UPDATE attempts SET outcome = $2, provider_request_id = coalesce($3, provider_request_id), last_error = $4,
                updated_at = now()
         WHERE id = $1",
        [
            id.0.into(),
            outcome.as_str().into(),
            provider_request_id.map(str::to_owned).into(),
            error.map(str::to_owned).into(),
        ],
    ))
    .await
    .map(drop)
}
