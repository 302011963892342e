//! Swish: payment requests and refunds over mutual TLS, as *Merchant Swish Simulator* and production have them.

mod callbacks;
mod certificates;
mod codes;
mod control;
mod fields;
mod forged;
mod gate;
mod listener;
mod model;
mod payer_page;
mod payments;
mod refunds;
mod world;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Context as _;
use poem::listener::{Acceptor, TcpAcceptor};
use poem::{Endpoint, EndpointExt as _, Route, Server, get, put};
use tokio::sync::oneshot;

use gate::{Gate, Operation};
use listener::MutualTls;

pub use callbacks::Callback;
pub use certificates::{Certificates, OTHER_ALIAS, PASSWORD};
pub use forged::Forgery;
pub use model::{Payment, Refund, Status};
pub use world::{SwishLedgerEntry, SwishRequest, SwishWorld};

const BASE: &str = "/swish-cpcapi/api";
/// How often it is looked whether something fell due.
const TICK: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, clap::Args)]
pub struct SwishConfig {
    /// Where Swish listens, with mutual TLS.
    #[arg(
        id = "swish-listen",
        long = "swish-listen",
        env = "SIMULATOR_SWISH_LISTEN",
        default_value = "127.0.0.1:12112"
    )]
    pub listen: SocketAddr,
    /// Where Swish's control and the payer's pages are, with plain HTTP.
    #[arg(
        id = "swish-control-listen",
        long = "swish-control-listen",
        env = "SIMULATOR_SWISH_CONTROL_LISTEN",
        default_value = "127.0.0.1:12113"
    )]
    pub control_listen: SocketAddr,
    /// The directory of the certificates; they are made if they are not there or have expired. None: no Swish.
    #[arg(
        id = "swish-certificates",
        long = "swish-certificates",
        env = "SIMULATOR_SWISH_CERTIFICATES",
        required = false
    )]
    pub certificates: PathBuf,
    /// Where requests and refunds are kept from one start to the next. None: they are forgotten.
    #[arg(id = "swish-state-file", long = "swish-state-file", env = "SIMULATOR_SWISH_STATE_FILE")]
    pub state_file: Option<PathBuf>,
    /// How long after a callback that was not taken the first retry comes; the pauses double, up to twelve times this.
    #[arg(
        id = "swish-callback-retry-ms",
        long = "swish-callback-retry-ms",
        env = "SIMULATOR_SWISH_CALLBACK_RETRY_MS",
        default_value_t = 5_000
    )]
    pub callback_retry_ms: u64,
    /// After how long a request fails that asked to by its message, a refund is debited, and a debited one paid.
    #[arg(
        id = "swish-settle-ms",
        long = "swish-settle-ms",
        env = "SIMULATOR_SWISH_SETTLE_MS",
        default_value_t = 1_000
    )]
    pub settle_ms: u64,
    /// Requests are paid by themselves after so long. None: a payer must.
    #[arg(id = "swish-auto-pay-ms", long = "swish-auto-pay-ms", env = "SIMULATOR_SWISH_AUTO_PAY_MS")]
    pub auto_pay_ms: Option<u64>,
    /// The merchant's Swish number, which is the CN of its certificate.
    #[arg(
        id = "swish-payee-alias",
        long = "swish-payee-alias",
        env = "SIMULATOR_SWISH_PAYEE_ALIAS",
        default_value = "1234679304"
    )]
    pub payee_alias: String,
}

/// A running Swish. It ends when this is dropped, and its connections with it.
pub struct SwishSimulator {
    pub world: Arc<SwishWorld>,
    url: String,
    control: SocketAddr,
    certificates: Certificates,
    state_file: Option<PathBuf>,
    /// The servers end when these are dropped.
    _servers: [oneshot::Sender<()>; 2],
    clock: tokio::task::JoinHandle<()>,
}

impl SwishSimulator {
    /// # Errors
    /// An address is taken, or the certificates cannot be made.
    pub async fn start(config: SwishConfig) -> anyhow::Result<Self> {
        let (directory, alias) = (config.certificates.clone(), config.payee_alias.clone());
        let certificates =
            tokio::task::spawn_blocking(move || Certificates::in_directory(&directory, &alias)).await??;
        let listener = bind(config.listen)?;
        let control_listener = bind(config.control_listen)?;
        let url = format!("https://{}{BASE}/", reached(listener.local_addr()?));
        let control = reached(control_listener.local_addr()?);
        let world = SwishWorld::new(&config, url.clone(), &certificates)?;
        let acceptor = MutualTls::new(listener, &certificates)?;
        let api = serve(acceptor, Route::new().nest(BASE, routes()).data(world.clone()));
        let pages = payer_page::routes(control::routes()).data(world.clone());
        let pages = serve(TcpAcceptor::from_std(control_listener)?, pages);
        let clock = tokio::spawn(keep_time(Arc::downgrade(&world)));
        let state_file = config.state_file;
        Ok(Self { world, url, control, certificates, state_file, _servers: [api, pages], clock })
    }

    /// The base URL of the API, with a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Where `/_control` and the payer's pages are, without a slash at its end.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Writes the state file, if there is one, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self) -> anyhow::Result<()> {
        let Some(file) = &self.state_file else { return Ok(()) };
        let new = file.with_extension("new");
        std::fs::write(&new, self.world.state()?)?;
        std::fs::rename(&new, file).context("cannot write the state file of Swish")
    }
}

impl Drop for SwishSimulator {
    fn drop(&mut self) {
        self.clock.abort();
    }
}

fn bind(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Where something that listens can be called from this machine.
fn reached(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(own) if own.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, own.port()).into(),
        SocketAddr::V6(own) if own.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, own.port()).into(),
        own => own,
    }
}

fn routes() -> Route {
    Route::new()
        .at("/v2/paymentrequests/:id", put(Gate(Operation::CreatePayment)))
        .at("/v1/paymentrequests/:id", get(Gate(Operation::RetrievePayment)).patch(Gate(Operation::CancelPayment)))
        .at("/v2/refunds/:id", put(Gate(Operation::CreateRefund)))
        .at("/v1/refunds/:id", get(Gate(Operation::RetrieveRefund)))
}

/// Serves until what is returned is dropped; then open connections are cut.
fn serve(acceptor: impl Acceptor + 'static, app: impl Endpoint + 'static) -> oneshot::Sender<()> {
    let (alive, end) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let end = async {
            let _ = end.await;
        };
        let server = Server::new_with_acceptor(acceptor);
        if let Err(error) = server.run_with_graceful_shutdown(app, end, Some(Duration::ZERO)).await {
            tracing::error!(%error, "Swish ended");
        }
    });
    alive
}

/// Carries out what falls due while nobody calls.
async fn keep_time(world: Weak<SwishWorld>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(world) = world.upgrade() else { return };
        world.let_time_pass();
    }
}
