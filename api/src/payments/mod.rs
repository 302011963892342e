//! Payments: one file an operation.

mod change;
pub(crate) mod create;
pub mod dto;
mod events;
mod get;
mod list;
mod qr;
mod swish;
mod timeline;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use shared::domain::ids::PaymentId;
use shared::domain::payment::Payment;
use shared::store::payments;
use uuid::Uuid;

use crate::Tag;
use crate::accepted::{Changed, Created};
use crate::auth::User;
use crate::body::JsonBody;
use crate::paging::default_limit;
use crate::prefer;
use crate::problem::Problem;
use crate::refunds::{self, RefundList};
use crate::state::State;
use crate::wire::Provider;
use dto::{CancelPayment, CapturePayment, CreatePayment, PaymentBody, PaymentList, PaymentStatus, Timeline};
use events::PaymentEvents;
use get::PaymentResponse;
use qr::{QrFormat, QrResponse};

fn default_format() -> QrFormat {
    QrFormat::Svg
}

fn default_size() -> u32 {
    300
}

pub struct PaymentsApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi]
impl PaymentsApi {
    /// Create a payment
    ///
    /// Stores the payment and answers `202`; a worker creates it at the provider. With `Prefer: wait=10` the answer is
    /// held until the provider has answered (`201`) or ten seconds have passed (`202`).
    ///
    /// **Stripe.** Without `payment_method` the payment becomes `requires_action`: confirm it in the payer's browser with
    /// `client_secret`. With it the payment is confirmed at once.
    ///
    /// **Swish.** `sek` only. With `swish.payer_alias` the payer's app asks at once; without it `next_action.swish` has the
    /// link and the QR code that open it. The payer has three minutes (`expires_at`). What Swish cannot do (holding money,
    /// saved payment methods, subscriptions) is refused with `422` and the code `not_supported_by_provider`.
    #[oai(path = "/api/payments", method = "post", tag = "Tag::Payments", operation_id = "create_payment")]
    async fn create(
        &self,
        user: User,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: JsonBody<CreatePayment>,
    ) -> Result<Created<PaymentBody>, Problem> {
        create::create_payment(&self.state, &user.0, prefer::wait(prefer.0.as_deref()), body.0).await
    }

    /// Get a payment
    ///
    /// With the `ETag` of an earlier answer in `If-None-Match` and `Prefer: wait=N`, the answer is held until the payment
    /// is another than that, for N seconds at most (`304`): so a client sees each change as it comes.
    #[oai(path = "/api/payments/:id", method = "get", tag = "Tag::Payments", operation_id = "get_payment")]
    async fn get(
        &self,
        user: User,
        id: Path<Uuid>,
        /// The version that you have.
        #[oai(name = "If-None-Match")]
        known: Header<Option<String>>,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<PaymentResponse, Problem> {
        let wait = prefer::wait(prefer.0.as_deref());
        get::get_payment(&self.state, &user.0, id.0, known.0.as_deref(), wait).await
    }

    /// Watch a payment
    ///
    /// Server-sent events: the payment at once, and again each time that it has changed. A client that comes back sends the
    /// last event's id as `Last-Event-ID` and gets only what is newer. Changes in quick succession can be
    /// one event: each has the payment as it is then. A comment every fifteen seconds keeps the connection alive.
    #[oai(path = "/api/payments/:id/events", method = "get", tag = "Tag::Payments", operation_id = "watch_payment")]
    async fn events(
        &self,
        user: User,
        id: Path<Uuid>,
        /// The id of the last event that you have.
        #[oai(name = "Last-Event-ID")]
        last: Header<Option<String>>,
    ) -> Result<PaymentEvents, Problem> {
        events::payment_events(self.state.clone(), user.0, PaymentId(id.0), last.0.as_deref()).await
    }

    /// Get a payment's QR code
    ///
    /// Of a Swish payment without `swish.payer_alias`, while it is `requires_action`: what the payer points the phone at.
    #[oai(path = "/api/payments/:id/qr", method = "get", tag = "Tag::Payments", operation_id = "get_payment_qr")]
    async fn qr(
        &self,
        user: User,
        id: Path<Uuid>,
        #[oai(default = "default_format")] format: Query<QrFormat>,
        /// The side of the picture, in pixels.
        #[oai(default = "default_size", validator(minimum(value = "100"), maximum(value = "2000")))]
        size: Query<u32>,
    ) -> Result<QrResponse, Problem> {
        qr::get_payment_qr(&self.state, &user.0, id.0, format.0, size.0).await
    }

    /// List payments
    ///
    /// Yours, newest first. For the next page, send `next_cursor` as `starting_after`. Besides the parameters below,
    /// `metadata[key]=value` lists those with that pair; several such pairs must all be there.
    #[oai(path = "/api/payments", method = "get", tag = "Tag::Payments", operation_id = "list_payments")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the query")]
    async fn list(
        &self,
        user: User,
        request: &Request,
        /// How many, 1 to 100.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last payment of the page before.
        starting_after: Query<Option<Uuid>>,
        /// Only those that are in this status.
        status: Query<Option<PaymentStatus>>,
        /// Only those of this provider.
        provider: Query<Option<Provider>>,
        /// Only those in this currency, an ISO 4217 code.
        currency: Query<Option<String>>,
        /// Only those that were created after this time (RFC 3339).
        created_after: Query<Option<DateTime<Utc>>>,
        /// Only those that were created before this time (RFC 3339).
        created_before: Query<Option<DateTime<Utc>>>,
    ) -> Result<Json<PaymentList>, Problem> {
        let wanted = list::Wanted {
            limit: limit.0,
            starting_after: starting_after.0,
            status: status.0,
            provider: provider.0,
            currency: currency.0,
            created: (created_after.0, created_before.0),
        };
        list::list_payments(&self.state, &user.0, request, wanted).await.map(Json)
    }

    /// Capture a payment
    ///
    /// Takes the money that is held, or a part of it; the rest is released. One capture only. How it went is in
    /// `last_operation`.
    #[oai(path = "/api/payments/:id/capture", method = "post", tag = "Tag::Payments", operation_id = "capture_payment")]
    async fn capture(
        &self,
        user: User,
        id: Path<Uuid>,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: JsonBody<CapturePayment>,
    ) -> Result<Changed<PaymentBody>, Problem> {
        let (at, amount) = ((id.0, prefer::wait(prefer.0.as_deref())), body.0.amount);
        let request = |payment: &Payment, now| payment.request_capture(amount, now);
        change::change_payment(&self.state, &user.0, at, request).await
    }

    /// Cancel a payment
    ///
    /// Gives up a payment that is not paid yet, and releases what is held. One that the provider has not seen yet is
    /// canceled once it has. The payer may be faster: then the operation has failed and the payment has succeeded.
    #[oai(path = "/api/payments/:id/cancel", method = "post", tag = "Tag::Payments", operation_id = "cancel_payment")]
    async fn cancel(
        &self,
        user: User,
        id: Path<Uuid>,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: JsonBody<CancelPayment>,
    ) -> Result<Changed<PaymentBody>, Problem> {
        let (at, reason) = ((id.0, prefer::wait(prefer.0.as_deref())), body.0.reason.map(Into::into));
        let request = |payment: &Payment, now| payment.request_cancel(reason, now);
        change::change_payment(&self.state, &user.0, at, request).await
    }

    /// List a payment's refunds
    ///
    /// Newest first.
    #[oai(
        path = "/api/payments/:id/refunds",
        method = "get",
        tag = "Tag::Refunds",
        operation_id = "list_payment_refunds"
    )]
    async fn refunds(
        &self,
        user: User,
        id: Path<Uuid>,
        /// How many, 1 to 100.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last refund of the page before.
        starting_after: Query<Option<Uuid>>,
    ) -> Result<Json<RefundList>, Problem> {
        let found = payments::find(&self.state.db, &user.0.id, PaymentId(id.0)).await?;
        found.ok_or_else(|| Problem::not_found("payment"))?;
        refunds::list::list_refunds(&self.state, &user.0, Some(id.0), limit.0, starting_after.0).await.map(Json)
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
