//! `remove_payment_method`: detaches a saved payment method from its customer at Stripe.
//!
//! If we crash: the next run detaches again, and Stripe says that it is detached already.

use sea_orm::DatabaseTransaction;
use shared::domain::job::Lease;
use shared::domain::saved_payment_method::{ProviderPaymentMethod, SavedPaymentMethod, SavedPaymentMethodStatus};
use shared::providers::ProviderError;
use shared::store::jobs::Ending;
use shared::store::{Saved, saved_payment_methods};

use crate::context::Context;
use crate::creation::retry;
use crate::runner::{Job, JobError, Preparation, Recorded};

pub struct RemovePaymentMethod;

impl Job for RemovePaymentMethod {
    type Prepared = SavedPaymentMethod;
    /// The payment method as it is now; `None`: Stripe has none of this id.
    type Outcome = Result<Option<ProviderPaymentMethod>, ProviderError>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Preparation<SavedPaymentMethod>, JobError> {
        let method = saved_payment_methods::find_for_job(txn, lease.subject_id).await?.ok_or(JobError::SubjectGone)?;
        Ok(match method.status {
            SavedPaymentMethodStatus::Removing => Preparation::Ready(method),
            SavedPaymentMethodStatus::Saved | SavedPaymentMethodStatus::Removed => Preparation::Done(Vec::new(), None),
        })
    }

    async fn call(context: &Context, method: &SavedPaymentMethod) -> Self::Outcome {
        match context.stripe.detach_payment_method(&method.id).await {
            Ok(answer) => Ok(Some(answer.value)),
            Err(ProviderError::Rejected { .. }) => context.stripe.fetch_payment_method(&method.id).await,
            Err(error) => Err(error),
        }
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        method: SavedPaymentMethod,
        outcome: Self::Outcome,
    ) -> Result<Recorded, JobError> {
        let ending = match outcome {
            Ok(Some(ProviderPaymentMethod { provider_customer_id: Some(_), .. })) => {
                Ending::Dead { error: "Stripe refused to detach it".to_owned() }
            }
            Ok(_) => {
                let after = SavedPaymentMethod { status: SavedPaymentMethodStatus::Removed, ..method.clone() };
                if saved_payment_methods::save(txn, &method, &after).await? == Saved::Stale {
                    return Err(JobError::Stale);
                }
                Ending::Done
            }
            Err(error) => retry(lease, &error),
        };
        Ok(Recorded::new(ending, vec![method.row_id]))
    }
}
