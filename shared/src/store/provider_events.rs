//! The inbox: what providers sent us, stored before it is acknowledged.

use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

use super::jobs::{Enqueued, RING_TTL};
use super::{seconds, sql};
use crate::domain::ids::{JobId, ProviderEventId};
use crate::domain::job::{JobKind, MAX_ATTEMPTS};
use crate::domain::payment::ProviderName;
use crate::domain::provider_event::{EventOutcome, ProviderEvent};
use crate::entities::provider_event;

/// Stores an event and its job in one statement, which is one commit. `None`: the event was already here.
///
/// # Errors
/// The database's own; then nothing is stored and the provider must not get its 200.
pub async fn receive(
    conn: &impl ConnectionTrait,
    provider: ProviderName,
    provider_event_id: &str,
    body: &[u8],
    kind: JobKind,
) -> Result<Option<Enqueued>, DbErr> {
    let job_id = JobId::generate();
    let done = conn
        .execute_raw(sql(
            "-- provider_events::receive
             WITH event AS (
                 INSERT INTO provider_events (id, provider, provider_event_id, body) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (provider, provider_event_id) DO NOTHING RETURNING id)
             INSERT INTO jobs (id, lane, kind, subject_id, max_attempts, rung_until)
             SELECT $5, $6, $7, event.id, $8, now() + make_interval(secs => $9) FROM event",
            [
                ProviderEventId::generate().0.into(),
                provider.as_str().into(),
                provider_event_id.into(),
                body.to_vec().into(),
                job_id.0.into(),
                kind.lane().as_str().into(),
                kind.as_str().into(),
                MAX_ATTEMPTS.into(),
                seconds(RING_TTL),
            ],
        ))
        .await?;
    Ok((done.rows_affected() == 1).then_some(Enqueued { id: job_id, lane: kind.lane() }))
}

/// # Errors
/// The database's own.
pub async fn find_for_job(conn: &impl ConnectionTrait, id: ProviderEventId) -> Result<Option<ProviderEvent>, DbErr> {
    provider_event::Entity::find_by_id(id.0).one(conn).await?.map(TryInto::try_into).transpose()
}

/// Notes what became of an event.
///
/// # Errors
/// The database's own.
pub async fn settle(
    conn: &impl ConnectionTrait,
    id: ProviderEventId,
    outcome: EventOutcome,
    detail: &str,
) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- provider_events::settle
         UPDATE provider_events SET outcome = $2, detail = $3, processed_at = now() WHERE id = $1",
        [id.0.into(), outcome.as_str().into(), detail.into()],
    ))
    .await
    .map(drop)
}
