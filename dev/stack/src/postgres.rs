//! A private Postgres server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::unistd::{Gid, Uid, User, chown};
use tokio::process::Command;

use crate::places::{find_program, is_reachable_by_all, is_root, kept_secret, owner};

const DATABASE: &str = "payments";
const SUPERUSER: &str = "payments";

/// What of durability is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As in production.
    Full,
    /// Survives the end of its processes, not of the machine: enough for tests.
    Fast,
}

/// A cluster on disk, and how to start a server on it.
#[derive(Debug, Clone)]
pub struct Cluster {
    programs: PathBuf,
    data: PathBuf,
    /// Postgres refuses to run as root: whom it runs as instead.
    user: Option<(Uid, Gid)>,
    password: String,
    pub port: u16,
    durability: Durability,
}

impl Cluster {
    /// The cluster in `dir`, made now if it is not there.
    ///
    /// # Errors
    /// Postgres is not installed, or could not make it.
    pub async fn prepare(dir: &Path, port: u16, durability: Durability) -> Result<Self> {
        let programs = programs()?;
        let user = if is_root() { Some(unprivileged_user()?) } else { None };
        let data = data_dir(dir, user)?;
        let password = kept_secret(&dir.join("postgres.password"))?;
        let cluster = Self { programs, data, user, password, port, durability };
        if !cluster.data.join("PG_VERSION").exists() {
            cluster.init(dir).await?;
        }
        Ok(cluster)
    }

    async fn init(&self, dir: &Path) -> Result<()> {
        // initdb reads the password as the user that it runs as.
        let file = self.data.with_extension("initial-password");
        std::fs::write(&file, &self.password)?;
        if let Some((uid, gid)) = self.user {
            chown(&file, Some(uid), Some(gid))?;
        }
        let mut command = self.command("initdb");
        command.arg("-D").arg(&self.data).args(["-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--no-sync"]);
        command.arg("--auth=scram-sha-256").arg("--pwfile").arg(&file);
        let output = command.output().await.context("cannot run initdb")?;
        std::fs::remove_file(&file)?;
        if !output.status.success() {
            bail!("initdb failed in {}:\n{}", dir.display(), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// The command that is the server.
    #[must_use]
    pub fn server(&self) -> Command {
        let mut command = self.command("postgres");
        command.arg("-D").arg(&self.data);
        for setting in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "max_connections=300".to_owned(),
        ] {
            command.arg("-c").arg(setting);
        }
        if self.durability == Durability::Fast {
            for setting in ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off"] {
                command.arg("-c").arg(setting);
            }
        }
        command
    }

    /// Waits until the server answers, and makes the database if it is not there.
    ///
    /// # Errors
    /// It does not answer within half a minute.
    pub async fn ready(&self) -> Result<()> {
        let port = self.port.to_string();
        let mut ready = false;
        for _ in 0..600 {
            let mut command = self.command("pg_isready");
            command.args(["-q", "-h", "127.0.0.1", "-p", &port]);
            if command.status().await.is_ok_and(|status| status.success()) {
                ready = true;
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if !ready {
            bail!("Postgres did not answer within 30 seconds; see its log");
        }
        let mut command = self.command("createdb");
        command.args(["-h", "127.0.0.1", "-p", &port, "-U", SUPERUSER, DATABASE]).env("PGPASSWORD", &self.password);
        let output = command.output().await.context("cannot run createdb")?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() && !said.contains("already exists") {
            bail!("createdb failed: {said}");
        }
        Ok(())
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{DATABASE}", self.password, self.port)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        if let Some((uid, gid)) = self.user {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        // Not every place that we may be in can be entered by the other user.
        command.current_dir("/").env("LC_ALL", "C").stdin(std::process::Stdio::null());
        command
    }
}

/// Where Postgres' programs are. Debian keeps the server's off the `PATH`.
fn programs() -> Result<PathBuf> {
    let mut places: Vec<PathBuf> = Vec::new();
    for (parent, child) in [("/usr/lib/postgresql", "bin"), ("/opt/homebrew/opt", "bin"), ("/usr/local/opt", "bin")] {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path().join(child)).collect();
        // The newest version first.
        found.sort_by_key(|path| std::cmp::Reverse(path.clone()));
        places.extend(found);
    }
    let postgres = find_program("postgres", &places)
        .context("Postgres is not installed; `make setup` installs it (or install it by hand: postgresql)")?;
    // A link on the PATH leads to where its companions are.
    let postgres = std::fs::canonicalize(&postgres).unwrap_or(postgres);
    Ok(postgres.parent().context("postgres is in no directory")?.to_owned())
}

fn unprivileged_user() -> Result<(Uid, Gid)> {
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok((user.uid, user.gid));
        }
    }
    bail!("Postgres refuses to run as root, and there is no user `postgres` or `nobody` to run it as")
}

/// The data directory, owned by the user that Postgres runs as. If that user cannot reach `dir` (a home directory of
/// root), it lies under /var/tmp, and a link in `dir` leads there.
fn data_dir(dir: &Path, user: Option<(Uid, Gid)>) -> Result<PathBuf> {
    let mut data = dir.join("postgres");
    let Some((uid, gid)) = user else {
        std::fs::create_dir_all(&data)?;
        restrict(&data)?;
        return Ok(data);
    };
    if !is_reachable_by_all(dir) && !data.exists() {
        let text = dir.to_string_lossy();
        let hash = text.bytes().fold(5381_u64, |hash, byte| hash.wrapping_mul(33) ^ u64::from(byte));
        let elsewhere = PathBuf::from(format!("/var/tmp/payment-service-{hash:016x}"));
        // What an earlier `.dev` left there was locked with a password that is gone.
        let _ = std::fs::remove_dir_all(&elsewhere);
        std::fs::create_dir_all(&elsewhere)?;
        let _ = std::fs::remove_file(&data);
        std::os::unix::fs::symlink(&elsewhere, &data)?;
    }
    std::fs::create_dir_all(&data)?;
    data = std::fs::canonicalize(&data)?;
    if owner(&data)? != uid.as_raw() {
        chown(&data, Some(uid), Some(gid)).context("cannot hand the data directory to the user of Postgres")?;
    }
    restrict(&data)?;
    Ok(data)
}

/// Postgres wants its directory to itself.
fn restrict(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).context("the data directory")
}
