//! The API's settings. Each is a flag and an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use secrecy::SecretString;
use shared::config::{Common, check_secrets, trimmed};
use url::Url;

#[derive(Debug, Clone, clap::Parser)]
#[command(name = "payment-api", version, about = "The API of the payment service")]
pub struct Config {
    #[command(flatten)]
    pub common: Common,
    /// Where to listen.
    #[arg(long, env, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub auth: Auth,
    /// The signing secrets of the Stripe webhook endpoint (whsec_…), separated by commas: two while one is rolled.
    #[arg(long, env, hide_env_values = true, value_delimiter = ',', required = true, value_parser = trimmed)]
    pub stripe_webhook_secrets: Vec<SecretString>,
    /// What the callback identifiers that Swish is given are made of, separated by commas: two while one is rolled. The
    /// same as the workers'. None: payments through Swish are not taken.
    #[arg(long, env, hide_env_values = true, value_delimiter = ',', value_parser = trimmed)]
    pub swish_callback_secrets: Vec<SecretString>,
    /// The networks that Swish's callbacks may come from, separated by commas, as this process sees them: of no use
    /// behind a proxy. None: any; callbacks are only believed in that they come.
    #[arg(long, env, value_delimiter = ',')]
    pub swish_callback_addresses: Vec<IpNet>,
    #[command(flatten)]
    pub rate_limits: RateLimits,
    /// The networks of the proxies before us, separated by commas: what they say in `X-Forwarded-For` of the client's
    /// address is believed, and nobody else.
    #[arg(long, env, value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,
    /// The origins of web pages that may use the API from a browser, separated by commas, as in https://shop.example.
    #[arg(long, env, value_delimiter = ',')]
    pub cors_origins: Vec<String>,
    /// How long requests are still taken once the process is to stop, while readiness is false already, in milliseconds:
    /// what a load balancer needs to notice.
    #[arg(long, env, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub drain_ms: u64,
    /// The largest body of a request, in bytes. Evidence of a dispute can be long.
    #[arg(long, env, default_value_t = 262_144)]
    pub body_bytes_max: usize,
    /// The largest body of a webhook, in bytes. Stripe's events can be long.
    #[arg(long, env, default_value_t = 1_048_576)]
    pub webhook_body_bytes_max: usize,
}

impl Config {
    /// # Errors
    /// A setting that cannot work, or would let anybody in.
    pub fn check(&self) -> anyhow::Result<()> {
        self.common.check()?;
        check_secrets("STRIPE_WEBHOOK_SECRETS", &self.stripe_webhook_secrets, &["whsec_"])?;
        check_secrets("SWISH_CALLBACK_SECRETS", &self.swish_callback_secrets, &[])
    }
}

/// How many requests a minute. 0: as many as come. Webhooks, health and metrics are not limited.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RateLimits {
    /// Of a user, that write.
    #[arg(long, env, default_value_t = 100)]
    pub rate_limit_writes: u32,
    /// Of a user, that read.
    #[arg(long, env, default_value_t = 600)]
    pub rate_limit_reads: u32,
    /// Of an address, without a good token.
    #[arg(long, env, default_value_t = 60)]
    pub rate_limit_anonymous: u32,
}

/// Where the keys that tokens are signed with come from: exactly one of the four.
#[derive(Debug, Clone, clap::Args)]
pub struct Auth {
    #[command(flatten)]
    pub keys: Keys,
    /// The `iss` that tokens must have.
    #[arg(long, env)]
    pub jwt_issuer: Option<String>,
    /// The `aud` that tokens must have.
    #[arg(long, env)]
    pub jwt_audience: Option<String>,
}

#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Keys {
    /// A JWKS document (RS256, by `kid`).
    #[arg(long, env)]
    pub jwt_jwks_url: Option<Url>,
    /// A PEM public key (RS256), for example the auth service's /api/public-key
    #[arg(long, env)]
    pub jwt_pem_url: Option<Url>,
    /// A file with a PEM public key (RS256).
    #[arg(long, env)]
    pub jwt_pem_file: Option<PathBuf>,
    /// A shared secret (HS256). For development only: whoever has it can be any user.
    #[arg(long, env, hide_env_values = true)]
    pub jwt_development_secret: Option<SecretString>,
}
