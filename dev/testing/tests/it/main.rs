//! The service as its users see it. One binary, so that the harness is built and linked once.

mod auth;
mod bad_input;
mod create_payment;
mod payments;
mod queue;
mod repository;
mod stripe_webhooks;
