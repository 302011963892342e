//! `GET /api/payments/{id}`

use shared::domain::ids::PaymentId;
use shared::store::payments;
use uuid::Uuid;

use super::dto::PaymentBody;
use crate::auth::Claims;
use crate::problem::Problem;
use crate::state::State;

pub(super) async fn get_payment(state: &State, user: &Claims, id: Uuid) -> Result<PaymentBody, Problem> {
    let payment = payments::find(&state.db, &user.id, PaymentId(id)).await?;
    payment.map(Into::into).ok_or_else(|| Problem::not_found("payment"))
}
