//! `payment-api`: see `payment-api --help` for its settings.

use clap::Parser as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // More than one TLS provider in the dependency graph must never make rustls guess.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = api::config::Config::parse();
    shared::telemetry::init(config.common.log_format, &config.common.log_filter);
    let listener = std::net::TcpListener::bind(config.listen)
        .map_err(|error| anyhow::anyhow!("cannot listen on {}: {error}", config.listen))?;
    api::serve(config, listener, async {
        if let Err(error) = shared::shutdown::requested().await {
            tracing::error!(%error, "cannot listen for signals");
        }
    })
    .await
}
