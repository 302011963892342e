//! The worker's settings. Each is a flag and an environment variable.

use std::time::Duration;

use secrecy::SecretString;
use shared::config::Common;
use shared::domain::job::Lane;
use url::Url;

#[derive(Debug, Clone, clap::Parser)]
#[command(name = "payment-worker", version, about = "Works on the jobs of the payment service")]
pub struct Config {
    #[command(flatten)]
    pub common: Common,
    /// The lanes to work on.
    #[arg(long, env = "WORKER_LANES", value_delimiter = ',', default_values = ["payments", "webhooks"])]
    pub lanes: Vec<Lane>,
    /// How many jobs of each lane at a time.
    #[arg(long, env = "WORKER_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub concurrency: u16,
    /// Stripe's API, or a simulator of it.
    #[arg(long, env, default_value = "https://api.stripe.com")]
    pub stripe_base_url: Url,
    /// The secret key of the Stripe account (sk_…).
    #[arg(long, env, hide_env_values = true)]
    pub stripe_api_key: SecretString,
    /// How long a call to Stripe may take, in milliseconds. Then its outcome is unknown, and it is looked into.
    #[arg(long, env, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=80_000))]
    pub stripe_timeout_ms: u64,
}

impl Config {
    #[must_use]
    pub fn stripe_timeout(&self) -> Duration {
        Duration::from_millis(self.stripe_timeout_ms)
    }
}
