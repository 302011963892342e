//! Attempts: one row for each thing that we want a provider to do, however often we have to try.
//!
//! The id of the row is the idempotency key. It is written before the first call and never chosen anew, so that
//! the provider does the thing at most once.

use std::time::{Duration, Instant, SystemTime};

use sea_orm::{ConnectionTrait, DbErr, EntityTrait};
use uuid::Uuid;

use super::jobs::LEASE_TTL;
use super::sql;
use crate::domain::ids::{AttemptId, CustomerId, JobId};
use crate::entities::attempt;

#[derive(Debug, Clone)]
pub struct Attempt {
    pub id: AttemptId,
    /// 1 on the first try.
    pub tries: i32,
    /// Whose it is at Stripe, on every try.
    pub stripe_customer_id: Option<String>,
    /// An administrator has given it up: it is looked for, and never sent again.
    pub given_up: bool,
    /// How long ago the first try began, by Postgres' clock, when it was opened here.
    age: Duration,
    opened: (Instant, SystemTime),
}

impl Attempt {
    /// Whether it was opened so long ago that another worker may have opened it since: nothing may be sent any more.
    #[must_use]
    pub fn is_too_late(&self) -> bool {
        self.since_opened() > LEASE_TTL
    }

    /// How long ago the first try began, also where the process or the whole machine slept meanwhile: the one clock
    /// stands still then, the other can be set back.
    #[must_use]
    pub fn age_now(&self) -> Duration {
        self.age.saturating_add(self.since_opened())
    }

    fn since_opened(&self) -> Duration {
        let (steady, wall) = self.opened;
        steady.elapsed().max(wall.elapsed().unwrap_or_default())
    }
}

impl From<attempt::Model> for Attempt {
    fn from(row: attempt::Model) -> Self {
        Self {
            id: AttemptId(row.id),
            tries: row.tries,
            stripe_customer_id: row.stripe_customer_id,
            given_up: row.given_up_at.is_some(),
            age: (row.updated_at - row.created_at).to_std().unwrap_or_default(),
            opened: (Instant::now(), SystemTime::now()),
        }
    }
}

/// Opens the attempt of a job for an operation, or opens it again with the same id. Only after a rejection, when nothing was
/// done for certain, is there a new one.
///
/// # Errors
/// The database's own.
pub async fn open(conn: &impl ConnectionTrait, job_id: JobId, operation: &str) -> Result<Attempt, DbErr> {
    let statement = sql(
        "-- attempts::open
         INSERT INTO attempts (id, job_id, operation) VALUES ($1, $2, $3)
         ON CONFLICT (job_id, operation) WHERE outcome <> 'rejected' DO UPDATE
         SET tries = attempts.tries + 1, outcome = 'open', updated_at = now()
         RETURNING *",
        [AttemptId::generate().0.into(), job_id.0.into(), operation.into()],
    );
    let row = attempt::Entity::find().from_raw_sql(statement).one(conn).await?;
    row.map(Into::into).ok_or_else(|| DbErr::RecordNotFound("the attempt just opened".to_owned()))
}

/// The same for something that is made for a user's Stripe customer: the first try's, also where the user has another one
/// now, or none. `None`: there is neither such a try nor such a customer.
///
/// # Errors
/// The database's own.
pub async fn open_for(
    conn: &impl ConnectionTrait,
    job_id: JobId,
    operation: &str,
    customer: CustomerId,
) -> Result<Option<Attempt>, DbErr> {
    let statement = sql(
        "-- attempts::open_for
         INSERT INTO attempts (id, job_id, operation, stripe_customer_id)
         SELECT $1, $2, $3, customers.stripe_customer_id FROM customers
         WHERE customers.id = $4 AND (customers.stripe_customer_id IS NOT NULL OR EXISTS (
             SELECT FROM attempts WHERE job_id = $2 AND operation = $3 AND outcome <> 'rejected'))
         ON CONFLICT (job_id, operation) WHERE outcome <> 'rejected' DO UPDATE
         SET tries = attempts.tries + 1, outcome = 'open', updated_at = now(),
             -- An attempt from before customers were pinned has none.
             stripe_customer_id = coalesce(attempts.stripe_customer_id, excluded.stripe_customer_id)
         RETURNING *",
        [AttemptId::generate().0.into(), job_id.0.into(), operation.into(), customer.0.into()],
    );
    Ok(attempt::Entity::find().from_raw_sql(statement).one(conn).await?.map(Into::into))
}

/// What an attempt to create something is about: the subject of its job.
///
/// # Errors
/// The database's own.
pub async fn find_subject(conn: &impl ConnectionTrait, attempt: Uuid) -> Result<Option<Uuid>, DbErr> {
    let row = conn
        .query_one_raw(sql(
            "-- attempts::find_subject
             SELECT jobs.subject_id FROM attempts JOIN jobs ON jobs.id = attempts.job_id
             WHERE attempts.id = $1 AND attempts.operation IN ('create_payment', 'create_refund')",
            [attempt.into()],
        ))
        .await?;
    row.map(|row| row.try_get("", "subject_id")).transpose()
}

/// The last attempt to create something.
///
/// # Errors
/// The database's own.
pub async fn find_last(conn: &impl ConnectionTrait, subject: Uuid) -> Result<Option<AttemptId>, DbErr> {
    let row = conn
        .query_one_raw(sql(
            "-- attempts::find_last
             SELECT attempts.id FROM attempts JOIN jobs ON jobs.id = attempts.job_id
             WHERE jobs.subject_id = $1 AND attempts.operation IN ('create_payment', 'create_refund')
             ORDER BY attempts.created_at DESC LIMIT 1",
            [subject.into()],
        ))
        .await?;
    row.map(|row| row.try_get("", "id").map(AttemptId)).transpose()
}

/// Gives an attempt up: if the next look finds nothing of it, nothing came of it.
///
/// # Errors
/// The database's own.
pub async fn give_up(conn: &impl ConnectionTrait, id: AttemptId) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- attempts::give_up
         UPDATE attempts SET given_up_at = now() WHERE id = $1",
        [id.0.into()],
    ))
    .await
    .map(drop)
}

/// Whether a job may have created something at a provider without anybody knowing: it asked, and was not told; it may have
/// died before it could say so.
///
/// # Errors
/// The database's own.
pub async fn may_be_made(conn: &impl ConnectionTrait, job_id: JobId) -> Result<bool, DbErr> {
    let statement = sql(
        "-- attempts::may_be_made
         SELECT FROM attempts WHERE job_id = $1 AND operation LIKE 'create_%' AND outcome IN ('open', 'unknown') LIMIT 1",
        [job_id.0.into()],
    );
    Ok(conn.query_one_raw(statement).await?.is_some())
}

/// The attempts of all jobs that work on something, newest first, two hundred at most.
///
/// # Errors
/// The database's own.
pub async fn list(conn: &impl ConnectionTrait, subject: Uuid) -> Result<Vec<attempt::Model>, DbErr> {
    let statement = sql(
        "-- attempts::list
         SELECT attempts.* FROM attempts JOIN jobs ON jobs.id = attempts.job_id
         WHERE jobs.subject_id = $1 ORDER BY attempts.created_at DESC, attempts.id DESC LIMIT 200",
        [subject.into()],
    );
    attempt::Entity::find().from_raw_sql(statement).all(conn).await
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
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Rejected => "rejected",
        }
    }
}
