//! `POST /api/subscriptions`: one transaction, a ring, and perhaps a wait.
//!
//! If we crash before the commit, nothing happened. After it, the relay rings.

use std::time::Duration;

use chrono::{SubsecRound as _, Utc};
use poem::http::StatusCode;
use shared::domain::job::JobKind;
use shared::domain::payment::ProviderName;
use shared::domain::subscription::{Subscription, SubscriptionStatus};
use shared::store::{customers, jobs, subscriptions};

use super::dto::{CreateSubscription, SubscriptionBody};
use crate::accepted::Created;
use crate::auth::Claims;
use crate::idempotency::Write;
use crate::payments::create::check_payment_method;
use crate::problem::{FieldError, Problem};
use crate::state::State;
use crate::wire::Provider;

pub(super) async fn create_subscription(
    state: &State,
    user: &Claims,
    wait: Option<Duration>,
    body: CreateSubscription,
) -> Result<Created<SubscriptionBody>, Problem> {
    if body.provider == Provider::Swish {
        let detail = "Swish has no subscriptions: the payer approves each payment".to_owned();
        return Err(Problem::not_supported(vec![FieldError { pointer: "/provider".to_owned(), detail }]));
    }
    let money = body.check().map_err(Problem::invalid)?;
    let txn = Write::begin(state, user).await?;
    if let Some(method) = &body.payment_method {
        check_payment_method(&*txn, &user.id, method, true).await?;
    }
    let customer = customers::ensure(&*txn, &user.id, user.email.as_deref(), user.name.as_deref()).await?;
    let subscription = body.into_subscription(money, user.id.clone(), customer.id, Utc::now().trunc_subsecs(6));
    subscriptions::insert(&*txn, &subscription).await?;
    let job = jobs::enqueue(&*txn, JobKind::CreateSubscription, ProviderName::Stripe, subscription.id.0).await?;
    let waiter = state.waiting.register(subscription.id.0, wait);
    let id = subscription.id;
    let location = format!("/api/subscriptions/{}", id);
    let accepted = SubscriptionBody::from(subscription);
    let kept = txn.commit(StatusCode::ACCEPTED, Some(&location), &accepted).await?;
    state.ringer.ring(job);

    let read = || subscriptions::find(&state.db, &user.id, id);
    let moved = |found: &Subscription| found.status != SubscriptionStatus::Pending;
    Ok(Created::once(kept, waiter, accepted, location, (read, moved)).await)
}
