//! `payment-stack`: the whole service on this machine, for development and for tests.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "payment-stack", version, about = "Runs the payment service on this machine")]
enum Command {
    /// Postgres, Redis, a simulated Stripe, the API and workers, until Ctrl-C.
    Run(stack::run::Options),
    /// Takes a payment through the running stack and shows what happens.
    Demo,
    /// Prints how a service that runs elsewhere, in containers, is used.
    Introduce(stack::introduction::Introduction),
    /// Removes the development data (.dev).
    Clean,
    /// Runs a command with a private Postgres and Redis: TEST_DATABASE_URL, TEST_REDIS_URL.
    With {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let result = match Command::parse() {
        Command::Run(options) => stack::run::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Demo => stack::demo::demo().await.map(|()| ExitCode::SUCCESS),
        Command::Introduce(introduction) => introduction.print().map(|()| ExitCode::SUCCESS),
        Command::Clean => stack::leftovers::clean().map(|()| ExitCode::SUCCESS),
        Command::With { command } => stack::with::with(&command).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
