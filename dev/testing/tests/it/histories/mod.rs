//! Random histories: a shop's day with everything at once, then the simulators' ledgers against our sums.
//!
//! `make test-random SEEDS=20 OPS=2000 FIRST_SEED=1` runs many; a failure names its seed, and the same seed asks for the
//! same operations again.

mod stripe;
mod swish;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use testing::TestApp;

/// Whose day it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Providers {
    Stripe,
    Swish,
    Both,
}

struct Day {
    app: TestApp,
    random: StdRng,
    payments: Vec<String>,
    subscriptions: Vec<String>,
}

impl Day {
    /// An operation that may be refused: by the state, or because another one is at work.
    async fn ask(&self, method: Method, path: &str, body: Value) {
        let answer = self.app.call(method, path, "anna", Some(body)).await;
        assert!(!answer.status.is_server_error(), "{path}: {answer:?}");
    }

    fn payment(&mut self) -> Option<String> {
        self.payments.choose(&mut self.random).cloned()
    }

    async fn step(&mut self, providers: Providers) {
        match self.random.random_range(0..100) {
            0..86 => match providers {
                Providers::Stripe => self.stripe_step().await,
                Providers::Swish => self.swish_step().await,
                Providers::Both if self.random.random() => self.stripe_step().await,
                Providers::Both => self.swish_step().await,
            },
            86..99 => self.some_jobs().await,
            _ => self.later().await,
        }
    }

    /// Some of the jobs that are due, in any order.
    async fn some_jobs(&mut self) {
        self.app.pass_time().await;
        let mut due = self.app.due_jobs().await;
        due.shuffle(&mut self.random);
        let some = self.random.random_range(0..=due.len());
        for id in due.into_iter().take(some) {
            worker::runner::run(&self.app.context, id).await;
        }
    }

    /// Days pass. Only when all is at rest: our own time does not move, and a key outlives its day no more than Stripe's.
    async fn later(&mut self) {
        self.rest().await;
        let days = self.random.random_range(1..32);
        self.app.simulator.world.advance(Duration::from_secs(days * 24 * 3_600));
        self.app.swish.world.advance(Duration::from_secs(days * 24 * 3_600));
    }

    /// Until nothing is under way any more; payers may still be thinking.
    async fn rest(&self) {
        self.app.control("webhooks", json!({ "hold": false })).await;
        self.app.swish.world.release_callbacks(simulator::Order::InOrder);
        self.app.settle().await;
        swish::rest(&self.app).await;
    }
}

/// What must hold once all is at rest.
async fn check(app: &TestApp) {
    let left = format!(
        "SELECT coalesce(string_agg(kind || ': ' || coalesce(last_error, ''), '; '), '') FROM jobs
         WHERE state <> 'done' AND kind <> 'poll_stripe' AND subject_id NOT IN ({})",
        stripe::UNKNOWN_REFUNDS
    );
    assert_eq!(app.text(&left).await, "", "every job is at rest");
    let open = "SELECT (SELECT count(*) FROM payments WHERE (outcome_unknown_since IS NOT NULL AND provider = 'stripe')
                            OR status = 'pending' OR last_operation->>'status' = 'pending')
                     + (SELECT count(*) FROM refunds WHERE status = 'pending' AND outcome_unknown_since IS NULL)
                     + (SELECT count(*) FROM subscriptions WHERE status = 'pending'
                            OR last_operation->>'status' = 'pending')";
    assert_eq!(app.count(open).await, 0, "nothing is left open");
    assert_eq!(
        app.count(
            "SELECT count(*) FROM payments p WHERE amount_refunded <> (SELECT coalesce(sum(amount), 0) FROM refunds
                   WHERE payment_id = p.id AND status NOT IN ('failed', 'canceled'))"
        )
        .await,
        0,
        "amount_refunded is the sum"
    );
    stripe::check(app).await;
    swish::check(app).await;
}

async fn histories(providers: Providers) {
    let setting =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let first = setting("FIRST_SEED", 1);
    let operations = setting("OPS", 150);
    for seed in first..first + setting("SEEDS", 2) {
        eprintln!("{providers:?}: if it fails: make test-random SEEDS=1 FIRST_SEED={seed} OPS={operations}");
        let app = TestApp::start().await;
        let mut day = Day { app, random: StdRng::seed_from_u64(seed), payments: Vec::new(), subscriptions: Vec::new() };
        for _ in 0..operations {
            day.step(providers).await;
        }
        day.rest().await;
        // Payers who did not answer have lost their chance.
        day.app.swish.world.advance(Duration::from_secs(181));
        day.rest().await;
        check(&day.app).await;
    }
}

#[tokio::test]
async fn random_histories_of_stripe_end_as_its_ledger_has_them() {
    histories(Providers::Stripe).await;
}

#[tokio::test]
async fn random_histories_of_swish_end_as_its_ledger_has_them() {
    histories(Providers::Swish).await;
}

#[tokio::test]
async fn random_histories_of_both_end_as_their_ledgers_have_them() {
    histories(Providers::Both).await;
}
