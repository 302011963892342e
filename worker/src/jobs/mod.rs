//! One file a job.

pub mod apply_stripe_event;
pub mod apply_swish_callback;
pub mod change_dispute;
pub mod change_payment;
pub mod change_subscription;
pub mod create_payment;
pub mod create_refund;
pub mod create_setup;
pub mod create_subscription;
pub mod poll_stripe;
pub mod poll_swish;
pub mod remove_payment_method;
pub mod sweep_stripe_events;
pub mod update_customer;
