//! `POST /api/customers/me/setup`: begins to save a payment method.
//!
//! If we crash before the commit, nothing happened. After it, the relay rings.

use std::time::Duration;

use chrono::{SubsecRound as _, Utc};
use poem::http::StatusCode;
use shared::domain::ids::SetupId;
use shared::domain::job::JobKind;
use shared::domain::payment::ProviderName;
use shared::domain::setup::{Setup, SetupStatus};
use shared::store::{customers, jobs, setups};

use super::dto::SetupBody;
use crate::accepted::Created;
use crate::auth::Claims;
use crate::idempotency::Write;
use crate::problem::Problem;
use crate::state::State;

pub(super) async fn create_setup(
    state: &State,
    user: &Claims,
    wait: Option<Duration>,
) -> Result<Created<SetupBody>, Problem> {
    let txn = Write::begin(state, user).await?;
    let customer = customers::ensure(&*txn, &user.id, user.email.as_deref(), user.name.as_deref()).await?;
    let now = Utc::now().trunc_subsecs(6);
    let setup = Setup {
        id: SetupId::generate(),
        user_id: user.id.clone(),
        customer_id: customer.id,
        provider: ProviderName::Stripe,
        provider_setup_id: None,
        status: SetupStatus::Pending,
        client_secret: None,
        payment_method: None,
        failure: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    setups::insert(&*txn, &setup).await?;
    let job = jobs::enqueue(&*txn, JobKind::CreateSetup, ProviderName::Stripe, setup.id.0).await?;
    let waiter = state.waiting.register(setup.id.0, wait);
    let id = setup.id;
    let location = format!("/api/customers/me/setup/{}", id);
    let accepted = SetupBody::from(setup);
    let kept = txn.commit(StatusCode::ACCEPTED, Some(&location), &accepted).await?;
    state.ringer.ring(job);

    let read = || setups::find(&state.db, &user.id, id);
    let moved = |setup: &Setup| setup.status != SetupStatus::Pending;
    Ok(Created::once(kept, waiter, accepted, location, (read, moved)).await)
}
