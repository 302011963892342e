//! `payment-worker`: see `payment-worker --help` for its settings.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use shared::config::Command;
use worker::config::Config;

#[derive(Parser)]
#[command(name = "payment-worker", version, about = "Works on the jobs of the payment service")]
struct Options {
    #[command(flatten)]
    config: Config,
    /// None: it works.
    #[command(subcommand)]
    command: Option<Command>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    // More than one TLS provider in the dependency graph must never make rustls guess.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Options { config, command } = Options::parse();
    match command {
        None => work(config).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Doctor) => Ok(worker::doctor::examine(&config).await.print()),
        Some(Command::Health) => {
            shared::health::ask(config.listen.context("WORKER_LISTEN is not set")?, "/health").await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn work(config: Config) -> anyhow::Result<()> {
    let _telemetry = shared::telemetry::init("payment-worker", &config.common)?;
    worker::run(config, async {
        if let Err(error) = shared::shutdown::requested().await {
            tracing::error!(%error, "cannot listen for signals");
        }
    })
    .await
}
