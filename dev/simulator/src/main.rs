//! `payment-simulator`: a stateful Stripe on this machine. See README.md beside this crate.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::Parser as _;
use simulator::{Config, Simulator};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tracing_subscriber::fmt().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init();
    let simulator = Simulator::start(Config::parse()).await?;
    println!("Stripe simulator on {}", simulator.url());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    // Now and then, for when it is killed; the larger the state, the more rarely.
    let mut pause = Duration::from_secs(1);
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {
                let began = Instant::now();
                simulator.save()?;
                pause = (began.elapsed() * 20).max(Duration::from_secs(1));
            }
            _ = tokio::signal::ctrl_c() => break,
            _ = terminate.recv() => break,
        }
    }
    simulator.save()
}
