//! `GET /api/payments/{id}`: at once, or once it is another than the client has.

use std::time::Duration;

use poem_openapi::ApiResponse;
use poem_openapi::payload::Json;
use shared::domain::ids::PaymentId;
use shared::domain::payment::Payment;
use shared::store::payments;
use uuid::Uuid;

use super::dto::PaymentBody;
use crate::auth::Claims;
use crate::etag::{names, tag};
use crate::problem::Problem;
use crate::state::State;
use crate::waiting::wait_until;

#[derive(ApiResponse)]
pub enum PaymentResponse {
    /// The payment.
    #[oai(status = 200)]
    Found(
        Json<Box<PaymentBody>>,
        /// Names this version of it.
        #[oai(header = "ETag")]
        String,
    ),
    /// It still is the version that `If-None-Match` names.
    #[oai(status = 304)]
    NotModified(
        /// Names this version of it.
        #[oai(header = "ETag")]
        String,
    ),
}

pub(super) async fn get_payment(
    state: &State,
    user: &Claims,
    id: Uuid,
    known: Option<&str>,
    wait: Option<Duration>,
) -> Result<PaymentResponse, Problem> {
    // Before the first look, or a change in between is missed.
    let waiter = state.waiting.register(id, wait.filter(|_| known.is_some()));
    let read = || payments::find(&state.db, &user.id, PaymentId(id));
    let payment = read().await?.ok_or_else(|| Problem::not_found("payment"))?;
    if !known.is_some_and(|known| names(known, &etag(&payment))) {
        return Ok(found(payment));
    }
    if let Some(waiter) = waiter {
        let changed = || async { Ok(read().await?.filter(|now| now.version != payment.version)) };
        if let Some(changed) = wait_until(waiter, changed).await {
            return Ok(found(changed));
        }
    }
    Ok(PaymentResponse::NotModified(etag(&payment)))
}

fn found(payment: Payment) -> PaymentResponse {
    let etag = etag(&payment);
    PaymentResponse::Found(Json(Box::new(payment.into())), etag)
}

fn etag(payment: &Payment) -> String {
    tag(payment.version)
}
