//! Logs: readable in development, JSON where machines read them. Traces: exported over OTLP, where an address is given.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Common;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, a line each.
    Json,
}

/// Dropped last, it sends the spans that were not sent yet.
#[must_use]
pub struct Telemetry {
    exporter: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(exporter) = &self.exporter
            && let Err(error) = exporter.shutdown()
        {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

/// Sends logs to standard error, and spans where the configuration says.
///
/// # Errors
/// The exporter cannot be made.
pub fn init(program: &'static str, config: &Common) -> anyhow::Result<Telemetry> {
    let exporter = config.otel_exporter_otlp_endpoint.as_ref().map(|endpoint| {
        let endpoint = format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/'));
        let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build()?;
        let resource = Resource::builder().with_service_name(program).build();
        Ok::<_, opentelemetry_otlp::ExporterBuildError>(
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build(),
        )
    });
    let exporter = exporter.transpose().context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    let spans = exporter.as_ref().map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(program)));
    let registry = tracing_subscriber::registry().with(EnvFilter::new(&config.log_filter)).with(spans);
    match config.log_format {
        LogFormat::Text => {
            registry.with(fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr)).init()
        }
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).init(),
    }
    Ok(Telemetry { exporter })
}
