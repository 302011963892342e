//! `payment-simulator`: a stateful Stripe on this machine. See README.md beside this crate.

use clap::Parser as _;
use simulator::{Config, Simulator};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let simulator = Simulator::start(Config::parse()).await?;
    println!("Stripe simulator on {}", simulator.url());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
