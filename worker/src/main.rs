//! `payment-worker`: see `payment-worker --help` for its settings.

use clap::Parser as _;
use worker::config::Config;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // More than one TLS provider in the dependency graph must never make rustls guess.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = Config::parse();
    shared::telemetry::init(config.common.log_format, &config.common.log_filter);
    worker::run(config, async {
        if let Err(error) = shared::shutdown::requested().await {
            tracing::error!(%error, "cannot listen for signals");
        }
    })
    .await
}
