//! The development stack: private Postgres and Redis servers, and the service's own binaries as child processes.
//!
//! - [`run`]: `make run`. [`demo`]: `make demo`. [`with`]: what `make test` runs in.
//! - [`postgres`], [`redis`]: how the servers are started. [`process`]: how children are kept and stopped.

pub mod demo;
pub mod places;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod run;
pub mod tokens;
pub mod with;
