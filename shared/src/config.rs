//! Configuration that api and worker share. Every setting is an environment variable and a flag; `--help` lists them.

use secrecy::SecretString;
use url::Url;

use crate::telemetry::LogFormat;

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
    #[arg(long, env, default_value_t = 20)]
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
