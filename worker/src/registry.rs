//! The list of jobs: which code runs which kind.

use futures_util::future::BoxFuture;
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
use crate::jobs::poll_stripe::PollStripe;
use crate::jobs::poll_swish::PollSwish;
use crate::jobs::remove_payment_method::RemovePaymentMethod;
use crate::jobs::sweep_stripe_events::SweepStripeEvents;
use crate::jobs::update_customer::UpdateCustomer;
use crate::runner::{JobError, three_phases};

/// Runs the job that `lease` is for, its preparation in `txn`, in which the lease was taken. Whether it wants to go on
/// at once.
pub(crate) fn dispatch<'a>(
    context: &'a Context,
    txn: DatabaseTransaction,
    kind: JobKind,
    lease: &'a Lease,
) -> BoxFuture<'a, Result<bool, JobError>> {
    match kind {
        JobKind::CreatePayment => three_phases::<CreatePayment>(context, txn, lease),
        JobKind::ChangePayment => three_phases::<ChangePayment>(context, txn, lease),
        JobKind::CreateRefund => three_phases::<CreateRefund>(context, txn, lease),
        JobKind::CreateSubscription => three_phases::<CreateSubscription>(context, txn, lease),
        JobKind::ChangeSubscription => three_phases::<ChangeSubscription>(context, txn, lease),
        JobKind::CreateSetup => three_phases::<CreateSetup>(context, txn, lease),
        JobKind::UpdateCustomer => three_phases::<UpdateCustomer>(context, txn, lease),
        JobKind::RemovePaymentMethod => three_phases::<RemovePaymentMethod>(context, txn, lease),
        JobKind::ChangeDispute => three_phases::<ChangeDispute>(context, txn, lease),
        JobKind::SweepStripeEvents => three_phases::<SweepStripeEvents>(context, txn, lease),
        JobKind::PollStripe => three_phases::<PollStripe>(context, txn, lease),
        JobKind::PollSwish => three_phases::<PollSwish>(context, txn, lease),
        JobKind::ApplySwishCallback => three_phases::<ApplySwishCallback>(context, txn, lease),
        JobKind::ApplyStripeEvent => three_phases::<ApplyStripeEvent>(context, txn, lease),
    }
}
