//! `GET /api/refunds`, and those of a payment.

use shared::domain::ids::{PaymentId, RefundId};
use shared::store::refunds;
use uuid::Uuid;

use super::dto::RefundList;
use crate::auth::Claims;
use crate::paging::fetched;
use crate::problem::Problem;
use crate::state::State;

pub(crate) async fn list_refunds(
    state: &State,
    user: &Claims,
    payment: Option<Uuid>,
    limit: u32,
    starting_after: Option<Uuid>,
) -> Result<RefundList, Problem> {
    let (payment, before) = (payment.map(PaymentId), starting_after.map(RefundId));
    let found = refunds::list(&state.db, &user.id, payment, before, fetched(limit)).await?;
    Ok(RefundList::of(found, limit))
}
