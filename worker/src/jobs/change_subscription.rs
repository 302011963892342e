//! `change_subscription`: updates or ends a subscription at Stripe, as its last operation wants.
//!
//! If we crash: see [`crate::change`]. The key also keeps an update that was long on its way from being carried out
//! after a newer one.

use std::collections::BTreeMap;

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::evidence::Evidence;
use shared::domain::ids::SubscriptionId;
use shared::domain::job::{JobKind, Lease};
use shared::domain::operation::{Operation, OperationOutcome};
use shared::domain::subscription::{
    ProviderSubscription, Subscription, SubscriptionChange, SubscriptionStatus, SubscriptionWish,
};
use shared::domain::transitions::Transitions as _;
use shared::providers::ProviderError;
use shared::providers::stripe::Answer;
use shared::store::attempts::{self, Attempt};
use shared::store::{Saved, jobs, subscriptions};

use crate::change::{Changed, Verdict, carry_out, not_made, patience};
use crate::context::Context;
use crate::runner::{Job, JobError, Preparation, Recorded};

pub struct ChangeSubscription;

pub struct Prepared {
    subscription: Subscription,
    provider_subscription_id: String,
    operation: Operation<SubscriptionWish>,
    attempt: Attempt,
}

impl Job for ChangeSubscription {
    type Prepared = Prepared;
    type Outcome = Changed<ProviderSubscription>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Preparation<Prepared>, JobError> {
        let id = SubscriptionId(lease.subject_id);
        let subscription = subscriptions::find_for_job(txn, id).await?.ok_or(JobError::SubjectGone)?;
        let Some(operation) = Operation::pending(subscription.last_operation.as_ref(), lease.job_id).cloned() else {
            return Ok(Preparation::Done(Vec::new(), None));
        };
        match subscription.provider_subscription_id.clone() {
            Some(provider_subscription_id) => {
                let attempt = attempts::open(txn, lease.job_id, what(&operation.wanted)).await?;
                Ok(Preparation::Ready(Prepared { subscription, provider_subscription_id, operation, attempt }))
            }
            None if subscription.status == SubscriptionStatus::Pending
                && (subscription.outcome_unknown_since.is_some()
                    || !jobs::is_given_up(txn, JobKind::CreateSubscription, subscription.id.0).await?) =>
            {
                Ok(Preparation::NotYet(patience(operation.requested_at)))
            }
            None => {
                let failure = not_made("subscription");
                let mut after = subscription.clone();
                after.last_operation = Some(operation.ended(Some(failure), Utc::now()));
                match subscriptions::save(txn, &subscription, &after).await? {
                    Saved::Saved => Ok(Preparation::Done(vec![subscription.id.0], None)),
                    Saved::Stale => Err(JobError::Stale),
                }
            }
        }
    }

    async fn call(context: &Context, prepared: &Prepared) -> Changed<ProviderSubscription> {
        let (id, key) = (prepared.provider_subscription_id.as_str(), prepared.attempt.id.to_string());
        let read = context.stripe.fetch_subscription(id);
        match &prepared.operation.wanted {
            SubscriptionWish::Update(change) => {
                let send = update(context, &prepared.subscription, change, &key);
                let change = change.clone();
                carry_out(&prepared.attempt, send, read, move |seen| updated(seen, &change)).await
            }
            SubscriptionWish::Cancel => {
                let send = context.stripe.cancel_subscription(id);
                carry_out(&prepared.attempt, send, read, ended).await
            }
        }
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        prepared: Prepared,
        outcome: Changed<ProviderSubscription>,
    ) -> Result<Recorded, JobError> {
        let id = prepared.subscription.id;
        let before = subscriptions::find_for_job(txn, id).await?.ok_or(JobError::SubjectGone)?;
        let (ending, closes) = (outcome.ending(lease), outcome.closing(&prepared.attempt));
        let mut after = before.clone();
        if let Some(seen) = outcome.seen {
            // What is not final may be older than what was written meanwhile.
            if before.version != prepared.subscription.version && !seen.status.is_final() {
                return Err(JobError::Stale);
            }
            after = before.apply(Evidence::Observed(seen), Utc::now())?;
        }
        if let (OperationOutcome::Done, SubscriptionWish::Update(SubscriptionChange { metadata: Some(metadata), .. })) =
            (&outcome.operation, &prepared.operation.wanted)
        {
            after.metadata.clone_from(metadata);
        }
        after.last_operation = Some(prepared.operation.after(outcome.operation, Utc::now()));
        if after.differs_from(&before) && subscriptions::save(txn, &before, &after).await? == Saved::Stale {
            return Err(JobError::Stale);
        }
        Ok(Recorded::new(ending, vec![before.id.0]).closing(closes))
    }
}

async fn update(
    context: &Context,
    subscription: &Subscription,
    change: &SubscriptionChange,
    key: &str,
) -> Result<Answer<ProviderSubscription>, ProviderError> {
    let price = match change.amount {
        Some(amount) => Some(context.stripe.ensure_price(subscription, amount).await?),
        None => None,
    };
    context.stripe.update_subscription(subscription, change, price.as_deref(), key).await
}

fn updated(seen: &ProviderSubscription, change: &SubscriptionChange) -> Verdict {
    let same =
        |metadata: &BTreeMap<String, String>| metadata.iter().all(|(key, value)| seen.metadata.get(key) == Some(value));
    let shown = change.metadata.as_ref().is_none_or(same)
        && change.amount.is_none_or(|amount| seen.money.minor == amount)
        && change.cancel_at_period_end.is_none_or(|wanted| seen.cancel_at_period_end == wanted);
    // It was to end with its period, and the period is over.
    let ended_as_wanted = seen.status.is_final()
        && change.cancel_at_period_end == Some(true)
        && change.amount.is_none()
        && change.metadata.is_none();
    match (seen.status.is_final(), shown) {
        _ if ended_as_wanted => Verdict::Done,
        (true, _) => Verdict::Overtaken,
        (false, true) => Verdict::Done,
        (false, false) => Verdict::Open,
    }
}

fn ended(seen: &ProviderSubscription) -> Verdict {
    if seen.status.is_final() { Verdict::Done } else { Verdict::Open }
}

fn what(wanted: &SubscriptionWish) -> &'static str {
    match wanted {
        SubscriptionWish::Update(_) => "update",
        SubscriptionWish::Cancel => "cancel",
    }
}
