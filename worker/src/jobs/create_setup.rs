//! `create_setup`: begins to save a payment method at Stripe.
//!
//! If we crash: see [`crate::creation`].

use sea_orm::DatabaseTransaction;
use shared::domain::evidence::Evidence;
use shared::domain::ids::{CustomerId, SetupId};
use shared::domain::setup::{ProviderSetup, Setup, SetupStatus};
use shared::providers::ProviderError;
use shared::providers::stripe::Answer;
use shared::store::{Saved, setups};
use uuid::Uuid;

use crate::context::Context;
use crate::creation::Creation;
use crate::runner::JobError;

pub struct CreateSetup;

impl Creation for CreateSetup {
    const NAME: &'static str = "create_setup";
    type Subject = Setup;
    type Seen = ProviderSetup;

    async fn load(txn: &DatabaseTransaction, id: Uuid) -> Result<Option<Setup>, JobError> {
        let setup = setups::find_for_job(txn, SetupId(id)).await?.ok_or(JobError::SubjectGone)?;
        Ok((setup.status == SetupStatus::Pending).then_some(setup))
    }

    fn customer(setup: &Setup) -> Option<CustomerId> {
        Some(setup.customer_id)
    }

    async fn send(
        context: &Context,
        setup: &Setup,
        stripe_customer_id: &str,
        key: &str,
    ) -> Result<Answer<ProviderSetup>, ProviderError> {
        context.stripe.create_setup(setup, stripe_customer_id, key).await
    }

    async fn find(
        context: &Context,
        setup: &Setup,
        stripe_customer_id: &str,
        _: &str,
    ) -> Result<Option<ProviderSetup>, ProviderError> {
        context.stripe.find_setup(stripe_customer_id, setup.id).await
    }

    fn describe(seen: &ProviderSetup) -> String {
        format!("made {}: {}", seen.id, seen.status.as_str())
    }

    async fn apply(
        txn: &DatabaseTransaction,
        setup: &Setup,
        evidence: Option<Evidence<ProviderSetup>>,
        detail: String,
    ) -> Result<Vec<Uuid>, JobError> {
        let before = setups::find_for_job(txn, setup.id).await?.ok_or(JobError::SubjectGone)?;
        let after = match evidence {
            Some(evidence) => before.apply(evidence)?,
            None => before.clone(),
        };
        if after.differs_from(&before) && setups::save(txn, &before, &after).await? == Saved::Stale {
            return Err(JobError::Stale);
        }
        tracing::debug!(setup.id = %before.id, detail, "setup");
        Ok(vec![before.id.0])
    }
}
