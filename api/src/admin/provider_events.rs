//! The inbox: what providers sent us, what became of it, and once more.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use poem::http::StatusCode;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::Deserialize;
use serde_json::Value;
use shared::domain::ids::ProviderEventId;
use shared::domain::provider_event::{EventOutcome as Domain, ProviderEvent};
use shared::store::provider_events::{self, EventFilter};
use shared::store::{dead_letters, event_sweeps};
use uuid::Uuid;

use super::jobs::Reason;
use crate::Tag;
use crate::auth::Admin;
use crate::body::JsonBody;
use crate::idempotency::Write;
use crate::paging::{default_limit, fetched, page};
use crate::problem::Problem;
use crate::state::State;
use crate::wire::Provider;

/// How many events one call replays.
const REPLAY_MAX: u64 = 1_000;
/// How far back its feed goes.
const KEPT_BY_STRIPE: TimeDelta = TimeDelta::days(30);

/// From when on Stripe's feed is read again.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepEvents {
    /// Stripe keeps its events for thirty days.
    pub from: DateTime<Utc>,
    #[oai(validator(min_length = 1, max_length = 500))]
    pub reason: String,
}

/// What is being read.
#[derive(Debug, Object)]
pub struct Sweep {
    pub from: DateTime<Utc>,
}

#[derive(ApiResponse)]
pub enum SweepResponse {
    /// It is being read.
    #[oai(status = 202)]
    Accepted(Json<Sweep>),
}

pub struct ProviderEventsApi {
    pub(crate) state: Arc<State>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum EventOutcome {
    /// No worker has dealt with it yet, or none could: see its job.
    Pending,
    /// It told us something about an object of ours.
    Applied,
    /// A type we do not use, or an object that is not ours.
    Ignored,
    /// Signed, but not in a form we can read.
    Unreadable,
}

/// An event as it lies in the inbox.
#[derive(Debug, Object)]
#[oai(rename = "ProviderEvent")]
pub struct ProviderEventBody {
    pub id: Uuid,
    pub provider: Provider,
    /// The provider's id (`evt_…`), or the digest of a body without one.
    pub provider_event_id: String,
    pub event_type: Option<String>,
    /// The version that the provider wrote it in.
    pub api_version: Option<String>,
    pub outcome: EventOutcome,
    pub detail: Option<String>,
    pub received_at: DateTime<Utc>,
    pub processed_at: Option<DateTime<Utc>>,
    /// What the provider sent, without its secrets; only where one event is asked for.
    pub body: Option<Value>,
}

impl From<ProviderEvent> for ProviderEventBody {
    fn from(event: ProviderEvent) -> Self {
        Self {
            id: event.id.0,
            provider: event.provider.into(),
            provider_event_id: event.provider_event_id,
            event_type: event.event_type,
            api_version: event.api_version,
            outcome: match event.outcome {
                None => EventOutcome::Pending,
                Some(Domain::Applied) => EventOutcome::Applied,
                Some(Domain::Ignored) => EventOutcome::Ignored,
                Some(Domain::Unreadable) => EventOutcome::Unreadable,
            },
            detail: event.detail,
            received_at: event.received_at,
            processed_at: event.processed_at,
            body: None,
        }
    }
}

page! {
    /// A page of events.
    ProviderEventList of ProviderEventBody, cursor Uuid
}

/// Which events to apply again: all that fit, oldest first. At least one must be given.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayEvents {
    pub outcome: Option<EventOutcome>,
    #[oai(validator(pattern = "^[A-Za-z0-9_.]{1,255}$"))]
    pub event_type: Option<String>,
    pub received_after: Option<DateTime<Utc>>,
    pub received_before: Option<DateTime<Utc>>,
}

impl ReplayEvents {
    /// Whether there can be such a type: the pattern in the document.
    fn check(&self) -> Result<(), String> {
        let good = |of: &str| {
            (1..=255).contains(&of.len()) && of.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b))
        };
        match &self.event_type {
            Some(event_type) if !good(event_type) => {
                Err("must be letters, digits, `_` and `.`, 1 to 255 of them".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn filter(self) -> EventFilter {
        let (pending, outcome) = match self.outcome {
            None => (false, None),
            Some(EventOutcome::Pending) => (true, None),
            Some(EventOutcome::Applied) => (false, Some(Domain::Applied)),
            Some(EventOutcome::Ignored) => (false, Some(Domain::Ignored)),
            Some(EventOutcome::Unreadable) => (false, Some(Domain::Unreadable)),
        };
        EventFilter {
            outcome,
            pending,
            event_type: self.event_type,
            received_after: self.received_after,
            received_before: self.received_before,
        }
    }
}

/// How many events are applied again.
#[derive(Debug, Object)]
pub struct Replayed {
    pub replayed: u64,
}

#[derive(ApiResponse)]
pub enum ReplayResponse {
    /// They will be applied again.
    #[oai(status = 202)]
    Accepted(Json<Replayed>),
}

#[OpenApi]
impl ProviderEventsApi {
    /// List provider events
    ///
    /// What providers sent us, newest first.
    #[oai(
        path = "/api/admin/provider-events",
        method = "get",
        tag = "Tag::Admin",
        operation_id = "list_provider_events"
    )]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the query")]
    async fn list(
        &self,
        _admin: Admin,
        /// How many, 1 to 100.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last event of the page before.
        starting_after: Query<Option<Uuid>>,
        /// Only those of which this became.
        outcome: Query<Option<EventOutcome>>,
        /// Only those of this type, for example `payment_intent.succeeded`.
        #[oai(validator(pattern = "^[A-Za-z0-9_.]{1,255}$"))]
        event_type: Query<Option<String>>,
        /// Only those that came after this time (RFC 3339).
        received_after: Query<Option<DateTime<Utc>>>,
        /// Only those that came before this time (RFC 3339).
        received_before: Query<Option<DateTime<Utc>>>,
    ) -> Result<Json<ProviderEventList>, Problem> {
        let wanted = ReplayEvents {
            outcome: outcome.0,
            event_type: event_type.0,
            received_after: received_after.0,
            received_before: received_before.0,
        };
        let before = starting_after.0.map(ProviderEventId);
        let found = provider_events::list(&self.state.db, &wanted.filter(), before, fetched(limit.0)).await?;
        Ok(Json(ProviderEventList::of(found, limit.0)))
    }

    /// Get a provider event
    ///
    /// With its body, in which every client secret is `redacted`.
    #[oai(
        path = "/api/admin/provider-events/:id",
        method = "get",
        tag = "Tag::Admin",
        operation_id = "get_provider_event"
    )]
    async fn get(&self, _admin: Admin, id: Path<Uuid>) -> Result<Json<ProviderEventBody>, Problem> {
        let found = provider_events::find(&self.state.db, ProviderEventId(id.0)).await?;
        let event = found.ok_or_else(|| Problem::not_found("provider_event"))?;
        let mut body: Value = serde_json::from_slice(&event.body)
            .unwrap_or_else(|_| String::from_utf8_lossy(&event.body).into_owned().into());
        redact(&mut body);
        Ok(Json(ProviderEventBody { body: Some(body), ..event.into() }))
    }

    /// Replay a provider event
    ///
    /// Applies it again. That does no harm: what is known already changes nothing.
    #[oai(
        path = "/api/admin/provider-events/:id/replay",
        method = "post",
        tag = "Tag::Admin",
        operation_id = "replay_provider_event"
    )]
    async fn replay(&self, admin: Admin, id: Path<Uuid>) -> Result<ReplayResponse, Problem> {
        let txn = Write::begin(&self.state, &admin.0).await?;
        if !provider_events::replay(&*txn, ProviderEventId(id.0)).await? {
            return Err(Problem::not_found("provider_event"));
        }
        let replayed = Replayed { replayed: 1 };
        txn.commit(StatusCode::ACCEPTED, None, &replayed).await?;
        Ok(ReplayResponse::Accepted(Json(replayed)))
    }

    /// Replay provider events
    ///
    /// Applies all that fit again, a thousand at most in one call.
    #[oai(
        path = "/api/admin/provider-events/replay",
        method = "post",
        tag = "Tag::Admin",
        operation_id = "replay_provider_events"
    )]
    async fn replay_range(&self, admin: Admin, body: JsonBody<ReplayEvents>) -> Result<ReplayResponse, Problem> {
        let wanted = body.0;
        let all = wanted.outcome.is_none()
            && wanted.event_type.is_none()
            && wanted.received_after.is_none()
            && wanted.received_before.is_none();
        if all {
            return Err(Problem::invalid_field("", "say which: an outcome, a type, or a time"));
        }
        wanted.check().map_err(|detail| Problem::invalid_field("/event_type", detail))?;
        let txn = Write::begin(&self.state, &admin.0).await?;
        let replayed = provider_events::replay_range(&*txn, &wanted.filter(), REPLAY_MAX).await?;
        let replayed = Replayed { replayed };
        txn.commit(StatusCode::ACCEPTED, None, &replayed).await?;
        Ok(ReplayResponse::Accepted(Json(replayed)))
    }

    /// Sweep provider events
    ///
    /// After an outage: reads Stripe's feed of events again from a time on, and takes what is not in the inbox, of the
    /// types that are used. What is newer than the last sweep needs no asking: it is read every minute.
    #[oai(
        path = "/api/admin/provider-events/sweep",
        method = "post",
        tag = "Tag::Admin",
        operation_id = "sweep_provider_events"
    )]
    async fn sweep(&self, admin: Admin, body: JsonBody<SweepEvents>) -> Result<SweepResponse, Problem> {
        let SweepEvents { from, reason } = body.0;
        let reason = Reason { reason }.check()?;
        let now = Utc::now();
        if from > now || from < now - KEPT_BY_STRIPE {
            return Err(Problem::invalid_field("/from", "must be within the last thirty days"));
        }
        let txn = Write::begin(&self.state, &admin.0).await?;
        event_sweeps::restart(&*txn, from).await?;
        dead_letters::audit(&*txn, &admin.0.id.0, "sweep_provider_events", &from.to_rfc3339(), &reason).await?;
        let sweep = Sweep { from };
        txn.commit(StatusCode::ACCEPTED, None, &sweep).await?;
        Ok(SweepResponse::Accepted(Json(sweep)))
    }
}

/// Whoever has a client secret can act as the payer; whoever has a callback identifier, as Swish at our door.
fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if (name == "client_secret" || name == "callbackIdentifier") && value.is_string() {
                    *value = "redacted".into();
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
