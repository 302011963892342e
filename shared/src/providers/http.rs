//! The one maker of HTTP clients for providers.

use std::time::Duration;

/// A pooled client. `timeout` covers a whole call; nothing follows redirects with our credentials.
///
/// # Errors
/// The TLS stack could not be set up.
pub fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    builder(timeout).build()
}

/// The same, where more is to be set.
pub(super) fn builder(timeout: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout.min(Duration::from_secs(5)))
        // Shorter than the minute after which load balancers drop idle connections.
        .pool_idle_timeout(Duration::from_secs(50))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("payment-service/", env!("CARGO_PKG_VERSION")))
}
