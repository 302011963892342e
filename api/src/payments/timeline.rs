//! `GET /api/payments/{id}/timeline`

use shared::domain::ids::PaymentId;
use shared::store::payments;
use uuid::Uuid;

use super::dto::Timeline;
use crate::auth::Claims;
use crate::problem::Problem;
use crate::state::State;

pub(super) async fn get_payment_timeline(state: &State, user: &Claims, id: Uuid) -> Result<Timeline, Problem> {
    let entries = payments::timeline(&state.db, &user.id, PaymentId(id)).await?;
    let entries = entries.ok_or_else(|| Problem::not_found("payment"))?;
    Ok(Timeline { data: entries.into_iter().map(Into::into).collect() })
}
