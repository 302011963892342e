//! Runs a command with a private Postgres and Redis that live as long as it does.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::places::{dev_dir, free_port};
use crate::postgres::{Cluster, Durability};
use crate::process::{self, Keep, Kept};
use crate::redis::Redis;

/// # Errors
/// The servers or the command could not be started. The command's own failure is the exit code.
pub async fn with(command: &[OsString]) -> Result<ExitCode> {
    let dir = dev_dir()?.join(format!("with-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let result = run_in(&dir, command).await;
    let postgres = dir.join("postgres");
    if postgres.is_symlink() {
        let _ = std::fs::remove_dir_all(std::fs::canonicalize(&postgres)?);
    }
    let _ = std::fs::remove_dir_all(&dir);
    result
}

async fn run_in(dir: &std::path::Path, command: &[OsString]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("no command")?;
    let cluster = Cluster::prepare(dir, free_port()?, Durability::Fast).await?;
    let redis = Redis::prepare(dir, free_port()?)?;
    let (starts, _receiver) = mpsc::unbounded_channel();
    let (server, redis_server) = (cluster.clone(), redis.clone());
    let children = [
        Kept::start(
            Keep {
                name: "redis".to_owned(),
                log: dir.join("redis.log"),
                stop_signal: Signal::SIGTERM,
                command: Box::new(move || redis_server.server()),
            },
            starts.clone(),
        )?,
        Kept::start(
            Keep {
                name: "postgres".to_owned(),
                log: dir.join("postgres.log"),
                // At once: the data is thrown away.
                stop_signal: Signal::SIGQUIT,
                command: Box::new(move || server.server()),
            },
            starts,
        )?,
    ];
    let result = async {
        cluster.ready().await?;
        redis.ready().await?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut child = Command::new(program)
            .args(arguments)
            .env("TEST_DATABASE_URL", cluster.url())
            .env("TEST_REDIS_URL", redis.url())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                // The terminal has sent it to the command as well.
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {
                    if let Some(pid) = child.id() {
                        process::signal(pid, Signal::SIGTERM)?;
                    }
                }
            }
        };
        Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
    }
    .await;
    for child in children {
        child.stop().await;
    }
    result
}
