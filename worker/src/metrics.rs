//! The numbers of this process, in the Prometheus text format, where `WORKER_LISTEN` says.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem::http::StatusCode;
use poem::listener::TcpListener;
use poem::web::Data;
use poem::{EndpointExt as _, Response, Route, Server, get, handler};
use prometheus::{Encoder as _, IntGauge, Registry, TextEncoder};

use crate::context::Context;

pub struct Metrics {
    registry: Registry,
    swish_certificate_expiry: IntGauge,
}

impl Metrics {
    /// # Panics
    /// Never: the names are constants, each registered once.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let swish_certificate_expiry = IntGauge::new(
            "payment_service_swish_certificate_expiry_timestamp_seconds",
            "When the Swish certificate in use expires, in seconds since 1970. 0: none is in use.",
        )
        .expect("a valid name");
        registry.register(Box::new(swish_certificate_expiry.clone())).expect("registered once");
        Self { registry, swish_certificate_expiry }
    }

    pub fn swish_certificate(&self, not_after: DateTime<Utc>) {
        self.swish_certificate_expiry.set(not_after.timestamp());
    }

    /// # Errors
    /// The encoder's own.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[handler]
fn metrics(Data(context): Data<&Arc<Context>>) -> Response {
    match context.metrics.text() {
        Ok(text) => Response::builder().content_type(prometheus::TEXT_FORMAT).body(text),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into(),
    }
}

/// Serves `/metrics` for ever.
pub async fn serve(listener: TcpListener<std::net::SocketAddr>, context: Arc<Context>) {
    let app = Route::new().at("/metrics", get(metrics)).data(context);
    if let Err(error) = Server::new(listener).run(app).await {
        tracing::error!(%error, "the metrics cannot be served");
    }
}
