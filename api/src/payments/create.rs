//! `POST /api/payments`: one transaction, a ring, and perhaps a wait.
//!
//! If we crash before the commit, nothing happened and the client knows no id. After it, the relay rings.

use std::time::Duration;

use chrono::{SubsecRound as _, Utc};
use poem::http::StatusCode;
use sea_orm::ConnectionTrait;
use shared::domain::ids::UserId;
use shared::domain::job::JobKind;
use shared::domain::payment::{Payment, PaymentStatus};
use shared::domain::saved_payment_method::SavedPaymentMethodStatus;
use shared::domain::timeline::{Actor, Step};
use shared::store::{customers, jobs, payments, saved_payment_methods};

use super::dto::{CreatePayment, PaymentBody};
use crate::accepted::Created;
use crate::auth::Claims;
use crate::envelope::request_id;
use crate::idempotency::Write;
use crate::problem::Problem;
use crate::state::State;
use crate::wire::Provider;

pub(super) async fn create_payment(
    state: &State,
    user: &Claims,
    wait: Option<Duration>,
    body: CreatePayment,
) -> Result<Created<PaymentBody>, Problem> {
    if body.provider == Provider::Swish && state.swish_callback_secrets.is_empty() {
        let detail = "payments through Swish are not taken here";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "provider_not_enabled", detail));
    }
    let wanted = body.check()?;
    let txn = Write::begin(state, user).await?;
    if let Some((method, must_be_saved)) = wanted.payment_method() {
        check_payment_method(&*txn, &user.id, method, must_be_saved).await?;
    }
    let customer = customers::ensure(&*txn, &user.id, user.email.as_deref(), user.name.as_deref()).await?;
    // Postgres keeps microseconds: the answer says what later answers will say.
    let payment = wanted.into_payment(user.id.clone(), customer.id, Utc::now().trunc_subsecs(6));
    let step = Step { actor: Actor::Api, cause: request_id().unwrap_or_default(), detail: "accepted".to_owned() };
    payments::insert(&*txn, &payment).await?;
    payments::add_step(&*txn, payment.id, &step).await?;
    let job = jobs::enqueue(&*txn, JobKind::CreatePayment, payment.provider, payment.id.0).await?;
    // Registered before the worker can know: no change is missed.
    let waiter = state.waiting.register(payment.id.0, wait);
    let id = payment.id;
    let location = format!("/api/payments/{}", id);
    let accepted = PaymentBody::from(payment);
    let kept = txn.commit(StatusCode::ACCEPTED, Some(&location), &accepted).await?;
    state.ringer.ring(job);

    let read = || payments::find(&state.db, &user.id, id);
    let moved = |payment: &Payment| payment.status != PaymentStatus::Pending;
    Ok(Created::once(kept, waiter, accepted, location, (read, moved)).await)
}

/// A payment method that is known to us must be the user's and still be saved.
pub(crate) async fn check_payment_method(
    conn: &impl ConnectionTrait,
    user: &UserId,
    method: &str,
    must_be_saved: bool,
) -> Result<(), Problem> {
    let usable = match saved_payment_methods::find_by_provider_id(conn, method).await? {
        Some(known) => known.user_id == *user && known.status == SavedPaymentMethodStatus::Saved,
        None => !must_be_saved,
    };
    if usable {
        Ok(())
    } else {
        Err(Problem::invalid_field("/payment_method", "there is no such saved payment method"))
    }
}
