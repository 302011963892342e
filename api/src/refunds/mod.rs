//! Refunds: one file an operation.

mod create;
pub mod dto;
pub(crate) mod list;

use std::sync::Arc;

use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use shared::domain::ids::RefundId;
use shared::store::refunds;
use uuid::Uuid;

use crate::Tag;
use crate::accepted::Created;
use crate::auth::User;
use crate::body::JsonBody;
use crate::paging::default_limit;
use crate::prefer;
use crate::problem::Problem;
use crate::state::State;
pub(crate) use dto::RefundList;
use dto::{CreateRefund, RefundBody};

pub struct RefundsApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi]
impl RefundsApi {
    /// Create a refund
    ///
    /// Gives back all or a part of what was captured, as often as something is left. The amount is set aside at once: all
    /// refunds together never exceed what was captured, however many are asked for at the same time.
    #[oai(path = "/api/refunds", method = "post", tag = "Tag::Refunds", operation_id = "create_refund")]
    async fn create(
        &self,
        user: User,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: JsonBody<CreateRefund>,
    ) -> Result<Created<RefundBody>, Problem> {
        create::create_refund(&self.state, &user.0, prefer::wait(prefer.0.as_deref()), body.0).await
    }

    /// Get a refund
    ///
    /// Read it again while it is `pending` or `processing`. One that has `succeeded` may still fail days later.
    #[oai(path = "/api/refunds/:id", method = "get", tag = "Tag::Refunds", operation_id = "get_refund")]
    async fn get(&self, user: User, id: Path<Uuid>) -> Result<Json<RefundBody>, Problem> {
        let found = refunds::find(&self.state.db, &user.0.id, RefundId(id.0)).await?;
        found.map(|refund| Json(refund.into())).ok_or_else(|| Problem::not_found("refund"))
    }

    /// List refunds
    ///
    /// Yours, newest first.
    #[oai(path = "/api/refunds", method = "get", tag = "Tag::Refunds", operation_id = "list_refunds")]
    async fn list(
        &self,
        user: User,
        /// How many, 1 to 100.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last refund of the page before.
        starting_after: Query<Option<Uuid>>,
        /// Only those of this payment.
        payment_id: Query<Option<Uuid>>,
    ) -> Result<Json<RefundList>, Problem> {
        list::list_refunds(&self.state, &user.0, payment_id.0, limit.0, starting_after.0).await.map(Json)
    }
}
