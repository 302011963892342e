//! The inbox: what providers sent us, stored before it is acknowledged.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
};
use uuid::Uuid;

use super::jobs::{Enqueued, RING_TTL, trace_parent};
use super::{all, seconds, sql};
use crate::domain::ids::{JobId, ProviderEventId};
use crate::domain::job::{JobKind, MAX_ATTEMPTS};
use crate::domain::payment::ProviderName;
use crate::domain::provider_event::{EventLabel, EventOutcome, ProviderEvent};
use crate::entities::provider_event;
use crate::tally::{self, Happened};

/// Stores an event and its job in one statement, which is one commit. `None`: the event was already here.
///
/// # Errors
/// The database's own; then nothing is stored and the provider must not get its 200.
pub async fn receive(
    conn: &impl ConnectionTrait,
    provider: ProviderName,
    label: &EventLabel,
    body: &[u8],
) -> Result<Option<Enqueued>, DbErr> {
    store(conn, provider, label, body, false).await
}

async fn store(
    conn: &impl ConnectionTrait,
    provider: ProviderName,
    label: &EventLabel,
    body: &[u8],
    found_by_sweep: bool,
) -> Result<Option<Enqueued>, DbErr> {
    let kind = JobKind::for_event_of(provider);
    let job_id = JobId::generate();
    let done = conn
        .execute_raw(sql(
            "-- provider_events::receive
             WITH event AS (
                 INSERT INTO provider_events (id, provider, provider_event_id, event_type, api_version, body, found_by_sweep)
                 VALUES ($1, $2, $3, $4, $5, $6, $13)
                 ON CONFLICT (provider, provider_event_id) DO NOTHING RETURNING id)
             INSERT INTO jobs (id, lane, kind, subject_id, max_attempts, rung_until, trace_parent)
             SELECT $7, $8, $9, event.id, $10, now() + make_interval(secs => $11), $12 FROM event",
            [
                ProviderEventId::generate().0.into(),
                provider.as_str().into(),
                label.provider_event_id.as_str().into(),
                label.event_type.clone().into(),
                label.api_version.clone().into(),
                body.to_vec().into(),
                job_id.0.into(),
                kind.lane(provider).as_str().into(),
                kind.as_str().into(),
                MAX_ATTEMPTS.into(),
                seconds(RING_TTL),
                trace_parent(),
                found_by_sweep.into(),
            ],
        ))
        .await?;
    Ok((done.rows_affected() == 1).then_some(Enqueued { id: job_id, lane: kind.lane(provider) }))
}

/// Which of these events are here.
///
/// # Errors
/// The database's own.
pub async fn which_are_known(
    conn: &impl ConnectionTrait,
    provider: ProviderName,
    ids: Vec<String>,
) -> Result<HashSet<String>, DbErr> {
    let rows = conn
        .query_all_raw(sql(
            "-- provider_events::which_are_known
             SELECT provider_event_id FROM provider_events WHERE provider = $1 AND provider_event_id = ANY($2)",
            [provider.as_str().into(), ids.into()],
        ))
        .await?;
    rows.iter().map(|row| row.try_get("", "provider_event_id")).collect()
}

/// Stores an event that was found in a provider's feed, as [`receive`] does. Whether it was not here.
///
/// # Errors
/// The database's own.
pub async fn receive_swept(
    conn: &impl ConnectionTrait,
    provider: ProviderName,
    label: &EventLabel,
    body: &[u8],
) -> Result<bool, DbErr> {
    let is_new = store(conn, provider, label, body, true).await?.is_some();
    if is_new {
        tally::note(Happened::MissedEvent(provider));
    }
    Ok(is_new)
}

/// # Errors
/// The database's own.
pub async fn find(conn: &impl ConnectionTrait, id: ProviderEventId) -> Result<Option<ProviderEvent>, DbErr> {
    provider_event::Entity::find_by_id(id.0).one(conn).await?.map(TryInto::try_into).transpose()
}

/// Notes what became of an event. `object_id`: the provider's object that would make an ignored one ours.
///
/// # Errors
/// The database's own.
pub async fn settle(
    conn: &impl ConnectionTrait,
    id: ProviderEventId,
    outcome: EventOutcome,
    detail: &str,
    object_id: Option<&str>,
) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- provider_events::settle
         UPDATE provider_events SET outcome = $2, detail = $3, object_id = $4, processed_at = now() WHERE id = $1",
        [id.0.into(), outcome.as_str().into(), detail.into(), object_id.map(str::to_owned).into()],
    ))
    .await
    .map(drop)
}

/// Waits for whoever decides at this moment whether a provider's object is ours, and keeps others waiting until the
/// transaction ends.
///
/// # Errors
/// The database's own.
pub async fn lock_object(conn: &impl ConnectionTrait, object_id: &str) -> Result<(), DbErr> {
    conn.execute_raw(sql(
        "-- provider_events::lock_object
         SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
        [object_id.into()],
    ))
    .await
    .map(drop)
}

/// Takes up again the events that were put aside because this object was not ours. Gives how many. The relay rings.
///
/// # Errors
/// The database's own.
pub async fn reopen(conn: &impl ConnectionTrait, object_id: &str) -> Result<u64, DbErr> {
    enqueue_again(conn, "outcome = 'ignored' AND object_id = $6", object_id.into()).await
}

/// Which events are listed or replayed. What is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub outcome: Option<EventOutcome>,
    /// Only those that no worker has dealt with.
    pub pending: bool,
    pub event_type: Option<String>,
    pub received_after: Option<DateTime<Utc>>,
    pub received_before: Option<DateTime<Utc>>,
}

/// Events, newest first, at most `limit`, those older than `before`. For administrators.
///
/// # Errors
/// The database's own.
pub async fn list(
    conn: &impl ConnectionTrait,
    filter: &EventFilter,
    before: Option<ProviderEventId>,
    limit: u64,
) -> Result<Vec<ProviderEvent>, DbErr> {
    let mut query = filtered(filter);
    if let Some(before) = before {
        query = query.filter(provider_event::Column::Id.lt(before.0));
    }
    all(query.order_by_desc(provider_event::Column::Id).limit(limit).all(conn).await?)
}

/// Has an event applied again. Whether there is such an event. The relay rings.
///
/// # Errors
/// The database's own.
pub async fn replay(conn: &impl ConnectionTrait, id: ProviderEventId) -> Result<bool, DbErr> {
    Ok(enqueue_again(conn, "id = $6", id.0.into()).await? == 1)
}

/// Has events applied again, oldest first, at most `limit`. Gives how many. The relay rings.
///
/// # Errors
/// The database's own.
pub async fn replay_range(conn: &impl ConnectionTrait, filter: &EventFilter, limit: u64) -> Result<u64, DbErr> {
    let chosen = filtered(filter).order_by_asc(provider_event::Column::Id).limit(limit).all(conn).await?;
    let ids: Vec<Uuid> = chosen.iter().map(|event| event.id).collect();
    enqueue_again(conn, "id = ANY($6)", ids.into()).await
}

/// Clears what became of the events that `condition` chooses by the value `$6`, and makes a job for each.
async fn enqueue_again(conn: &impl ConnectionTrait, condition: &str, value: sea_orm::Value) -> Result<u64, DbErr> {
    let job =
        |provider| (JobKind::for_event_of(provider).lane(provider).as_str(), JobKind::for_event_of(provider).as_str());
    let [stripe, swish] = [ProviderName::Stripe, ProviderName::Swish].map(job);
    let text = format!(
        "-- provider_events::enqueue_again
         WITH again AS (
             UPDATE provider_events SET outcome = NULL, detail = NULL, processed_at = NULL WHERE {condition}
             RETURNING id, provider)
         INSERT INTO jobs (id, lane, kind, subject_id, max_attempts)
         SELECT gen_random_uuid(), CASE again.provider WHEN 'swish' THEN $3 ELSE $1 END,
                CASE again.provider WHEN 'swish' THEN $4 ELSE $2 END, again.id, $5 FROM again"
    );
    let values = [stripe.0.into(), stripe.1.into(), swish.0.into(), swish.1.into(), MAX_ATTEMPTS.into(), value];
    Ok(conn.execute_raw(sql(&text, values)).await?.rows_affected())
}

fn filtered(filter: &EventFilter) -> Select<provider_event::Entity> {
    let mut query = provider_event::Entity::find();
    if let Some(outcome) = filter.outcome {
        query = query.filter(provider_event::Column::Outcome.eq(outcome.as_str()));
    }
    if filter.pending {
        query = query.filter(provider_event::Column::Outcome.is_null());
    }
    if let Some(event_type) = &filter.event_type {
        query = query.filter(provider_event::Column::EventType.eq(event_type));
    }
    if let Some(after) = filter.received_after {
        query = query.filter(provider_event::Column::ReceivedAt.gt(after));
    }
    if let Some(before) = filter.received_before {
        query = query.filter(provider_event::Column::ReceivedAt.lt(before));
    }
    query
}

/// Forgets events that came three months ago and are done with, at most `limit`. Gives how many.
///
/// # Errors
/// The database's own.
pub async fn reap(conn: &impl ConnectionTrait, limit: u32) -> Result<u64, DbErr> {
    let done = conn
        .execute_raw(sql(
            "-- provider_events::reap
             DELETE FROM provider_events WHERE id IN (
                 SELECT id FROM provider_events
                 WHERE outcome IN ('applied', 'ignored') AND received_at < now() - interval '90 days'
                 ORDER BY received_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
            [i64::from(limit).into()],
        ))
        .await?;
    Ok(done.rows_affected())
}
