//! `GET /api/payments`

use shared::domain::ids::PaymentId;
use shared::store::payments;
use uuid::Uuid;

use super::dto::{PaymentBody, PaymentList};
use crate::auth::Claims;
use crate::problem::Problem;
use crate::state::State;

pub(super) fn default_limit() -> u32 {
    20
}

pub(super) async fn list_payments(
    state: &State,
    user: &Claims,
    limit: u32,
    starting_after: Option<Uuid>,
) -> Result<PaymentList, Problem> {
    // One more than asked for tells whether there are more.
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let fetched = u64::try_from(limit.saturating_add(1)).unwrap_or(u64::MAX);
    let found = payments::list(&state.db, &user.id, starting_after.map(PaymentId), fetched).await?;
    let has_more = found.len() > limit;
    let data: Vec<PaymentBody> = found.into_iter().take(limit).map(Into::into).collect();
    let next_cursor = if has_more { data.last().map(|payment| payment.id) } else { None };
    Ok(PaymentList { data, has_more, next_cursor })
}
