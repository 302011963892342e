//! Configuration that api and worker share. Every setting is an environment variable and a flag; `--help` lists them.

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::telemetry::LogFormat;

/// A secret as it is meant: without the spaces around it. (What is wrong with one is said by `check`, not by the parser, which
/// would show it.)
///
/// # Errors
/// None.
pub fn trimmed(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(text.trim().into())
}

/// Whether the secrets of a setting can be some: an empty one would let anybody in. Stripe's begin in a certain way.
///
/// # Errors
/// What is wrong, without the secret.
pub fn check_secrets(setting: &str, secrets: &[SecretString], beginnings: &[&str]) -> anyhow::Result<()> {
    for secret in secrets {
        let secret = secret.expose_secret();
        anyhow::ensure!(!secret.is_empty(), "{setting} is empty");
        anyhow::ensure!(secret != "replace-me", "{setting} is still the example's");
        let begins = beginnings.is_empty() || beginnings.iter().any(|beginning| secret.starts_with(beginning));
        anyhow::ensure!(begins, "{setting} must begin with {}", beginnings.join(" or "));
    }
    Ok(())
}

/// What a program can do instead of its work.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub enum Command {
    /// Says what is wrong with the set-up and how to mend it, and ends.
    Doctor,
    /// Asks the process that runs here with these settings whether it is well, and ends.
    Health,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Postgres, for example postgres://user:password@host:5432/payments
    #[arg(long, env, hide_env_values = true)]
    pub database_url: SecretString,
    /// Redis, for example redis://host:6379
    #[arg(long, env, hide_env_values = true)]
    pub redis_url: SecretString,
    /// What the names of our keys and channels in Redis begin with.
    #[arg(long, env, default_value = "payments")]
    pub queue_prefix: String,
    /// The most connections to Postgres that this process opens.
    #[arg(long, env, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub database_connections_max: u32,
    #[arg(long, env, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// Where spans are exported to over OTLP (HTTP), for example http://collector:4318. None: nowhere.
    #[arg(long, env)]
    pub otel_exporter_otlp_endpoint: Option<Url>,
    /// Which logs are written, as in `info,shared=debug`. (What apalis says, the worker says too.)
    #[arg(long, env = "RUST_LOG", default_value = "info,apalis_core=off")]
    pub log_filter: String,
}

impl Common {
    /// # Errors
    /// A setting that cannot work.
    pub fn check(&self) -> anyhow::Result<()> {
        let is_redis = redis::Client::open(self.redis_url.expose_secret()).is_ok();
        anyhow::ensure!(is_redis, "REDIS_URL is no redis:// or rediss:// URL");
        Ok(())
    }
}
