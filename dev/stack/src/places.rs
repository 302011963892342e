//! Files, ports and programs.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rand::RngExt as _;

/// Where the stack keeps its data: `.dev` in the current directory.
///
/// # Errors
/// The directory cannot be made.
pub fn dev_dir() -> Result<PathBuf> {
    let dir = std::env::current_dir()?.join(".dev");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// A port of 127.0.0.1 that nobody listens on.
///
/// # Errors
/// None is left.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// # Errors
/// Somebody listens on the port: says so in words that help.
pub fn check_port(port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("port {port} is taken by another program; choose another one: PORT={} make run", port.wrapping_add(1))
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on port {port}")),
    }
}

/// A program of ours, beside this one.
///
/// # Errors
/// It has not been built.
pub fn own_program(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is not there; build it with `cargo build --workspace`", path.display());
    }
    Ok(path)
}

/// A program on the `PATH` or in one of the directories given.
#[must_use]
pub fn find_program(name: &str, also_in: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    also_in.iter().cloned().chain(std::env::split_paths(&path)).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// A secret that is made once and kept in a file that only its owner can read.
///
/// # Errors
/// The file cannot be read or written.
pub fn kept_secret(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(secret) => Ok(secret),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut random = rand::rng();
            let secret: String = (0..40).map(|_| char::from(random.sample(rand::distr::Alphanumeric))).collect();
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            std::io::Write::write_all(&mut file, secret.as_bytes())?;
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file that only its owner can read, whole or not at all.
///
/// # Errors
/// It cannot be written.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    std::fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Whether every user can reach the directory: each one above it can be passed through.
#[must_use]
pub fn is_reachable_by_all(dir: &Path) -> bool {
    dir.ancestors().all(|dir| std::fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The owner of a file.
///
/// # Errors
/// It is not there.
pub fn owner(path: &Path) -> Result<u32> {
    Ok(std::fs::metadata(path)?.uid())
}
