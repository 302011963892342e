//! The list of jobs: which code runs which kind.

use sea_orm::DatabaseTransaction;
use shared::domain::job::{JobKind, Lease};

use crate::context::Context;
use crate::jobs::apply_stripe_event::ApplyStripeEvent;
use crate::jobs::create_payment::CreatePayment;
use crate::runner::{self, JobError};

/// Runs the job that `lease` is for, its preparation in `txn`, in which the lease was taken.
pub(crate) async fn dispatch(
    context: &Context,
    txn: DatabaseTransaction,
    kind: JobKind,
    lease: &Lease,
) -> Result<(), JobError> {
    match kind {
        JobKind::CreatePayment => runner::three_phases::<CreatePayment>(context, txn, lease).await,
        JobKind::ApplyStripeEvent => runner::three_phases::<ApplyStripeEvent>(context, txn, lease).await,
    }
}
