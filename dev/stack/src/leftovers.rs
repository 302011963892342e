//! What a stack that was killed left behind, and `make clean`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::places::dev_dir;
use crate::process;

/// Ends the children that the file of a killed stack names, if they are still this directory's: first who uses the
/// servers, then the servers.
pub fn end_leftovers(stack_json: &Path) {
    let Ok(text) = std::fs::read_to_string(stack_json) else { return };
    let Ok(old) = serde_json::from_str::<Value>(&text) else { return };
    let dev_dir = stack_json.parent().map(|dir| dir.to_string_lossy().into_owned()).unwrap_or_default();
    let pids = |names: &[&str]| -> Vec<u32> {
        let listed = names.iter().flat_map(|name| match &old["pids"][*name] {
            Value::Array(pids) => pids.clone(),
            pid => vec![pid.clone()],
        });
        listed.filter_map(|pid| u32::try_from(pid.as_u64()?).ok()).filter(|pid| is_ours(*pid, &dev_dir)).collect()
    };
    for (names, signal) in [
        (&["api", "workers", "simulator"][..], Signal::SIGTERM),
        (&["redis"], Signal::SIGTERM),
        (&["postgres"], Signal::SIGINT),
    ] {
        let pids = pids(names);
        for pid in &pids {
            say!("ending pid {pid}, left behind by a stack that was killed");
            let _ = process::signal(*pid, signal);
        }
        for _ in 0..200 {
            if !pids.iter().any(|pid| is_alive(*pid)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A process that has ended and that nobody has waited for (a zombie) has no command line any more.
fn is_alive(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty())
}

/// A pid may be another process' by now, also that of another directory's stack.
fn is_ours(pid: u32, dev_dir: &str) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let ours = std::env::current_exe().unwrap_or_default();
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if name.starts_with("payment-") {
        return program.parent() == ours.parent();
    }
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let directory = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    String::from_utf8_lossy(&command).contains(dev_dir) || directory.starts_with(dev_dir)
}

/// `make clean`: removes the development data, unless it is in use.
///
/// # Errors
/// A stack is running on it.
pub fn clean() -> Result<()> {
    let dir = dev_dir()?;
    let lock = std::fs::File::create(dir.join("lock"))?;
    if lock.try_lock().is_err() {
        bail!("the stack of this directory is running; stop it first");
    }
    end_leftovers(&dir.join("stack.json"));
    let postgres = dir.join("postgres");
    if postgres.is_symlink() {
        let _ = std::fs::remove_dir_all(std::fs::canonicalize(&postgres)?);
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
