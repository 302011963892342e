//! `POST /api/payments`: one statement, shared with others that come at the same time, a ring, and perhaps a wait.
//!
//! If we crash before the commit, nothing happened and the client knows no id. After it, the relay rings.

use std::time::Duration;

use chrono::{SubsecRound as _, Utc};
use poem::http::StatusCode;
use sea_orm::ConnectionTrait;
use shared::domain::ids::{JobId, UserId};
use shared::domain::payment::{Payment, PaymentStatus};
use shared::domain::saved_payment_method::SavedPaymentMethodStatus;
use shared::store::new_payments::NewPayment;
use shared::store::{is_refusal, payments, saved_payment_methods};

use super::dto::{CreatePayment, PaymentBody};
use crate::accepted::Created;
use crate::auth::Claims;
use crate::envelope::request_id;
use crate::idempotency::{self, Kept};
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
        let refusal = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "provider_not_enabled", detail);
        // They may have been when the first request with this key came.
        return Err(idempotency::taken(state, user).await?.unwrap_or(refusal));
    }
    let wanted = body.check()?;
    let customer = state.customer_ids.of(&state.db, user).await?;
    // Postgres keeps microseconds: the answer says what later answers will say.
    let payment = wanted.into_payment(user.id.clone(), customer, Utc::now().trunc_subsecs(6));
    let id = payment.id;
    let location = format!("/api/payments/{id}");
    let accepted = PaymentBody::from(payment.clone());
    let keyed = idempotency::to_keep(StatusCode::ACCEPTED, Some(&location), &accepted);
    let cause = request_id().unwrap_or_default();
    // Registered before the worker can know: no change is missed.
    let waiter = state.waiting.register(id.0, wait);
    let new = NewPayment { payment: payment.clone(), job_id: JobId::generate(), cause, keyed };
    match state.new_payments.ask(new).await {
        Ok(true) => {}
        Ok(false) => return Err(refusal(state, user, &payment).await),
        Err(error) => {
            if is_refusal(&error) {
                state.customer_ids.forget(&user.id);
            }
            return Err(Problem::from(&*error));
        }
    }
    payments::note_accepted(&payment);
    state.metrics.committed();
    let kept = Kept::of(state, user);

    let read = || payments::find(&state.db, &user.id, id);
    let moved = |payment: &Payment| payment.status != PaymentStatus::Pending;
    Ok(Created::once(kept, waiter, accepted, location, (read, moved)).await)
}

/// Why a payment was not stored: its key is taken, or it cannot be paid so.
async fn refusal(state: &State, user: &Claims, payment: &Payment) -> Problem {
    match idempotency::taken(state, user).await {
        Ok(Some(problem)) => return problem,
        Ok(None) => {}
        Err(error) => return error.into(),
    }
    let method = payment.payment_method.as_deref().unwrap_or_default();
    match check_payment_method(&state.db, &user.id, method, payment.off_session).await {
        Err(problem) => problem,
        // It has become usable this moment, or the key free.
        Ok(()) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "nothing was stored; try again"),
    }
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
