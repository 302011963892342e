//! `create_subscription`: creates a subscription at Stripe, with its product and price where they are not there yet.
//!
//! If we crash: see [`crate::creation`]. A product has a fixed id and a price a fixed look-up key, so that they are
//! made once.

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::evidence::Evidence;
use shared::domain::ids::{CustomerId, SubscriptionId};
use shared::domain::subscription::{ProviderSubscription, Subscription, SubscriptionStatus};
use shared::providers::ProviderError;
use shared::providers::stripe::Answer;
use shared::store::{Saved, subscriptions};
use uuid::Uuid;

use super::poll_stripe;
use crate::context::Context;
use crate::creation::{Creation, known_from_now_on};
use crate::runner::JobError;

pub struct CreateSubscription;

impl Creation for CreateSubscription {
    const NAME: &'static str = "create_subscription";
    type Subject = Subscription;
    type Seen = ProviderSubscription;

    async fn load(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<Subscription>, JobError> {
        let found = subscriptions::find_for_job(txn, SubscriptionId(id)).await?.ok_or(JobError::SubjectGone)?;
        Ok((found.status == SubscriptionStatus::Pending).then_some(found))
    }

    fn customer(subscription: &Subscription) -> Option<CustomerId> {
        Some(subscription.customer_id)
    }

    async fn send(
        context: &Context,
        subscription: &Subscription,
        stripe_customer_id: &str,
        key: &str,
    ) -> Result<Answer<ProviderSubscription>, ProviderError> {
        let price = match context.stripe.ensure_price(subscription, subscription.money.minor).await {
            Ok(price) => price,
            // No subscription was asked for yet: nothing is unknown about it.
            Err(ProviderError::Unknown { source, .. }) => {
                return Err(ProviderError::NotSent { source, retry_after: None });
            }
            Err(error) => return Err(error),
        };
        context.stripe.create_subscription(subscription, stripe_customer_id, &price, key).await
    }

    async fn find(
        context: &Context,
        subscription: &Subscription,
        stripe_customer_id: &str,
        _: &str,
    ) -> Result<Option<ProviderSubscription>, ProviderError> {
        context.stripe.find_subscription(stripe_customer_id, subscription.id).await
    }

    fn describe(seen: &ProviderSubscription) -> String {
        format!("made {}: {}", seen.id, seen.status.as_str())
    }

    async fn apply(
        txn: &DatabaseTransaction,
        subscription: &Subscription,
        evidence: Option<Evidence<ProviderSubscription>>,
        detail: String,
    ) -> Result<Vec<Uuid>, JobError> {
        let before = subscriptions::find_for_job(txn, subscription.id).await?.ok_or(JobError::SubjectGone)?;
        let after = match evidence {
            Some(evidence) => before.apply(evidence, Utc::now())?,
            None => before.clone(),
        };
        if after.differs_from(&before) && subscriptions::save(txn, &before, &after).await? == Saved::Stale {
            return Err(JobError::Stale);
        }
        tracing::debug!(subscription.id = %before.id, detail, "subscription");
        let known = after.provider_subscription_id.as_deref();
        known_from_now_on(txn, before.provider_subscription_id.as_deref(), known).await?;
        if before.provider_subscription_id.is_none() && known.is_some() && poll_stripe::subscription_waits(after.status)
        {
            poll_stripe::poll_from_now_on(txn, after.id.0).await?;
        }
        Ok(vec![before.id.0])
    }
}
