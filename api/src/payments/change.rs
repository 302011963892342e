//! `POST /api/payments/{id}/capture` and `/cancel`: what is wanted is written on the payment, a job carries it out.
//!
//! If we crash before the commit, nothing happened. After it, the relay rings.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use poem_openapi::payload::Json;
use sea_orm::TransactionTrait as _;
use shared::domain::ids::{JobId, PaymentId};
use shared::domain::job::JobKind;
use shared::domain::operation::NotPossible;
use shared::domain::payment::{Payment, PaymentWish};
use shared::domain::timeline::{Actor, Step};
use shared::store::{Saved, jobs, payments};
use uuid::Uuid;

use super::dto::PaymentBody;
use crate::accepted::{Changed, applied};
use crate::auth::Claims;
use crate::envelope::request_id;
use crate::problem::Problem;
use crate::state::State;
use crate::waiting::wait_until;

pub(super) async fn change_payment(
    state: &State,
    user: &Claims,
    (id, wait): (Uuid, Option<Duration>),
    request: impl FnOnce(&Payment, DateTime<Utc>) -> Result<Payment, NotPossible>,
) -> Result<Changed<PaymentBody>, Problem> {
    let txn = state.db.begin().await?;
    let before = payments::lock(&txn, &user.id, PaymentId(id)).await?;
    let before = before.ok_or_else(|| Problem::not_found("payment"))?;
    let after =
        request(&before, Utc::now().trunc_subsecs(6)).map_err(|reason| Problem::not_possible("payment", reason))?;
    let operation = after.last_operation.as_ref().map_or_else(JobId::generate, |operation| operation.id);
    // Locked: nobody can have written meanwhile.
    if payments::save(&txn, &before, &after).await? == Saved::Stale {
        return Err(Problem::invalid_status("payment", "changing at this moment; try again"));
    }
    let cause = request_id().unwrap_or_default();
    let step = Step { status: after.status, actor: Actor::Api, cause, detail: detail(&after) };
    payments::add_step(&txn, after.id, &step).await?;
    let job = jobs::enqueue_as(&txn, operation, JobKind::ChangePayment, after.id.0).await?;
    let waiter = wait.map(|wait| (wait, state.waiting.register(after.id.0)));
    txn.commit().await?;
    state.ringer.ring(job);
    if let Some((wait, waiter)) = waiter {
        let ended = wait_until(&waiter, wait, || async {
            let found = payments::find(&state.db, &user.id, after.id).await?;
            let pending = |payment: &Payment| {
                payment.last_operation.as_ref().is_some_and(|last| last.id == operation && last.is_pending())
            };
            Ok(found.filter(|payment| !pending(payment)))
        });
        if let Some(ended) = ended.await {
            return Ok(Changed::Done(Json(ended.into()), applied(wait)));
        }
    }
    Ok(Changed::Accepted(Json(after.into())))
}

/// What the timeline says of it.
fn detail(payment: &Payment) -> String {
    match payment.last_operation.as_ref().map(|operation| &operation.wanted) {
        Some(PaymentWish::Capture { amount }) => format!("capture of {amount} requested"),
        Some(PaymentWish::Cancel { .. }) => "cancellation requested".to_owned(),
        None => "nothing requested".to_owned(),
    }
}
