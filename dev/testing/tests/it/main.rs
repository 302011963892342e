//! The service as its users see it. One binary, so that the harness is built and linked once.

mod auth;
mod bad_input;
mod captures;
mod conformance;
mod crash_points;
mod create_payment;
mod customers;
mod dead_letters;
mod disputes;
mod guide;
mod histories;
mod idempotency;
mod inbox;
mod limits;
mod ownership;
mod payments;
mod queue;
mod races;
mod reconciliation;
mod refunds;
mod repository;
mod stripe_webhooks;
mod subscriptions;
mod swish;
mod swish_certificates;
