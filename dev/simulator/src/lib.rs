//! A stateful simulator of payment providers, for tests and for trying things out without an account.
//!
//! Written from the providers' published documentation. `README.md` beside this crate is the manual.

#![recursion_limit = "256"]

mod actions;
mod agenda;
mod control;
pub mod faults;
mod stripe;
pub mod swish;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use poem::listener::TcpAcceptor;
use poem::{EndpointExt as _, Route, Server};

pub use stripe::error::StripeError;
pub use stripe::events::Order;
pub use stripe::store::Kind;
pub use stripe::world::{AfterRetries, LedgerEntry, RequestLog, World};
pub use swish::{Certificates, SwishConfig, SwishSimulator, SwishWorld};

#[derive(Debug, Clone, clap::Parser)]
#[command(name = "payment-simulator", version, about = "A stateful Stripe on this machine, with faults on demand")]
pub struct Config {
    /// Where to listen.
    #[arg(long, env = "SIMULATOR_LISTEN", default_value = "127.0.0.1:12111")]
    pub listen: SocketAddr,
    /// Where events are sent to. None: events are only kept.
    #[arg(long, env = "SIMULATOR_WEBHOOK_URL")]
    pub webhook_url: Option<String>,
    /// What events are signed with.
    #[arg(long, env = "SIMULATOR_WEBHOOK_SECRET", default_value = "whsec_simulator")]
    pub webhook_secret: String,
    /// How long after a failed delivery the first retry comes; each further one waits twice as long.
    #[arg(long, env = "SIMULATOR_WEBHOOK_RETRY_MS", default_value_t = 500)]
    pub webhook_retry_ms: u64,
    /// Where the objects are kept from one start to the next. None: they are forgotten.
    #[arg(long, env = "SIMULATOR_STATE_FILE")]
    pub state_file: Option<PathBuf>,
}

/// A running simulator. It ends when this is dropped.
pub struct Simulator {
    pub world: Arc<World>,
    address: SocketAddr,
    state_file: Option<PathBuf>,
    server: tokio::task::JoinHandle<()>,
    clock: tokio::task::JoinHandle<()>,
}

impl Simulator {
    /// # Errors
    /// The address is taken.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(config.listen)
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let world = Arc::new(World::new(&config)?);
        let app = Route::new().nest("/_control", control::routes()).nest("/v1", stripe::routes()).data(world.clone());
        let acceptor = TcpAcceptor::from_std(listener)?;
        let server = tokio::spawn(async move {
            if let Err(error) = Server::new_with_acceptor(acceptor).run(app).await {
                tracing::error!(%error, "the simulator ended");
            }
        });
        let clock = tokio::spawn(keep_time(Arc::downgrade(&world)));
        Ok(Self { world, address, state_file: config.state_file, server, clock })
    }

    /// Writes the state file, if there is one, whole or not at all. It does not hold what happens while it is written.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self) -> anyhow::Result<()> {
        let Some(file) = &self.state_file else { return Ok(()) };
        let new = file.with_extension("new");
        std::fs::write(&new, self.world.state()?)?;
        std::fs::rename(&new, file).context("cannot write the state file")
    }

    /// The base URL, without `/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
        self.clock.abort();
    }
}

/// Carries out what falls due while nobody calls.
async fn keep_time(world: std::sync::Weak<World>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(world) = world.upgrade() else { return };
        world.let_time_pass();
    }
}
