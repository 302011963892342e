//! Jobs as an operator sees them: found, looked into, run again, given up; queues and their pauses; and who did what.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};
use uuid::Uuid;

use super::sql;
use crate::domain::ids::JobId;
use crate::domain::job::{JobKind, Lane, MAX_ATTEMPTS};

/// A job as it stands.
#[derive(Debug, Clone)]
pub struct JobRecord {
    pub id: JobId,
    pub lane: String,
    pub kind: String,
    pub subject_id: Uuid,
    /// `queued`, `running`, `done`, `dead` or `discarded`.
    pub state: String,
    /// How often it was leased.
    pub attempts: i32,
    pub max_attempts: i32,
    pub run_at: DateTime<Utc>,
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// An error that a job met.
#[derive(Debug, Clone)]
pub struct JobError {
    pub attempt: i32,
    pub error: String,
    pub created_at: DateTime<Utc>,
}

/// Which jobs. What is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub state: Option<String>,
    pub kind: Option<JobKind>,
    pub lane: Option<Lane>,
    pub subject_id: Option<Uuid>,
}

const FILTER: &str = "($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR kind = $2)
     AND ($3::text IS NULL OR lane = $3) AND ($4::uuid IS NULL OR subject_id = $4)";

impl JobFilter {
    fn values(&self) -> [sea_orm::Value; 4] {
        [
            self.state.clone().into(),
            self.kind.map(|kind| kind.as_str().to_owned()).into(),
            self.lane.map(|lane| lane.as_str().to_owned()).into(),
            self.subject_id.into(),
        ]
    }
}

/// Jobs, newest first, those made before `before`.
///
/// # Errors
/// The database's own.
pub async fn list(
    conn: &impl ConnectionTrait,
    filter: &JobFilter,
    before: Option<JobId>,
    limit: u64,
) -> Result<Vec<JobRecord>, DbErr> {
    let text = format!(
        "-- dead_letters::list
         SELECT * FROM jobs WHERE {FILTER}
            AND ($5::uuid IS NULL OR (created_at, id) < (SELECT created_at, id FROM jobs WHERE id = $5))
         ORDER BY created_at DESC, id DESC LIMIT $6"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = filter.values().into_iter().chain([before.map(|id| id.0).into(), limit.into()]);
    conn.query_all_raw(sql(&text, values)).await?.iter().map(record).collect()
}

/// # Errors
/// The database's own.
pub async fn find(conn: &impl ConnectionTrait, id: JobId) -> Result<Option<JobRecord>, DbErr> {
    let row =
        conn.query_one_raw(sql("-- dead_letters::find\n SELECT * FROM jobs WHERE id = $1", [id.0.into()])).await?;
    row.as_ref().map(record).transpose()
}

/// The same, locked until the transaction ends: no worker takes it meanwhile.
///
/// # Errors
/// The database's own.
pub async fn lock(conn: &impl ConnectionTrait, id: JobId) -> Result<Option<JobRecord>, DbErr> {
    let statement = sql("-- dead_letters::lock\n SELECT * FROM jobs WHERE id = $1 FOR UPDATE", [id.0.into()]);
    conn.query_one_raw(statement).await?.as_ref().map(record).transpose()
}

/// The errors of a job, newest first, at most two hundred.
///
/// # Errors
/// The database's own.
pub async fn errors(conn: &impl ConnectionTrait, id: JobId) -> Result<Vec<JobError>, DbErr> {
    let rows = conn
        .query_all_raw(sql(
            "-- dead_letters::errors
             SELECT attempt, error, created_at FROM job_errors WHERE job_id = $1 ORDER BY id DESC LIMIT 200",
            [id.0.into()],
        ))
        .await?;
    let read = |row: &QueryResult| {
        Ok(JobError {
            attempt: row.try_get("", "attempt")?,
            error: row.try_get("", "error")?,
            created_at: row.try_get("", "created_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Has a job run again, with as many attempts as a new one: one that is dead, or at once one that waits. Whether it does.
/// (There is another sweep by now, and only one may be.)
///
/// # Errors
/// The database's own.
pub async fn retry(conn: &impl ConnectionTrait, id: JobId) -> Result<bool, DbErr> {
    let done = conn
        .execute_raw(sql(
            "-- dead_letters::retry
             UPDATE jobs SET state = 'queued', run_at = now(), finished_at = NULL, rung_until = NULL, silences = 0,
                    max_attempts = greatest(max_attempts, attempts + $2)
             WHERE id = $1 AND (state = 'queued' OR (state = 'dead' AND kind <> 'sweep_stripe_events'))",
            [id.0.into(), MAX_ATTEMPTS.into()],
        ))
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives a dead job up. Whether it was dead.
///
/// # Errors
/// The database's own.
pub async fn discard(conn: &impl ConnectionTrait, id: JobId) -> Result<bool, DbErr> {
    let done = conn
        .execute_raw(sql(
            "-- dead_letters::discard
             UPDATE jobs SET state = 'discarded' WHERE id = $1 AND state = 'dead'",
            [id.0.into()],
        ))
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Has dead jobs run again, the oldest first, `per_second` at a time, at most `limit`. Gives how many.
///
/// # Errors
/// The database's own.
pub async fn redrive(
    conn: &impl ConnectionTrait,
    filter: &JobFilter,
    per_second: u32,
    limit: u32,
) -> Result<u64, DbErr> {
    let filter = JobFilter { state: Some("dead".to_owned()), ..filter.clone() };
    let text = format!(
        "-- dead_letters::redrive
         WITH chosen AS (
             SELECT id, (row_number() OVER (ORDER BY finished_at, id) - 1) / $5::bigint AS second
             FROM jobs WHERE {FILTER} AND kind <> 'sweep_stripe_events' ORDER BY finished_at, id LIMIT $6)
         UPDATE jobs SET state = 'queued', finished_at = NULL, rung_until = NULL, silences = 0,
                run_at = now() + make_interval(secs => chosen.second),
                max_attempts = greatest(max_attempts, attempts + $7)
         FROM chosen WHERE jobs.id = chosen.id"
    );
    let values = filter.values().into_iter().chain([
        i64::from(per_second.max(1)).into(),
        i64::from(limit).into(),
        MAX_ATTEMPTS.into(),
    ]);
    Ok(conn.execute_raw(sql(&text, values)).await?.rows_affected())
}

/// A lane at a glance.
#[derive(Debug, Clone)]
pub struct QueueRecord {
    pub lane: Lane,
    /// Due, and not at work.
    pub ready: i64,
    pub running: i64,
    /// Waiting for their time.
    pub scheduled: i64,
    pub dead: i64,
    /// How long the oldest ready one has been due, in seconds.
    pub oldest_ready_seconds: i64,
    /// Done in the last minute.
    pub done_last_minute: i64,
    /// The processes that hold leases.
    pub workers: i64,
    /// Who paused it and why.
    pub paused: Option<(String, String)>,
}

/// All lanes.
///
/// # Errors
/// The database's own.
pub async fn queues(conn: &impl ConnectionTrait) -> Result<Vec<QueueRecord>, DbErr> {
    let mut queues = Vec::new();
    for lane in Lane::ALL {
        let row = conn
            .query_one_raw(sql(
                "-- dead_letters::queues
                 SELECT count(*) FILTER (WHERE state = 'queued' AND run_at <= now()) AS ready,
                        count(*) FILTER (WHERE state = 'running') AS running,
                        count(*) FILTER (WHERE state = 'queued' AND run_at > now()) AS scheduled,
                        count(*) FILTER (WHERE state = 'dead') AS dead,
                        coalesce(extract(epoch FROM now() - min(run_at)
                            FILTER (WHERE state = 'queued' AND run_at <= now())), 0)::bigint AS oldest_ready_seconds,
                        count(DISTINCT leased_by) FILTER (WHERE state = 'running') AS workers,
                        (SELECT count(*) FROM jobs WHERE lane = $1 AND state = 'done'
                            AND finished_at > now() - interval '1 minute') AS done_last_minute,
                        (SELECT paused_by FROM paused_lanes WHERE lane = $1) AS paused_by,
                        (SELECT reason FROM paused_lanes WHERE lane = $1) AS reason
                 FROM jobs WHERE lane = $1 AND state IN ('queued', 'running', 'dead')",
                [lane.as_str().into()],
            ))
            .await?
            .ok_or_else(|| DbErr::RecordNotFound("a lane".to_owned()))?;
        let paused_by: Option<String> = row.try_get("", "paused_by")?;
        let reason: Option<String> = row.try_get("", "reason")?;
        queues.push(QueueRecord {
            lane: *lane,
            ready: row.try_get("", "ready")?,
            running: row.try_get("", "running")?,
            scheduled: row.try_get("", "scheduled")?,
            dead: row.try_get("", "dead")?,
            oldest_ready_seconds: row.try_get("", "oldest_ready_seconds")?,
            done_last_minute: row.try_get("", "done_last_minute")?,
            workers: row.try_get("", "workers")?,
            paused: paused_by.zip(reason),
        });
    }
    Ok(queues)
}

/// Pauses a lane, or lets it go on: no job of a paused lane is begun.
///
/// # Errors
/// The database's own.
pub async fn pause(conn: &impl ConnectionTrait, lane: Lane, by: Option<(&str, &str)>) -> Result<(), DbErr> {
    let statement = match by {
        Some((admin, reason)) => sql(
            "-- dead_letters::pause
             INSERT INTO paused_lanes (lane, paused_by, reason) VALUES ($1, $2, $3)
             ON CONFLICT (lane) DO UPDATE SET paused_by = excluded.paused_by, reason = excluded.reason",
            [lane.as_str().into(), admin.into(), reason.into()],
        ),
        // What was rung in vain meanwhile is rung again at once.
        None => sql(
            "-- dead_letters::resume
             WITH resumed AS (DELETE FROM paused_lanes WHERE lane = $1)
             UPDATE jobs SET rung_until = NULL WHERE lane = $1 AND state = 'queued' AND run_at <= now()",
            [lane.as_str().into()],
        ),
    };
    conn.execute_raw(statement).await.map(drop)
}

/// What an administrator did.
#[derive(Debug, Clone)]
pub struct ActionRecord {
    pub id: Uuid,
    pub admin_id: String,
    pub action: String,
    /// What it was done to: the id of a job, the name of a lane, how many jobs, a time.
    pub subject: String,
    pub reason: String,
    pub created_at: DateTime<Utc>,
}

/// What administrators did, newest first, those made before `before`.
///
/// # Errors
/// The database's own.
pub async fn actions(
    conn: &impl ConnectionTrait,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<ActionRecord>, DbErr> {
    let rows = conn
        .query_all_raw(sql(
            "-- dead_letters::actions
             SELECT * FROM admin_actions WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
            [before.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()],
        ))
        .await?;
    let read = |row: &QueryResult| {
        Ok(ActionRecord {
            id: row.try_get("", "id")?,
            admin_id: row.try_get("", "admin_id")?,
            action: row.try_get("", "action")?,
            subject: row.try_get("", "subject")?,
            reason: row.try_get("", "reason")?,
            created_at: row.try_get("", "created_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Writes down what an administrator did, and why.
///
/// # Errors
/// The database's own.
pub async fn audit(
    conn: &impl ConnectionTrait,
    admin: &str,
    action: &str,
    subject: &str,
    reason: &str,
) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- dead_letters::audit
         INSERT INTO admin_actions (id, admin_id, action, subject, reason) VALUES ($1, $2, $3, $4, $5)",
        [Uuid::now_v7().into(), admin.into(), action.into(), subject.into(), reason.into()],
    ))
    .await
    .map(drop)
}

fn record(row: &QueryResult) -> Result<JobRecord, DbErr> {
    Ok(JobRecord {
        id: JobId(row.try_get("", "id")?),
        lane: row.try_get("", "lane")?,
        kind: row.try_get("", "kind")?,
        subject_id: row.try_get("", "subject_id")?,
        state: row.try_get("", "state")?,
        attempts: row.try_get("", "attempts")?,
        max_attempts: row.try_get("", "max_attempts")?,
        run_at: row.try_get("", "run_at")?,
        last_error: row.try_get("", "last_error")?,
        created_at: row.try_get("", "created_at")?,
        finished_at: row.try_get("", "finished_at")?,
    })
}
