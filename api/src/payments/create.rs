//! `POST /api/payments`: one transaction, a ring, and perhaps a wait.
//!
//! If we crash before the commit, nothing happened and the client knows no id. After it, the relay rings.

use std::time::Duration;

use chrono::{SubsecRound as _, Utc};
use poem_openapi::payload::Json;
use sea_orm::TransactionTrait as _;
use shared::domain::ids::{PaymentId, UserId};
use shared::domain::job::JobKind;
use shared::domain::payment::{Payment, PaymentStatus};
use shared::domain::timeline::{Actor, Step};
use shared::store::{customers, jobs, payments};
use tokio::time::{Instant, timeout_at};

use super::CreatePaymentResponse;
use super::dto::CreatePayment;
use crate::auth::Claims;
use crate::envelope::request_id;
use crate::problem::Problem;
use crate::state::State;

/// The net under the wake-ups: how often a waiting request reads by itself, for when Redis is away.
const REREAD: Duration = Duration::from_secs(2);

pub(super) async fn create_payment(
    state: &State,
    user: &Claims,
    wait: Option<Duration>,
    body: CreatePayment,
) -> Result<CreatePaymentResponse, Problem> {
    let wanted = body.check().map_err(Problem::invalid)?;
    let txn = state.db.begin().await?;
    let customer = customers::ensure(&txn, &user.id, user.email.as_deref(), user.name.as_deref()).await?;
    // Postgres keeps microseconds: the answer says what later answers will say.
    let payment = wanted.into_payment(user.id.clone(), customer.id, Utc::now().trunc_subsecs(6));
    let step = Step {
        status: payment.status,
        actor: Actor::Api,
        cause: request_id().unwrap_or_default(),
        detail: "accepted".to_owned(),
    };
    payments::insert(&txn, &payment).await?;
    payments::add_step(&txn, payment.id, &step).await?;
    let job = jobs::enqueue(&txn, JobKind::CreatePayment, payment.id.0).await?;
    // Registered before the worker can know: no change is missed.
    let waiter = wait.map(|_| state.waiting.register(payment.id));
    txn.commit().await?;
    state.ringer.ring(job);

    let location = format!("/api/payments/{}", payment.id);
    if let (Some(wait), Some(waiter)) = (wait, waiter) {
        let deadline = Instant::now() + wait;
        if let Some(moved) = wait_until_moved(state, &user.id, payment.id, &waiter, deadline).await {
            let applied = format!("wait={}", wait.as_secs());
            return Ok(CreatePaymentResponse::Created(Json(moved.into()), location, applied));
        }
    }
    Ok(CreatePaymentResponse::Accepted(Json(payment.into()), location))
}

/// The payment, once a worker has moved it on. `None`: the time is up, or the process stops.
async fn wait_until_moved(
    state: &State,
    user: &UserId,
    id: PaymentId,
    waiter: &crate::waiting::Waiter<'_>,
    deadline: Instant,
) -> Option<Payment> {
    let mut changed = std::pin::pin!(waiter.changed());
    changed.as_mut().enable();
    // It was only just committed: the first look is after the first news.
    loop {
        let net = (Instant::now() + REREAD).min(deadline);
        if timeout_at(net, changed.as_mut()).await.is_ok() {
            changed.set(waiter.changed());
            changed.as_mut().enable();
        }
        match payments::find(&state.db, user, id).await {
            Ok(Some(payment)) if payment.status != PaymentStatus::Pending => return Some(payment),
            Ok(_) => {}
            // It is accepted all the same; the answer says so.
            Err(error) => tracing::debug!(%error, "a waiting request could not read"),
        }
        if Instant::now() >= deadline || state.waiting.is_closed() {
            return None;
        }
    }
}
