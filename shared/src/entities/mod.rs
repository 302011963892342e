//! The tables as sea-orm sees them, one file a table, and the way from a row to a domain type.

pub mod attempt;
pub mod customer;
pub mod dispute;
pub mod job;
pub mod payment;
pub mod payment_timeline;
pub mod provider_event;
pub mod refund;
pub mod saved_payment_method;
pub mod setup;
pub mod subscription;
