//! `health`: for containers, whose health check has no shell and no curl. Asks the process beside.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// # Errors
/// It does not answer, or not well.
pub async fn ask(listen: SocketAddr, path: &str) -> reqwest::Result<()> {
    let host = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    let url = format!("http://{}{path}", SocketAddr::new(host, listen.port()));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).no_proxy().build()?;
    client.get(url).send().await?.error_for_status().map(drop)
}
