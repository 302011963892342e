//! Queues, for administrators: how they stand, and pausing them.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use shared::store::dead_letters::{self, QueueRecord};

use super::jobs::{Lane, Reason};
use crate::Tag;
use crate::auth::{Admin, Claims};
use crate::body::JsonBody;
use crate::idempotency::Write;
use crate::problem::Problem;
use crate::state::State;

/// A lane at a glance.
#[derive(Debug, Object)]
#[oai(rename = "Queue")]
pub struct QueueBody {
    pub lane: Lane,
    /// Due, and not at work.
    pub ready: i64,
    pub running: i64,
    /// Waiting for their time.
    pub scheduled: i64,
    /// For a person to look at.
    pub dead: i64,
    /// How long the oldest ready one has been due.
    pub oldest_ready_seconds: i64,
    pub done_last_minute: i64,
    /// The worker processes that have a job of it at work.
    pub workers: i64,
    /// Who paused it; null: it is not paused.
    pub paused_by: Option<String>,
    pub paused_reason: Option<String>,
}

impl From<QueueRecord> for QueueBody {
    fn from(queue: QueueRecord) -> Self {
        let (paused_by, paused_reason) = queue.paused.unzip();
        Self {
            lane: queue.lane.into(),
            ready: queue.ready,
            running: queue.running,
            scheduled: queue.scheduled,
            dead: queue.dead,
            oldest_ready_seconds: queue.oldest_ready_seconds,
            done_last_minute: queue.done_last_minute,
            workers: queue.workers,
            paused_by,
            paused_reason,
        }
    }
}

/// All lanes.
#[derive(Debug, Object)]
pub struct QueueList {
    pub data: Vec<QueueBody>,
}

pub struct AdminQueuesApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi]
impl AdminQueuesApi {
    /// List queues
    #[oai(path = "/api/admin/queues", method = "get", tag = "Tag::Admin", operation_id = "admin_list_queues")]
    async fn list(&self, _admin: Admin) -> Result<Json<QueueList>, Problem> {
        let queues = dead_letters::queues(&self.state.db).await?;
        Ok(Json(QueueList { data: queues.into_iter().map(Into::into).collect() }))
    }

    /// Pause a queue
    ///
    /// No job of it is begun until it is resumed; those at work are finished. Requests and webhooks are still accepted.
    #[oai(
        path = "/api/admin/queues/:lane/pause",
        method = "post",
        tag = "Tag::Admin",
        operation_id = "admin_pause_queue"
    )]
    async fn pause(&self, admin: Admin, lane: Path<Lane>, body: JsonBody<Reason>) -> Result<Json<QueueList>, Problem> {
        change(&self.state, &admin.0, lane.0, true, body.0).await.map(Json)
    }

    /// Resume a queue
    #[oai(
        path = "/api/admin/queues/:lane/resume",
        method = "post",
        tag = "Tag::Admin",
        operation_id = "admin_resume_queue"
    )]
    async fn resume(&self, admin: Admin, lane: Path<Lane>, body: JsonBody<Reason>) -> Result<Json<QueueList>, Problem> {
        change(&self.state, &admin.0, lane.0, false, body.0).await.map(Json)
    }
}

async fn change(state: &State, admin: &Claims, lane: Lane, pause: bool, body: Reason) -> Result<QueueList, Problem> {
    let reason = body.check()?;
    let lane: shared::domain::job::Lane = lane.into();
    let txn = Write::begin(state, admin).await?;
    dead_letters::pause(&*txn, lane, pause.then_some((admin.id.0.as_str(), reason.as_str()))).await?;
    let action = if pause { "pause_queue" } else { "resume_queue" };
    dead_letters::audit(&*txn, &admin.id.0, action, lane.as_str(), &reason).await?;
    let queues = dead_letters::queues(&*txn).await?;
    let body = QueueList { data: queues.into_iter().map(Into::into).collect() };
    txn.commit(StatusCode::OK, None, &body).await?;
    Ok(body)
}
