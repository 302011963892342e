//! `POST /api/payments/{id}/capture` and `/cancel`: what is wanted is written on the payment, a job carries it out.
//!
//! If we crash before the commit, nothing happened. After it, the relay rings.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use poem::http::StatusCode;
use shared::domain::ids::{JobId, PaymentId};
use shared::domain::job::JobKind;
use shared::domain::operation::{NotPossible, Operation};
use shared::domain::payment::{Payment, PaymentWish};
use shared::domain::timeline::{Actor, Step};
use shared::store::{Saved, jobs, payments};
use uuid::Uuid;

use super::dto::PaymentBody;
use crate::accepted::Changed;
use crate::auth::Claims;
use crate::envelope::request_id;
use crate::idempotency::Write;
use crate::problem::Problem;
use crate::state::State;

pub(super) async fn change_payment(
    state: &State,
    user: &Claims,
    (id, wait): (Uuid, Option<Duration>),
    request: impl FnOnce(&Payment, DateTime<Utc>) -> Result<Payment, NotPossible>,
) -> Result<Changed<PaymentBody>, Problem> {
    let txn = Write::begin(state, user).await?;
    let before = payments::lock(&*txn, &user.id, PaymentId(id)).await?;
    let before = before.ok_or_else(|| Problem::not_found("payment"))?;
    let after =
        request(&before, Utc::now().trunc_subsecs(6)).map_err(|reason| Problem::not_possible("payment", reason))?;
    let operation = after.last_operation.as_ref().map_or_else(JobId::generate, |operation| operation.id);
    let cause = request_id().unwrap_or_default();
    let step = Step { actor: Actor::Api, cause, detail: detail(&after) };
    // Locked: nobody can have written meanwhile.
    if payments::save(&*txn, &before, &after, &step).await? == Saved::Stale {
        return Err(Problem::invalid_status("payment", "changing at this moment; try again"));
    }
    let job = jobs::enqueue_as(&*txn, operation, JobKind::ChangePayment, after.provider, after.id.0).await?;
    let waiter = state.waiting.register(after.id.0, wait);
    let accepted = PaymentBody::from(after);
    let kept = txn.commit(StatusCode::ACCEPTED, None, &accepted).await?;
    state.ringer.ring(job);
    let read = || payments::find(&state.db, &user.id, PaymentId(id));
    let moved = |payment: &Payment| Operation::pending(payment.last_operation.as_ref(), operation).is_none();
    Ok(Changed::once(kept, waiter, accepted, (read, moved)).await)
}

/// What the timeline says of it.
fn detail(payment: &Payment) -> String {
    match payment.last_operation.as_ref().map(|operation| &operation.wanted) {
        Some(PaymentWish::Capture { amount }) => format!("capture of {amount} requested"),
        Some(PaymentWish::Cancel { .. }) => "cancellation requested".to_owned(),
        None => "nothing requested".to_owned(),
    }
}
