//! Child processes: started, started again when they die, stopped.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long a child may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a signal to a process that this program started.
///
/// # Errors
/// The process is gone.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).context("no pid")?;
    kill(Pid::from_raw(pid), signal).with_context(|| format!("cannot send {signal} to {pid}"))
}

/// A child, and what is written of it where.
pub struct Keep {
    pub name: String,
    pub log: PathBuf,
    /// What ends it in an orderly way.
    pub stop_signal: Signal,
    pub command: Box<dyn Fn() -> Command + Send + Sync>,
}

/// News of children: `(name, pid)`, at every start.
pub type Starts = mpsc::UnboundedSender<(String, u32)>;

/// A child that is kept running until it is stopped.
pub struct Kept {
    pub name: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Kept {
    /// Starts the child and keeps it.
    ///
    /// # Errors
    /// It cannot be started even once.
    pub fn start(keep: Keep, starts: Starts) -> Result<Self> {
        let name = keep.name.clone();
        let child = spawn(&keep)?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(keep_running(keep, child, starts, stopped));
        Ok(Self { name, stop, task })
    }

    /// Stops the child and waits until it is gone.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

fn spawn(keep: &Keep) -> Result<Child> {
    let log = std::fs::File::options().create(true).append(true).open(&keep.log)?;
    let mut command = (keep.command)();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C is for the stack, which stops its children in order.
        .process_group(0)
        // Should the stack itself fail, it leaves nothing behind.
        .kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", keep.name))
}

async fn keep_running(keep: Keep, mut child: Child, starts: Starts, mut stopped: watch::Receiver<bool>) {
    let mut pause = Duration::from_millis(200);
    loop {
        let started = Instant::now();
        let pid = child.id().unwrap_or_default();
        let _ = starts.send((keep.name.clone(), pid));
        tokio::select! {
            status = child.wait() => report(&keep, pid, status),
            () = told(&mut stopped) => return stop(&keep, &mut child).await,
        }
        if started.elapsed() > Duration::from_secs(10) {
            pause = Duration::from_millis(200);
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = told(&mut stopped) => return,
            }
            pause = pause.saturating_mul(2).min(Duration::from_secs(5));
            match spawn(&keep) {
                Ok(again) => {
                    child = again;
                    say!("{} runs again (pid {})", keep.name, child.id().unwrap_or_default());
                    break;
                }
                Err(error) => say!("{error:#}"),
            }
        }
    }
}

async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn report(keep: &Keep, pid: u32, status: std::io::Result<ExitStatus>) {
    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    say!("{} (pid {pid}) ended: {how}; starting it again (log: {})", keep.name, keep.log.display());
}

async fn stop(keep: &Keep, child: &mut Child) {
    let Some(pid) = child.id() else { return };
    // A stopped process (SIGSTOP) would not see the signal.
    let _ = signal(pid, keep.stop_signal);
    let _ = signal(pid, Signal::SIGCONT);
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        say!("{} did not stop within {} s and is killed", keep.name, PATIENCE.as_secs());
        let _ = child.kill().await;
    }
}
