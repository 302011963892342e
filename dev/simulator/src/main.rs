//! `payment-simulator`: a stateful Stripe and Swish on this machine. See README.md beside this crate.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::Parser;
use simulator::{Config, Simulator, SwishConfig, SwishSimulator};

#[derive(Debug, Parser)]
#[command(
    name = "payment-simulator",
    version,
    about = "A stateful Stripe and Swish on this machine, with faults on demand"
)]
struct Options {
    #[command(flatten)]
    stripe: Config,
    #[command(flatten)]
    swish: Option<SwishConfig>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tracing_subscriber::fmt().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init();
    let options = Options::parse();
    let stripe = Simulator::start(options.stripe).await?;
    println!("Stripe simulator on {}", stripe.url());
    let swish = match options.swish {
        Some(config) => Some(SwishSimulator::start(config).await?),
        None => None,
    };
    if let Some(swish) = &swish {
        println!("Swish simulator on {}, the payer's pages on {}", swish.url(), swish.control_url());
    }
    let save = || {
        stripe.save()?;
        swish.as_ref().map_or(Ok(()), SwishSimulator::save)
    };
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    // Now and then, for when it is killed; the larger the state, the more rarely.
    let mut pause = Duration::from_secs(1);
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {
                let began = Instant::now();
                save()?;
                pause = (began.elapsed() * 20).max(Duration::from_secs(1));
            }
            _ = tokio::signal::ctrl_c() => break,
            _ = terminate.recv() => break,
        }
    }
    save()
}
