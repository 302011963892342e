//! The worker's settings. Each is a flag and an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use shared::config::{Common, check_secrets, trimmed};
use shared::domain::job::Lane;
use shared::providers::swish::Settings;
use shared::providers::swish::certificate::CertificateFiles;
use url::Url;

#[derive(Debug, Clone, clap::Parser)]
#[command(name = "payment-worker", version, about = "Works on the jobs of the payment service")]
pub struct Config {
    #[command(flatten)]
    pub common: Common,
    /// The lanes to work on.
    #[arg(long, env = "WORKER_LANES", value_delimiter = ',', default_values = Lane::ALL.iter().map(|lane| lane.as_str()))]
    pub lanes: Vec<Lane>,
    /// How many jobs of each lane at a time.
    #[arg(long, env = "WORKER_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub concurrency: u16,
    /// Stripe's API, or a simulator of it.
    #[arg(long, env, default_value = "https://api.stripe.com")]
    pub stripe_base_url: Url,
    /// The secret key of the Stripe account (sk_…).
    #[arg(long, env, hide_env_values = true, value_parser = trimmed)]
    pub stripe_api_key: SecretString,
    /// How long a call to Stripe may take, in milliseconds. Then its outcome is unknown, and it is looked into.
    #[arg(long, env, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=80_000))]
    pub stripe_timeout_ms: u64,
    /// Whether Stripe's event feed is read, every minute, for what no webhook has told.
    #[arg(long, env, default_value_t = true, action = clap::ArgAction::Set)]
    pub stripe_event_sweep: bool,
    /// So many calls of a provider that fail one after the other stop calls to it for a while. 0: never.
    #[arg(long, env, default_value_t = 10)]
    pub provider_breaker_failures: u32,
    #[command(flatten)]
    pub swish: SwishOptions,
    /// Where `/metrics` is served. None: nowhere.
    #[arg(long, env = "WORKER_LISTEN")]
    pub listen: Option<SocketAddr>,
}

/// Swish, where there is a certificate. Then the number, the callback's URL and its secret are needed too.
#[derive(Debug, Clone, clap::Args)]
pub struct SwishOptions {
    /// The client certificate: PEM with its whole chain, or PKCS#12 (.p12, .pfx). A new file is taken up without a restart.
    #[arg(long, env, requires_all = ["swish_payee_alias", "swish_callback_url", "swish_callback_secrets"])]
    pub swish_certificate: Option<PathBuf>,
    /// PEM with the certificate's key, where it is not in the same file.
    #[arg(long, env)]
    pub swish_certificate_key: Option<PathBuf>,
    /// The password of the PKCS#12 file.
    #[arg(long, env, hide_env_values = true)]
    pub swish_certificate_password: Option<SecretString>,
    /// PEM with the authorities that Swish's own certificate is trusted by, instead of the system's.
    #[arg(long, env)]
    pub swish_ca: Option<PathBuf>,
    /// Our Swish number, which the certificate is for.
    #[arg(long, env)]
    pub swish_payee_alias: Option<String>,
    /// Swish's API, or a simulator of it.
    #[arg(long, env, default_value = "https://cpc.getswish.net/swish-cpcapi/api/")]
    pub swish_base_url: Url,
    /// Where Swish is to post callbacks: the API's /api/webhooks/swish, as it is reached from outside, over https.
    #[arg(long, env)]
    pub swish_callback_url: Option<Url>,
    /// What callback identifiers are made of, separated by commas: the first is used, the API takes all.
    #[arg(long, env, hide_env_values = true, value_delimiter = ',', value_parser = trimmed)]
    pub swish_callback_secrets: Vec<SecretString>,
    /// How long a call to Swish may take, in milliseconds.
    #[arg(long, env, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=80_000))]
    pub swish_timeout_ms: u64,
}

impl SwishOptions {
    /// `None`: there is no certificate.
    #[must_use]
    pub fn settings(&self, breaker_failures: u32) -> Option<Settings> {
        Some(Settings {
            base_url: self.swish_base_url.clone(),
            certificate: CertificateFiles {
                certificate: self.swish_certificate.clone()?,
                key: self.swish_certificate_key.clone(),
                password: self.swish_certificate_password.clone(),
                ca: self.swish_ca.clone(),
            },
            payee_alias: self.swish_payee_alias.clone()?,
            callback_url: self.swish_callback_url.clone()?,
            callback_secret: self.swish_callback_secrets.first()?.clone(),
            timeout: Duration::from_millis(self.swish_timeout_ms),
            breaker_failures,
        })
    }
}

impl Config {
    /// # Errors
    /// A setting that cannot work, or would let anybody in.
    pub fn check(&self) -> anyhow::Result<()> {
        self.common.check()?;
        check_secrets("STRIPE_API_KEY", std::slice::from_ref(&self.stripe_api_key), &["sk_", "rk_"])?;
        check_secrets("SWISH_CALLBACK_SECRETS", &self.swish.swish_callback_secrets, &[])
    }

    #[must_use]
    pub fn stripe_timeout(&self) -> Duration {
        Duration::from_millis(self.stripe_timeout_ms)
    }
}
