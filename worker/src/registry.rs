//! The list of jobs: which code runs which kind.

use sea_orm::DatabaseTransaction;
use shared::domain::job::{JobKind, Lease};

use crate::context::Context;
use crate::jobs::apply_stripe_event::ApplyStripeEvent;
use crate::jobs::apply_swish_callback::ApplySwishCallback;
use crate::jobs::change_dispute::ChangeDispute;
use crate::jobs::change_payment::ChangePayment;
use crate::jobs::change_subscription::ChangeSubscription;
use crate::jobs::create_payment::CreatePayment;
use crate::jobs::create_refund::CreateRefund;
use crate::jobs::create_setup::CreateSetup;
use crate::jobs::create_subscription::CreateSubscription;
use crate::jobs::poll_swish::PollSwish;
use crate::jobs::remove_payment_method::RemovePaymentMethod;
use crate::jobs::sweep_stripe_events::SweepStripeEvents;
use crate::jobs::update_customer::UpdateCustomer;
use crate::runner::{JobError, three_phases};

/// Runs the job that `lease` is for, its preparation in `txn`, in which the lease was taken. Whether it wants to go on
/// at once.
pub(crate) async fn dispatch(
    context: &Context,
    txn: DatabaseTransaction,
    kind: JobKind,
    lease: &Lease,
) -> Result<bool, JobError> {
    match kind {
        JobKind::CreatePayment => three_phases::<CreatePayment>(context, txn, lease).await,
        JobKind::ChangePayment => three_phases::<ChangePayment>(context, txn, lease).await,
        JobKind::CreateRefund => three_phases::<CreateRefund>(context, txn, lease).await,
        JobKind::CreateSubscription => three_phases::<CreateSubscription>(context, txn, lease).await,
        JobKind::ChangeSubscription => three_phases::<ChangeSubscription>(context, txn, lease).await,
        JobKind::CreateSetup => three_phases::<CreateSetup>(context, txn, lease).await,
        JobKind::UpdateCustomer => three_phases::<UpdateCustomer>(context, txn, lease).await,
        JobKind::RemovePaymentMethod => three_phases::<RemovePaymentMethod>(context, txn, lease).await,
        JobKind::ChangeDispute => three_phases::<ChangeDispute>(context, txn, lease).await,
        JobKind::SweepStripeEvents => three_phases::<SweepStripeEvents>(context, txn, lease).await,
        JobKind::PollSwish => three_phases::<PollSwish>(context, txn, lease).await,
        JobKind::ApplySwishCallback => three_phases::<ApplySwishCallback>(context, txn, lease).await,
        JobKind::ApplyStripeEvent => three_phases::<ApplyStripeEvent>(context, txn, lease).await,
    }
}
