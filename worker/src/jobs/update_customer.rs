//! `update_customer`: tells Stripe the email, name and metadata of a customer.
//!
//! If we crash: the next run sends the same values, or newer ones; they are absolute.

use sea_orm::DatabaseTransaction;
use shared::domain::customer::Customer;
use shared::domain::ids::CustomerId;
use shared::domain::job::Lease;
use shared::providers::ProviderError;
use shared::store::customers;
use shared::store::jobs::Ending;

use crate::context::Context;
use crate::creation::retry;
use crate::runner::{Job, JobError, Preparation, Recorded};

pub struct UpdateCustomer;

pub struct Prepared {
    customer: Customer,
    stripe_customer_id: String,
}

impl Job for UpdateCustomer {
    type Prepared = Prepared;
    type Outcome = Result<(), ProviderError>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Preparation<Prepared>, JobError> {
        let id = CustomerId(lease.subject_id);
        let customer = customers::find_for_job(txn, id).await?.ok_or(JobError::SubjectGone)?;
        Ok(match customer.stripe_customer_id.clone() {
            Some(stripe_customer_id) => Preparation::Ready(Prepared { customer, stripe_customer_id }),
            // The one that will be made is made from what we know then.
            None => Preparation::Done(Vec::new(), None),
        })
    }

    async fn call(context: &Context, prepared: &Prepared) -> Self::Outcome {
        context.stripe.update_customer(&prepared.customer, &prepared.stripe_customer_id).await.map(drop)
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        prepared: Prepared,
        outcome: Self::Outcome,
    ) -> Result<Recorded, JobError> {
        let id = prepared.customer.id;
        let ending = match outcome {
            Ok(()) => {
                let now = customers::find_for_job(txn, id).await?.ok_or(JobError::SubjectGone)?;
                if now.updated_at != prepared.customer.updated_at {
                    // It changed while we told Stripe: the last word must be the newest.
                    return Err(JobError::Stale);
                }
                customers::forget_removed_metadata(txn, &prepared.customer).await?;
                Ending::Done
            }
            Err(ProviderError::Rejected { failure, .. }) if failure.code == "resource_missing" => {
                customers::forget_stripe_customer(txn, id, &prepared.stripe_customer_id).await?;
                Ending::Done
            }
            Err(ProviderError::Rejected { failure, .. }) => {
                Ending::Dead { error: format!("Stripe refused: {}: {}", failure.code, failure.message) }
            }
            Err(error) => retry(lease, &error),
        };
        Ok(Recorded::new(ending, vec![id.0]))
    }
}
