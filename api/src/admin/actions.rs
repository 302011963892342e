//! What administrators did, and why.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use shared::store::dead_letters::{self, ActionRecord};
use uuid::Uuid;

use crate::Tag;
use crate::auth::Admin;
use crate::paging::{default_limit, fetched, page};
use crate::problem::Problem;
use crate::state::State;

/// What an administrator did.
#[derive(Debug, Object)]
#[oai(rename = "AdminAction")]
pub struct ActionBody {
    pub id: Uuid,
    /// The `sub` of the token.
    pub admin_id: String,
    /// For example `retry_job`, `pause_queue`.
    pub action: String,
    /// What it was done to: the id of a job, a lane, how many jobs, a time.
    pub subject: String,
    pub reason: String,
    pub created_at: DateTime<Utc>,
}

impl From<ActionRecord> for ActionBody {
    fn from(action: ActionRecord) -> Self {
        Self {
            id: action.id,
            admin_id: action.admin_id,
            action: action.action,
            subject: action.subject,
            reason: action.reason,
            created_at: action.created_at,
        }
    }
}

page! {
    /// A page of what administrators did.
    AdminActionList of ActionBody, cursor Uuid
}

pub struct AdminActionsApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi]
impl AdminActionsApi {
    /// List what administrators did
    ///
    /// Newest first: jobs retried, discarded and redriven, queues paused and resumed, feeds read again.
    #[oai(path = "/api/admin/actions", method = "get", tag = "Tag::Admin", operation_id = "admin_list_actions")]
    async fn list(
        &self,
        _admin: Admin,
        /// How many, 1 to 100.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last one of the page before.
        starting_after: Query<Option<Uuid>>,
    ) -> Result<Json<AdminActionList>, Problem> {
        let found = dead_letters::actions(&self.state.db, starting_after.0, fetched(limit.0)).await?;
        Ok(Json(AdminActionList::of(found, limit.0)))
    }
}
