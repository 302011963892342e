//! Mutual TLS: who has no certificate of ours gets an alert, who has one is known by its CN.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use poem::Addr;
use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::{Certificates, common_name};

/// What an address is called that is a CN.
pub(super) const SCHEME: &str = "swish";
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long the accept loop rests when the process has no more files.
const PAUSE: Duration = Duration::from_millis(50);

/// TLS 1.2 and 1.3; a client certificate of our CA is required, whatever usages it has or has not.
fn server_config(certificates: &Certificates) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certificates.ca).context("ca.pem")?)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let chain = CertificateDer::pem_file_iter(&certificates.server_certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .context("server.pem")?;
    let key = PrivateKeyDer::from_pem_file(&certificates.server_key).context("server.key")?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// A connection whose handshake is done, and the CN of who called.
type Connection = (TlsStream<TcpStream>, String);

/// Gives the connections whose handshake is done. The handshakes run beside each other: a slow one holds up nobody.
pub(super) struct MutualTls {
    local: LocalAddr,
    connections: mpsc::Receiver<Connection>,
}

impl MutualTls {
    pub(super) fn new(listener: std::net::TcpListener, certificates: &Certificates) -> anyhow::Result<Self> {
        listener.set_nonblocking(true)?;
        let local = LocalAddr(listener.local_addr()?.into());
        let acceptor = TlsAcceptor::from(Arc::new(server_config(certificates)?));
        let (sender, connections) = mpsc::channel(64);
        tokio::spawn(accept(TcpListener::from_std(listener)?, acceptor, sender));
        Ok(Self { local, connections })
    }
}

impl Acceptor for MutualTls {
    type Io = TlsStream<TcpStream>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        vec![self.local.clone()]
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        match self.connections.recv().await {
            Some((stream, name)) => {
                Ok((stream, self.local.clone(), RemoteAddr(Addr::custom(SCHEME, name)), Scheme::HTTPS))
            }
            None => std::future::pending().await,
        }
    }
}

/// Takes connections until nobody wants them any more.
async fn accept(listener: TcpListener, acceptor: TlsAcceptor, sender: mpsc::Sender<Connection>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sender.closed() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_MAX, shake(&acceptor, stream)).await {
                Ok(Ok(connection)) => {
                    let _ = sender.send(connection).await;
                }
                Ok(Err(error)) => tracing::info!(%error, "no handshake"),
                Err(_) => tracing::info!("a handshake took too long"),
            }
        });
    }
}

async fn shake(acceptor: &TlsAcceptor, stream: TcpStream) -> io::Result<Connection> {
    let _ = stream.set_nodelay(true);
    let stream = acceptor.accept(stream).await?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let name = leaf.and_then(common_name).ok_or_else(|| io::Error::other("a certificate without a name"))?;
    Ok((stream, name))
}
