//! `payment-api`: see `payment-api --help` for its settings.

use std::process::ExitCode;

use anyhow::Context as _;
use api::config::Config;
use clap::Parser;
use shared::config::Command;

#[derive(Parser)]
#[command(name = "payment-api", version, about = "The API of the payment service")]
struct Options {
    #[command(flatten)]
    config: Config,
    /// None: it serves.
    #[command(subcommand)]
    command: Option<Command>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    // More than one TLS provider in the dependency graph must never make rustls guess.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Options { config, command } = Options::parse();
    match command {
        None => serve(config).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Doctor) => Ok(api::doctor::examine(&config).await.print()),
        Some(Command::Health) => {
            shared::health::ask(config.listen, "/health/ready").await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let _telemetry = shared::telemetry::init("payment-api", &config.common)?;
    // Tokio's: it lets a thousand connections wait to be taken, the standard library's 128, too few for a burst.
    let listener = tokio::net::TcpListener::bind(config.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", config.listen))?.into_std()?;
    api::serve(config, listener, async {
        if let Err(error) = shared::shutdown::requested().await {
            tracing::error!(%error, "cannot listen for signals");
        }
    })
    .await
}
