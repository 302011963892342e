//! Changes of a subscription: what is wanted is written on it, a job carries it out.
//!
//! If we crash before the commit, nothing happened. After it, the relay rings.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use poem::http::StatusCode;
use shared::domain::ids::{JobId, SubscriptionId};
use shared::domain::job::JobKind;
use shared::domain::operation::Operation;
use shared::domain::payment::ProviderName;
use shared::domain::subscription::Subscription;
use shared::store::{Saved, jobs, subscriptions};
use uuid::Uuid;

use super::dto::SubscriptionBody;
use crate::accepted::Changed;
use crate::auth::Claims;
use crate::idempotency::Write;
use crate::problem::Problem;
use crate::state::State;

pub(super) async fn change_subscription(
    state: &State,
    user: &Claims,
    (id, wait): (Uuid, Option<Duration>),
    request: impl FnOnce(&Subscription, DateTime<Utc>) -> Result<Subscription, Problem>,
) -> Result<Changed<SubscriptionBody>, Problem> {
    let txn = Write::begin(state, user).await?;
    let before = subscriptions::lock(&*txn, &user.id, SubscriptionId(id)).await?;
    let before = before.ok_or_else(|| Problem::not_found("subscription"))?;
    let after = request(&before, Utc::now().trunc_subsecs(6))?;
    let operation = after.last_operation.as_ref().map_or_else(JobId::generate, |operation| operation.id);
    // Locked: nobody can have written meanwhile.
    if subscriptions::save(&*txn, &before, &after).await? == Saved::Stale {
        return Err(Problem::invalid_status("subscription", "changing at this moment; try again"));
    }
    let job = jobs::enqueue_as(&*txn, operation, JobKind::ChangeSubscription, ProviderName::Stripe, after.id.0).await?;
    let waiter = state.waiting.register(after.id.0, wait);
    let accepted = SubscriptionBody::from(after);
    let kept = txn.commit(StatusCode::ACCEPTED, None, &accepted).await?;
    state.ringer.ring(job);
    let read = || subscriptions::find(&state.db, &user.id, SubscriptionId(id));
    let moved =
        |subscription: &Subscription| Operation::pending(subscription.last_operation.as_ref(), operation).is_none();
    Ok(Changed::once(kept, waiter, accepted, (read, moved)).await)
}
