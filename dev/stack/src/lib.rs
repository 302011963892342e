//! The development stack: private Postgres and Redis servers, and the service's own binaries as child processes.
//!
//! - [`run`]: `make run`. [`demo`]: `make demo`. [`with`]: what `make test` runs in.
//! - [`postgres`], [`redis`], [`swish`]: how the servers and the simulated Swish are started. [`process`]: how children are kept and stopped.

/// Prints a line. A reader that has gone away (a closed terminal, `| head`) must not end the stack half-way.
macro_rules! say {
    ($($argument:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($argument)*);
    }};
}

pub mod demo;
pub mod introduction;
pub mod leftovers;
pub mod places;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod run;
pub mod swish;
pub mod tokens;
pub mod with;
