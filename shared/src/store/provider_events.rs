//! The inbox: what providers sent us, stored before it is acknowledged.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
};
use uuid::Uuid;

use super::jobs::{Enqueued, RING_TTL};
use super::{all, seconds, sql};
use crate::domain::ids::{JobId, ProviderEventId};
use crate::domain::job::{JobKind, Lane, MAX_ATTEMPTS};
use crate::domain::payment::ProviderName;
use crate::domain::provider_event::{EventLabel, EventOutcome, ProviderEvent};
use crate::entities::provider_event;
use crate::tally::{self, Happened};
use crate::trace::Trace;

/// An event as it came, of the trace that is at work.
#[derive(Debug, Clone)]
pub struct NewEvent {
    id: ProviderEventId,
    job_id: JobId,
    provider: ProviderName,
    label: EventLabel,
    body: Vec<u8>,
    trace: Option<Trace>,
    found_by_sweep: bool,
}

impl NewEvent {
    #[must_use]
    pub fn received(provider: ProviderName, label: EventLabel, body: Vec<u8>) -> Self {
        let (id, job_id) = (ProviderEventId::generate(), JobId::generate());
        Self { id, job_id, provider, label, body, trace: Trace::current(), found_by_sweep: false }
    }

    /// One that no webhook told of, found in the provider's feed.
    #[must_use]
    pub fn swept(provider: ProviderName, label: EventLabel, body: Vec<u8>) -> Self {
        Self { found_by_sweep: true, ..Self::received(provider, label, body) }
    }
}

/// What became of an event that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Stored, with its job.
    New(Enqueued),
    /// Stored, and that is all: its type is not used.
    Unused,
    /// It was here already, or is twice among those that came.
    Duplicate,
}

/// Stores events and their jobs in one statement, which is one commit. Gives what became of each; jobs are to be rung where
/// the lane has room by `has_room`.
///
/// # Errors
/// The database's own; then nothing is stored and no provider must get its 200.
pub async fn receive(
    conn: &impl ConnectionTrait,
    events: &[NewEvent],
    has_room: impl Fn(Lane) -> bool,
) -> Result<Vec<Received>, DbErr> {
    let kind = |event: &NewEvent| JobKind::for_event_of(event.provider);
    let lane = |event: &NewEvent| kind(event).lane(event.provider);
    let rung: Vec<bool> = events.iter().map(|event| has_room(lane(event))).collect();
    let texts = |of: &dyn Fn(&NewEvent) -> String| events.iter().map(of).collect::<Vec<String>>();
    let rows = conn
        .query_all_raw(sql(
            "-- provider_events::receive
             WITH new AS (
                 -- In subqueries, so that Postgres does not plan anew for each number of events.
                 SELECT * FROM unnest((SELECT $1::uuid[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[]),
                                      (SELECT $5::text[]), (SELECT $6::bytea[]), (SELECT $7::bool[]), (SELECT $8::uuid[]),
                                      (SELECT $9::text[]), (SELECT $10::text[]), (SELECT $11::text[]), (SELECT $14::bool[]),
                                      (SELECT $15::bool[]))
                     AS new (id, provider, provider_event_id, event_type, api_version, body, found_by_sweep,
                             job_id, lane, kind, trace_parent, rung, used)),
             event AS (
                 INSERT INTO provider_events (id, provider, provider_event_id, event_type, api_version, body, found_by_sweep,
                                              outcome, detail, processed_at)
                 SELECT id, provider, provider_event_id, nullif(event_type, ''), nullif(api_version, ''), body, found_by_sweep,
                        CASE WHEN NOT used THEN 'ignored' END, CASE WHEN NOT used THEN event_type || ' is not used' END,
                        CASE WHEN NOT used THEN now() END
                 -- In one order, so that two who store the same events cannot wait for each other.
                 FROM new ORDER BY provider, provider_event_id COLLATE \"C\"
                 ON CONFLICT (provider, provider_event_id) DO NOTHING RETURNING id),
             job AS (
                 INSERT INTO jobs (id, lane, kind, subject_id, max_attempts, rung_until, trace_parent)
                 SELECT new.job_id, new.lane, new.kind, new.id, $12,
                        CASE WHEN new.rung THEN now() + make_interval(secs => $13) END, nullif(new.trace_parent, '')
                 FROM event JOIN new ON new.id = event.id WHERE new.used)
             SELECT id FROM event",
            [
                events.iter().map(|event| event.id.0).collect::<Vec<Uuid>>().into(),
                texts(&|event| event.provider.as_str().to_owned()).into(),
                texts(&|event| event.label.provider_event_id.clone()).into(),
                texts(&|event| event.label.event_type.clone().unwrap_or_default()).into(),
                texts(&|event| event.label.api_version.clone().unwrap_or_default()).into(),
                events.iter().map(|event| event.body.clone()).collect::<Vec<Vec<u8>>>().into(),
                events.iter().map(|event| event.found_by_sweep).collect::<Vec<bool>>().into(),
                events.iter().map(|event| event.job_id.0).collect::<Vec<Uuid>>().into(),
                texts(&|event| lane(event).as_str().to_owned()).into(),
                texts(&|event| kind(event).as_str().to_owned()).into(),
                texts(&|event| event.trace.map(|trace| trace.to_string()).unwrap_or_default()).into(),
                MAX_ATTEMPTS.into(),
                seconds(RING_TTL),
                rung.clone().into(),
                events.iter().map(|event| event.label.used).collect::<Vec<bool>>().into(),
            ],
        ))
        .await?;
    let stored: HashSet<Uuid> = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, DbErr>>()?;
    let received = |(event, rung): (&NewEvent, bool)| match (stored.contains(&event.id.0), event.label.used) {
        (false, _) => Received::Duplicate,
        (true, false) => Received::Unused,
        (true, true) => Received::New(Enqueued { id: event.job_id, lane: lane(event), rung }),
    };
    for event in events.iter().filter(|event| event.found_by_sweep && stored.contains(&event.id.0)) {
        tally::note(Happened::MissedEvent(event.provider));
    }
    Ok(events.iter().zip(rung).map(received).collect())
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

/// # Errors
/// The database's own.
pub async fn find(conn: &impl ConnectionTrait, id: ProviderEventId) -> Result<Option<ProviderEvent>, DbErr> {
    provider_event::Entity::find_by_id(id.0).one(conn).await?.map(TryInto::try_into).transpose()
}

/// Waits for whoever decides at this moment whether a provider's object is ours, and keeps others waiting until the
/// transaction ends. Gives whether events were put aside because it is not.
///
/// # Errors
/// The database's own.
pub async fn lock_object(conn: &impl ConnectionTrait, object_id: &str) -> Result<bool, DbErr> {
    let statement = sql(
        "-- provider_events::lock_object
         SELECT lock_provider_object($1) AS put_aside",
        [object_id.into()],
    );
    conn.query_one_raw(statement).await?.map_or(Ok(false), |row| row.try_get("", "put_aside"))
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
