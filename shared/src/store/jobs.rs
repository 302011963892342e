//! Jobs. The row is the truth; Redis only carries its id.
//!
//! The life of a row: `queued` → (lease) `running` → `done`, or back to `queued` for another try, or `dead`.
//! *Rung* means that its id was handed to Redis and the relay leaves it alone until `rung_until`.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, EntityTrait};
use uuid::Uuid;

use super::closing::Closing;
use super::{seconds, sql};
use crate::domain::ids::JobId;
use crate::domain::job::{JobKind, Lane, Lease, MAX_ATTEMPTS};
use crate::domain::payment::ProviderName;
use crate::entities::job;
use crate::tally::{self, Happened};
use crate::trace::Trace;

/// How long a ring is trusted. After it, whoever has not taken the job is rung again: so heals a lost Redis.
pub const RING_TTL: Duration = Duration::from_secs(10);
/// How long a lease lasts without being renewed: what a dead worker's jobs wait.
pub const LEASE_TTL: Duration = Duration::from_secs(6);

/// So many workers one after the other may go silent at work on a job, the first one aside; then it is dead: it may be what
/// ends them. From the second on it is a suspect, and suspects are rung one at a time: who only was there when another job
/// ended the worker gets to its end.
pub const SILENCES_MAX: i32 = 4;

/// A job that somebody has just made, to be rung once the transaction has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "ring it after the commit"]
pub struct Enqueued {
    pub id: JobId,
    pub lane: Lane,
    /// Whether it counts as rung. Otherwise it is the relay's.
    pub rung: bool,
}

/// Adds a job that calls the provider, already counted as rung: the caller hands it to the ringer after the commit. If it dies before
/// that, the relay rings after [`RING_TTL`].
///
/// # Errors
/// The database's own.
pub async fn enqueue(
    conn: &impl ConnectionTrait,
    kind: JobKind,
    provider: ProviderName,
    subject_id: Uuid,
) -> Result<Enqueued, DbErr> {
    enqueue_as(conn, JobId::generate(), kind, provider, subject_id).await
}

/// The same, under an id that is known already: an operation's.
///
/// # Errors
/// The database's own.
pub async fn enqueue_as(
    conn: &impl ConnectionTrait,
    id: JobId,
    kind: JobKind,
    provider: ProviderName,
    subject_id: Uuid,
) -> Result<Enqueued, DbErr> {
    conn.execute_raw(sql(
        "-- jobs::enqueue
         INSERT INTO jobs (id, lane, kind, subject_id, max_attempts, rung_until, trace_parent)
         VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), $7)",
        [
            id.0.into(),
            kind.lane(provider).as_str().into(),
            kind.as_str().into(),
            subject_id.into(),
            MAX_ATTEMPTS.into(),
            seconds(RING_TTL),
            trace_parent(),
        ],
    ))
    .await?;
    Ok(Enqueued { id, lane: kind.lane(provider), rung: true })
}

/// Adds a job that is due after `delay`. The relay rings.
///
/// # Errors
/// The database's own.
pub async fn enqueue_later(
    conn: &impl ConnectionTrait,
    kind: JobKind,
    provider: ProviderName,
    subject_id: Uuid,
    delay: Duration,
) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- jobs::enqueue_later
         INSERT INTO jobs (id, lane, kind, subject_id, max_attempts, run_at, trace_parent)
         VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), $7)",
        [
            JobId::generate().0.into(),
            kind.lane(provider).as_str().into(),
            kind.as_str().into(),
            subject_id.into(),
            MAX_ATTEMPTS.into(),
            seconds(delay),
            trace_parent(),
        ],
    ))
    .await
    .map(drop)
}

/// What a new job keeps of the work that made it.
pub(super) fn trace_parent() -> sea_orm::Value {
    Trace::current().map(|trace| trace.to_string()).into()
}

/// Takes the right to work on a job that is due, or whose last worker went silent.
/// `None`: nothing to do, somebody else has it or it is finished.
///
/// # Errors
/// The database's own.
pub async fn lease(conn: &impl ConnectionTrait, id: JobId, worker: &str) -> Result<Option<Lease>, DbErr> {
    let statement = sql(
        "-- jobs::lease
         UPDATE jobs SET state = 'running', attempts = attempts + 1, leased_by = $2,
                leased_until = now() + make_interval(secs => $3), rung_until = NULL,
                silences = CASE WHEN state = 'running' THEN silences + 1 ELSE silences END
         WHERE id = $1 AND attempts < max_attempts AND silences < $4 AND lane NOT IN (SELECT lane FROM paused_lanes)
           AND ((state = 'queued' AND run_at <= now()) OR (state = 'running' AND leased_until < now()))
         RETURNING *",
        [id.0.into(), worker.into(), seconds(LEASE_TTL), SILENCES_MAX.into()],
    );
    Ok(job::Entity::find().from_raw_sql(statement).one(conn).await?.map(Into::into))
}

/// Renews the leases that this process still holds. Gives how many it does.
///
/// # Errors
/// The database's own.
pub async fn renew(conn: &impl ConnectionTrait, held: &[(JobId, i32)]) -> Result<u64, DbErr> {
    let (ids, attempts): (Vec<Uuid>, Vec<i32>) = held.iter().map(|(id, attempts)| (id.0, *attempts)).unzip();
    let done = conn
        .execute_raw(sql(
            "-- jobs::renew
             UPDATE jobs SET leased_until = now() + make_interval(secs => $3)
             FROM unnest($1::uuid[], $2::int[]) AS held (id, attempts)
             WHERE jobs.id = held.id AND jobs.attempts = held.attempts AND jobs.state = 'running'",
            [ids.into(), attempts.into(), seconds(LEASE_TTL)],
        ))
        .await?;
    Ok(done.rows_affected())
}

/// What becomes of a leased job.
#[derive(Debug, Clone)]
pub enum Ending {
    Done,
    /// Try again after `delay`; after the last attempt the job is dead.
    Retry {
        delay: Duration,
        error: String,
    },
    /// Not now, through no fault of the job: come back after `delay` without spending an attempt.
    Snooze {
        delay: Duration,
        error: Option<String>,
    },
    /// Never again by itself: a person must look.
    Dead {
        error: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// The job's state is now the one in the text: `queued`, `done` or `dead`.
    As(&'static str),
    /// The lease is lost: another worker has the job, nothing may be written.
    LeaseLost,
}

/// Ends the lease, and checks that it was still held: on [`Ended::LeaseLost`] roll back what the job wrote. What closes with
/// the job is written in the same statement.
///
/// # Errors
/// The database's own.
pub async fn end(
    conn: &impl ConnectionTrait,
    lease: &Lease,
    ending: &Ending,
    closes: Option<&Closing>,
) -> Result<Ended, DbErr> {
    let (state, delay, error, snoozed) = match ending {
        Ending::Done => ("done", Duration::ZERO, None, 0),
        Ending::Dead { error } => ("dead", Duration::ZERO, Some(error), 0),
        Ending::Retry { error, .. } if lease.attempts >= lease.max_attempts => ("dead", Duration::ZERO, Some(error), 0),
        Ending::Retry { delay, error } => ("queued", *delay, Some(error), 0),
        // `attempts` is the fencing token and may not go back, so the limit goes up.
        Ending::Snooze { delay, error } => ("queued", *delay, error.as_ref(), 1),
    };
    let closed = closes.map_or("", Closing::statement);
    let text = format!(
        "-- jobs::end
         WITH ended AS (
             UPDATE jobs SET state = $3, run_at = CASE WHEN $3 = 'queued' THEN now() + make_interval(secs => $4) ELSE run_at END,
                    last_error = $5, max_attempts = max_attempts + $6,
                    finished_at = CASE WHEN $3 = 'queued' THEN NULL ELSE now() END,
                    leased_until = NULL, leased_by = NULL, rung_until = NULL, silences = 0
             WHERE id = $1 AND attempts = $2 AND leased_by = $7 AND state = 'running' RETURNING id),
         {closed}
         noted AS (INSERT INTO job_errors (job_id, attempt, error) SELECT id, $2, $5 FROM ended WHERE $5 IS NOT NULL)
         SELECT id FROM ended"
    );
    let values = [
        lease.job_id.0.into(),
        lease.attempts.into(),
        state.into(),
        seconds(delay),
        error.cloned().into(),
        snoozed.into(),
        lease.worker.as_str().into(),
    ];
    let values = values.into_iter().chain(closes.into_iter().flat_map(Closing::values));
    if conn.query_one_raw(sql(&text, values)).await?.is_none() {
        return Ok(Ended::LeaseLost);
    }
    let outcome = match (state, ending) {
        ("queued", Ending::Retry { .. }) => "retried",
        ("queued", _) => "snoozed",
        (ended, _) => ended,
    };
    let (kind, lane) = (lease.kind.clone(), lease.lane.clone());
    tally::note(Happened::Job { kind, lane, outcome, attempts: lease.attempts });
    Ok(Ended::As(state))
}

/// A job that is to be rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    pub id: JobId,
    /// Whether it was rung before, and that ring or the worker that heard it was lost.
    pub again: bool,
}

/// Marks as rung, and gives, up to `limit` jobs of a lane that are due and that no ring or lease covers, oldest first.
/// Any number of relays may run: they skip each other's rows.
///
/// # Errors
/// The database's own.
pub async fn ring_due(conn: &impl ConnectionTrait, lane: Lane, limit: u64) -> Result<Vec<Rung>, DbErr> {
    let rows = conn
        .query_all_raw(sql(
            "-- jobs::ring_due
             WITH abandoned AS (
                 SELECT id, true AS again FROM jobs WHERE lane = $1 AND state = 'running' AND leased_until < now()
                    AND (rung_until IS NULL OR rung_until < now()) AND attempts < max_attempts AND silences < $4
                    AND (silences = 0 OR (
                        id = (SELECT id FROM jobs WHERE state = 'running' AND silences > 0 AND leased_until < now()
                                AND attempts < max_attempts AND silences < $4
                                AND lane NOT IN (SELECT lane FROM paused_lanes)
                              ORDER BY leased_until, id LIMIT 1)
                        AND NOT EXISTS (SELECT FROM jobs WHERE state = 'running' AND silences > 0 AND leased_until >= now())))
                 ORDER BY leased_until LIMIT $2 FOR UPDATE SKIP LOCKED),
             due AS (
                 SELECT id, rung_until IS NOT NULL AS again FROM jobs WHERE lane = $1 AND state = 'queued' AND run_at <= now()
                    AND NOT EXISTS (SELECT FROM paused_lanes WHERE lane = $1)
                    AND (rung_until IS NULL OR rung_until < now())
                 ORDER BY run_at LIMIT $2 FOR UPDATE SKIP LOCKED)
             UPDATE jobs SET rung_until = now() + make_interval(secs => $3)
             FROM (SELECT * FROM abandoned UNION ALL SELECT * FROM due LIMIT $2) AS chosen
             WHERE jobs.id = chosen.id RETURNING jobs.id, chosen.again",
            [
                lane.as_str().into(),
                i64::try_from(limit).unwrap_or(i64::MAX).into(),
                seconds(RING_TTL),
                SILENCES_MAX.into(),
            ],
        ))
        .await?;
    rows.iter().map(|row| Ok(Rung { id: JobId(row.try_get("", "id")?), again: row.try_get("", "again")? })).collect()
}

/// Takes back rings that did not reach Redis, so that the relay need not wait for them to run out.
///
/// # Errors
/// The database's own.
pub async fn unring(conn: &impl ConnectionTrait, ids: &[JobId]) -> Result<(), DbErr> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    conn.execute_raw(sql(
        "-- jobs::unring
         UPDATE jobs SET rung_until = NULL WHERE id = ANY($1) AND state = 'queued'",
        [ids.into()],
    ))
    .await
    .map(drop)
}

/// Declares dead the jobs whose workers went silent in the last attempt they had, or so often in a row that the job itself
/// must be what ends them. Gives how many.
///
/// # Errors
/// The database's own.
pub async fn bury_exhausted(conn: &impl ConnectionTrait) -> Result<u64, DbErr> {
    let done = conn
        .execute_raw(sql(
            "-- jobs::bury_exhausted
             WITH buried AS (
                 UPDATE jobs SET state = 'dead', finished_at = now(), leased_until = NULL, leased_by = NULL,
                        last_error = CASE WHEN attempts >= max_attempts THEN 'the worker went silent in the last attempt'
                            ELSE 'worker after worker went silent at work on it' END
                 WHERE state = 'running' AND leased_until < now() AND (attempts >= max_attempts OR silences >= $1)
                 RETURNING id, attempts, last_error)
             INSERT INTO job_errors (job_id, attempt, error) SELECT id, attempts, last_error FROM buried",
            [SILENCES_MAX.into()],
        ))
        .await?;
    Ok(done.rows_affected())
}

/// Forgets jobs that ended three months ago, at most `limit`, with their attempts and errors; dead ones stay. Gives how
/// many.
///
/// # Errors
/// The database's own.
pub async fn reap(conn: &impl ConnectionTrait, limit: u32) -> Result<u64, DbErr> {
    let done = conn
        .execute_raw(sql(
            "-- jobs::reap
             DELETE FROM jobs WHERE id IN (
                 SELECT id FROM jobs WHERE state IN ('done', 'discarded') AND finished_at < now() - interval '90 days'
                 ORDER BY finished_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
            [i64::from(limit).into()],
        ))
        .await?;
    Ok(done.rows_affected())
}

/// Whether an administrator has given up the job that was to create a subject.
///
/// # Errors
/// The database's own.
pub async fn is_given_up(conn: &impl ConnectionTrait, kind: JobKind, subject_id: Uuid) -> Result<bool, DbErr> {
    let row = conn
        .query_one_raw(sql(
            "-- jobs::is_given_up
             SELECT FROM jobs WHERE subject_id = $1 AND kind = $2 AND state <> 'discarded'",
            [subject_id.into(), kind.as_str().into()],
        ))
        .await?;
    Ok(row.is_none())
}
