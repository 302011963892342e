//! Disputes, as their users see them. What can be done about them: [`crate::admin`].

pub mod dto;

use std::sync::Arc;

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use shared::domain::ids::{DisputeId, PaymentId};
use shared::store::disputes;
use uuid::Uuid;

use crate::Tag;
use crate::auth::User;
use crate::paging::{default_limit, fetched};
use crate::problem::Problem;
use crate::state::State;
use dto::{DisputeBody, DisputeList, DisputeStatus};

pub struct DisputesApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi]
impl DisputesApi {
    /// Get a dispute
    ///
    /// What the bank wants back and why, and how far it is.
    #[oai(path = "/api/disputes/:id", method = "get", tag = "Tag::Disputes", operation_id = "get_dispute")]
    async fn get(&self, user: User, id: Path<Uuid>) -> Result<Json<DisputeBody>, Problem> {
        let found = disputes::find(&self.state.db, &user.0.id, DisputeId(id.0)).await?;
        found.map(|dispute| Json(dispute.into())).ok_or_else(|| Problem::not_found("dispute"))
    }

    /// List disputes
    ///
    /// Over your payments, newest first.
    #[oai(path = "/api/disputes", method = "get", tag = "Tag::Disputes", operation_id = "list_disputes")]
    async fn list(
        &self,
        user: User,
        /// How many, 1 to 100.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last dispute of the page before.
        starting_after: Query<Option<Uuid>>,
        /// Only those over this payment.
        payment_id: Query<Option<Uuid>>,
        /// Only those that are in this status.
        status: Query<Option<DisputeStatus>>,
    ) -> Result<Json<DisputeList>, Problem> {
        let of = (payment_id.0.map(PaymentId), status.0.map(Into::into));
        let before = starting_after.0.map(DisputeId);
        let found = disputes::list(&self.state.db, &user.0.id, of, before, fetched(limit.0)).await?;
        Ok(Json(DisputeList::of(found, limit.0)))
    }
}
