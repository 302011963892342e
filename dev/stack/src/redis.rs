//! A private Redis server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::places::find_program;

#[derive(Debug, Clone)]
pub struct Redis {
    program: PathBuf,
    dir: PathBuf,
    pub port: u16,
}

impl Redis {
    /// # Errors
    /// Redis is not installed.
    pub fn prepare(dir: &Path, port: u16) -> Result<Self> {
        let program = find_program("redis-server", &[PathBuf::from("/opt/homebrew/bin")])
            .context("Redis is not installed; `make setup` installs it (or install it by hand: redis-server)")?;
        let dir = dir.join("redis");
        std::fs::create_dir_all(&dir)?;
        Ok(Self { program, dir, port })
    }

    /// The command that is the server.
    #[must_use]
    pub fn server(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--port").arg(self.port.to_string()).args(["--bind", "127.0.0.1", "--daemonize", "no"]);
        command.arg("--dir").arg(&self.dir).args(["--appendonly", "yes", "--maxmemory-policy", "noeviction"]);
        command.stdin(std::process::Stdio::null());
        command
    }

    /// # Errors
    /// It does not answer within ten seconds.
    pub async fn ready(&self) -> Result<()> {
        for _ in 0..500 {
            if self.answers().await.unwrap_or(false) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("Redis did not answer within 10 seconds; see its log")
    }

    async fn answers(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        Ok(&answer == b"+PONG")
    }

    /// Where it keeps its files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}
