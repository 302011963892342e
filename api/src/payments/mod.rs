//! Payments: one file an operation.

mod create;
pub mod dto;
mod get;
mod list;
mod timeline;

use std::sync::Arc;

use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, OpenApi};
use uuid::Uuid;

use crate::Tag;
use crate::auth::User;
use crate::body::JsonBody;
use crate::prefer;
use crate::problem::Problem;
use crate::state::State;
use dto::{CreatePayment, PaymentBody, PaymentList, Timeline};

pub struct PaymentsApi {
    pub(crate) state: Arc<State>,
}

#[derive(ApiResponse)]
pub enum CreatePaymentResponse {
    /// The provider has answered: see `status`, `client_secret` and `next_action`. (Under `Prefer: wait`.)
    #[oai(status = 201)]
    Created(
        Json<PaymentBody>,
        /// Where the payment is.
        #[oai(header = "Location")]
        String,
        /// The preference that was honoured.
        #[oai(header = "Preference-Applied")]
        String,
    ),
    /// The payment is stored and will be carried out.
    #[oai(status = 202)]
    Accepted(
        Json<PaymentBody>,
        /// Where the payment is.
        #[oai(header = "Location")]
        String,
    ),
}

#[OpenApi]
impl PaymentsApi {
    /// Create a payment
    ///
    /// Stores the payment and answers `202`; a worker creates it at the provider. With `Prefer: wait=10` the answer is
    /// held until the provider has answered (`201`) or ten seconds have passed (`202`).
    ///
    /// Without `payment_method` the payment becomes `requires_action`: confirm it in the payer's browser with
    /// `client_secret`. With it the payment is confirmed at once.
    #[oai(path = "/api/payments", method = "post", tag = "Tag::Payments", operation_id = "create_payment")]
    async fn create(
        &self,
        user: User,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: JsonBody<CreatePayment>,
    ) -> Result<CreatePaymentResponse, Problem> {
        create::create_payment(&self.state, &user.0, prefer::wait(prefer.0.as_deref()), body.0).await
    }

    /// Get a payment
    #[oai(path = "/api/payments/:id", method = "get", tag = "Tag::Payments", operation_id = "get_payment")]
    async fn get(&self, user: User, id: Path<Uuid>) -> Result<Json<PaymentBody>, Problem> {
        get::get_payment(&self.state, &user.0, id.0).await.map(Json)
    }

    /// List payments
    ///
    /// Yours, newest first. For the next page, send `next_cursor` as `starting_after`.
    #[oai(path = "/api/payments", method = "get", tag = "Tag::Payments", operation_id = "list_payments")]
    async fn list(
        &self,
        user: User,
        /// How many, 1 to 100.
        #[oai(default = "list::default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last payment of the page before.
        starting_after: Query<Option<Uuid>>,
    ) -> Result<Json<PaymentList>, Problem> {
        list::list_payments(&self.state, &user.0, limit.0, starting_after.0).await.map(Json)
    }

    /// Get a payment's timeline
    ///
    /// Every step of the payment with its cause: the request, the job, or the provider's event. Oldest first.
    #[oai(
        path = "/api/payments/:id/timeline",
        method = "get",
        tag = "Tag::Payments",
        operation_id = "get_payment_timeline"
    )]
    async fn timeline(&self, user: User, id: Path<Uuid>) -> Result<Json<Timeline>, Problem> {
        timeline::get_payment_timeline(&self.state, &user.0, id.0).await.map(Json)
    }
}
