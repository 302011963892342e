//! How far the event feeds of providers were read.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use super::sql;
use crate::domain::ids::JobId;
use crate::domain::job::{JobKind, MAX_ATTEMPTS};
use crate::domain::payment::ProviderName;

/// Sees to it that there is a job that reads Stripe's feed, and only one.
///
/// # Errors
/// The database's own.
pub async fn ensure_job(conn: &impl ConnectionTrait) -> Result<(), DbErr> {
    let kind = JobKind::SweepStripeEvents;
    conn.execute_raw(sql(
        "-- event_sweeps::ensure_job
         INSERT INTO jobs (id, lane, kind, subject_id, max_attempts) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        [
            JobId::generate().0.into(),
            kind.lane(ProviderName::Stripe).as_str().into(),
            kind.as_str().into(),
            Uuid::nil().into(),
            MAX_ATTEMPTS.into(),
        ],
    ))
    .await
    .map(drop)
}

/// Until when the feed was read. The first time it is read from now on.
///
/// # Errors
/// The database's own.
pub async fn swept_until(conn: &impl ConnectionTrait, provider: ProviderName) -> Result<DateTime<Utc>, DbErr> {
    let row = conn
        .query_one_raw(sql(
            "-- event_sweeps::swept_until
             INSERT INTO event_sweeps AS known (provider, swept_until) VALUES ($1, now())
             ON CONFLICT (provider) DO UPDATE SET swept_until = known.swept_until RETURNING swept_until",
            [provider.as_str().into()],
        ))
        .await?;
    row.ok_or_else(|| DbErr::RecordNotFound("the sweep".to_owned()))?.try_get("", "swept_until")
}

/// Notes until when it was read, unless it is to be read again from another time than `before` by now.
///
/// # Errors
/// The database's own.
pub async fn advance(
    conn: &impl ConnectionTrait,
    provider: ProviderName,
    before: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- event_sweeps::advance
         UPDATE event_sweeps SET swept_until = $3 WHERE provider = $1 AND swept_until = $2",
        [provider.as_str().into(), before.into(), until.into()],
    ))
    .await
    .map(drop)
}

/// Has Stripe's feed read again from a time on, at once; or from an earlier one, where it was not read up to there yet.
///
/// # Errors
/// The database's own.
pub async fn restart(conn: &impl ConnectionTrait, from: DateTime<Utc>) -> Result<(), DbErr> {
    ensure_job(conn).await?;
    // The job first, as who runs it does.
    conn.execute_raw(sql(
        "-- event_sweeps::restart (the job)
         UPDATE jobs SET run_at = now() WHERE kind = $1 AND state = 'queued'",
        [JobKind::SweepStripeEvents.as_str().into()],
    ))
    .await?;
    conn.execute_raw(sql(
        "-- event_sweeps::restart
         INSERT INTO event_sweeps AS known (provider, swept_until) VALUES ($1, $2)
         ON CONFLICT (provider) DO UPDATE SET swept_until = least(known.swept_until, excluded.swept_until)",
        [ProviderName::Stripe.as_str().into(), from.into()],
    ))
    .await
    .map(drop)
}
