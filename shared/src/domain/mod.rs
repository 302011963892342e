//! The rules, pure: no I/O, no async, no database and no provider types.

pub mod customer;
pub mod ids;
pub mod job;
pub mod money;
pub mod payment;
pub mod provider_event;
pub mod text_rules;
pub mod timeline;
