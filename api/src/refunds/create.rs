//! `POST /api/refunds`: one transaction, which sets the amount aside, and a ring.
//!
//! If we crash before the commit, nothing happened. After it, the relay rings.

use std::time::Duration;

use chrono::{SubsecRound as _, Utc};
use poem::http::StatusCode;
use shared::domain::ids::{PaymentId, RefundId};
use shared::domain::job::JobKind;
use shared::domain::money::Money;
use shared::domain::payment::{Payment, PaymentStatus};
use shared::domain::refund::{Refund, RefundReason, RefundStatus};
use shared::domain::timeline::{Actor, Step};
use shared::store::{jobs, payments, refunds};

use super::dto::{CreateRefund, RefundBody};
use crate::accepted::Created;
use crate::auth::Claims;
use crate::envelope::request_id;
use crate::idempotency::Write;
use crate::problem::Problem;
use crate::state::State;
use crate::wire::metadata_errors;

pub(super) async fn create_refund(
    state: &State,
    user: &Claims,
    wait: Option<Duration>,
    body: CreateRefund,
) -> Result<Created<RefundBody>, Problem> {
    let errors = metadata_errors(&body.metadata);
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    let txn = Write::begin(state, user).await?;
    let payment = payments::lock(&*txn, &user.id, PaymentId(body.payment_id)).await?;
    let payment = payment.ok_or_else(|| Problem::invalid_field("/payment_id", "there is no such payment"))?;
    let refund = refund_of(&payment, body)?;
    let inserted = refunds::insert(&*txn, &refund).await;
    inserted.map_err(|error| if refunds::exceeds_captured(&error) { exceeds(&payment) } else { error.into() })?;
    let step = Step {
        actor: Actor::Api,
        cause: request_id().unwrap_or_default(),
        detail: format!("refund {} of {} requested", refund.id, refund.money.minor),
    };
    payments::add_step(&*txn, payment.id, &step).await?;
    let job = jobs::enqueue(&*txn, JobKind::CreateRefund, refund.provider, refund.id.0).await?;
    let waiter = state.waiting.register(refund.id.0, wait);
    let id = refund.id;
    let location = format!("/api/refunds/{}", id);
    let accepted = RefundBody::from(refund);
    let kept = txn.commit(StatusCode::ACCEPTED, Some(&location), &accepted).await?;
    state.ringer.ring(job);

    let read = || refunds::find(&state.db, &user.id, id);
    let moved = |refund: &Refund| refund.status != RefundStatus::Pending;
    Ok(Created::once(kept, waiter, accepted, location, (read, moved)).await)
}

fn refund_of(payment: &Payment, body: CreateRefund) -> Result<Refund, Problem> {
    if payment.status != PaymentStatus::Succeeded {
        return Err(Problem::invalid_status("payment", payment.status.as_str()));
    }
    let left = payment.amount_refundable();
    let amount = body.amount.unwrap_or(left);
    if left == 0 || amount > left {
        return Err(exceeds(payment));
    }
    let money = Money::chargeable(amount, payment.money.currency)
        .map_err(|invalid| Problem::invalid_field("/amount", invalid.to_string()))?;
    let now = Utc::now().trunc_subsecs(6);
    Ok(Refund {
        id: RefundId::generate(),
        user_id: payment.user_id.clone(),
        payment_id: payment.id,
        provider: payment.provider,
        provider_refund_id: None,
        status: RefundStatus::Pending,
        money,
        reason: body.reason.map(|reason| RefundReason::from(reason).as_str().to_owned()),
        failure: None,
        outcome_unknown_since: None,
        metadata: body.metadata.into_iter().collect(),
        version: 1,
        created_at: now,
        updated_at: now,
        completed_at: None,
    })
}

fn exceeds(payment: &Payment) -> Problem {
    let detail = match payment.amount_refundable() {
        0 => "all of it is refunded already".to_owned(),
        left => format!("at most {left} can still be refunded"),
    };
    Problem::exceeds("refund_exceeds_captured", detail)
}
