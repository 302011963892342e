//! `DELETE /api/customers/me/payment-methods/{id}`: not to be paid with from now on; a job detaches it.

use std::time::Duration;

use poem::http::StatusCode;
use shared::domain::job::JobKind;
use shared::domain::payment::ProviderName;
use shared::domain::saved_payment_method::{SavedPaymentMethod, SavedPaymentMethodStatus as Status};
use shared::store::{Saved, jobs, saved_payment_methods};

use super::dto::PaymentMethodBody;
use crate::accepted::Changed;
use crate::auth::Claims;
use crate::idempotency::Write;
use crate::payments::dto::is_payment_method_id;
use crate::problem::Problem;
use crate::state::State;

pub(super) async fn remove_payment_method(
    state: &State,
    user: &Claims,
    id: &str,
    wait: Option<Duration>,
) -> Result<Changed<PaymentMethodBody>, Problem> {
    if !is_payment_method_id(id) {
        return Err(Problem::not_found("payment_method"));
    }
    let txn = Write::begin(state, user).await?;
    let before = saved_payment_methods::find(&*txn, &user.id, id).await?;
    let before = before.filter(|method| method.status != Status::Removed);
    let before = before.ok_or_else(|| Problem::not_found("payment_method"))?;
    let after = SavedPaymentMethod { status: Status::Removing, ..before.clone() };
    if saved_payment_methods::save(&*txn, &before, &after).await? == Saved::Stale {
        return Err(Problem::invalid_status("payment method", "changing at this moment; try again"));
    }
    // Asked for twice, it is detached twice, which does no harm: the first job may be dead.
    let job = jobs::enqueue(&*txn, JobKind::RemovePaymentMethod, ProviderName::Stripe, after.row_id).await?;
    let waiter = state.waiting.register(after.row_id, wait);
    let accepted = PaymentMethodBody::from(after);
    let kept = txn.commit(StatusCode::ACCEPTED, None, &accepted).await?;
    state.ringer.ring(job);
    let read = || saved_payment_methods::find(&state.db, &user.id, id);
    let moved = |method: &SavedPaymentMethod| method.status == Status::Removed;
    Ok(Changed::once(kept, waiter, accepted, (read, moved)).await)
}
