//! One file a job.

pub mod apply_stripe_event;
pub mod create_payment;
