//! What api and worker share, in reading order.
//!
//! - [`domain`]: the rules, pure. A payment and how it may move, money, ids.
//! - [`entities`]: the tables as sea-orm sees them.
//! - [`store`]: every query. Domain types in and out, the owner a parameter wherever a user asks.
//! - [`providers`]: the clients of the payment providers. They never meet [`store`].
//! - [`queue`]: Redis. The doorbell that carries job ids, and the news that a payment changed.
//! - [`metrics`], [`tally`]: what is counted, and what is to be counted once it is committed.
//! - [`doctor`], [`health`]: the commands that look at a set-up, and at a process.
//! - [`config`], [`telemetry`], [`trace`], [`shutdown`]: the environment, logs, what belongs together in them, the signal
//!   to stop.

pub mod config;
pub mod doctor;
pub mod domain;
pub mod entities;
pub mod health;
pub mod metrics;
pub mod providers;
pub mod queue;
pub mod shutdown;
pub mod store;
pub mod tally;
pub mod telemetry;
pub mod trace;
