//! The API: accepts requests and webhooks, commits them, rings. It never calls a provider.
//!
//! - [`payments`], [`refunds`], [`subscriptions`], [`customers`], [`disputes`], [`admin`], [`provider_webhooks`],
//!   [`health`]: the operations.
//! - [`accepted`], [`etag`], [`paging`], [`wire`]: what their answers have in common.
//! - [`idempotency`]: what is asked twice is done once.
//! - [`auth`]: who asks. [`rate_limit`]: how often. [`problem`]: how errors look. [`envelope`]: what every request goes through.
//!   `edges`, `operations`: what is refused before an operation sees it. `compression`: how long answers are sent.
//! - [`body`], [`json`], `shape`: how bodies are read.
//! - [`doctor`]: what is wrong with a set-up.
//! - [`waiting`]: requests that wait for something to move.

pub mod accepted;
pub mod admin;
pub mod auth;
pub mod body;
mod compression;
pub mod config;
mod cors;
pub mod customers;
pub mod disputes;
pub mod doctor;
pub mod document;
mod edges;
pub mod envelope;
pub mod etag;
pub mod grouped;
pub mod health;
pub mod idempotency;
pub mod json;
pub mod metrics;
mod operations;
mod pages;
pub mod paging;
pub mod payments;
pub mod prefer;
pub mod problem;
pub mod provider_webhooks;
pub mod rate_limit;
pub mod refunds;
mod shape;
pub mod state;
pub mod subscriptions;
pub mod waiting;
pub mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use poem::listener::TcpAcceptor;
use poem::middleware::CatchPanic;
use poem::{Endpoint, EndpointExt as _, Response, Route, Server, get};
use poem_openapi::{ContactObject, ExtraHeader, LicenseObject, OpenApiService, ServerObject, Tags};

use crate::config::Config;
use crate::pages::Page;
use crate::state::State;

#[derive(Tags)]
pub(crate) enum Tag {
    /// Take money, and see what became of it.
    Payments,
    /// Give money back.
    Refunds,
    /// Charge again each period.
    Subscriptions,
    /// The user of the token, as a customer, and the payment methods that they have saved.
    Customers,
    /// When the payer's bank wants the money back.
    Disputes,
    /// For administrators only: everybody's payments and disputes, unknown outcomes, provider events, jobs and queues.
    Admin,
    /// Where payment providers report. Not for apps.
    #[oai(rename = "Provider webhooks")]
    ProviderWebhooks,
    /// For load balancers and operators.
    Operations,
}

pub(crate) type Apis = (
    payments::PaymentsApi,
    refunds::RefundsApi,
    subscriptions::SubscriptionsApi,
    customers::CustomersApi,
    disputes::DisputesApi,
    admin::AdminPaymentsApi,
    admin::UnknownOutcomesApi,
    admin::AdminDisputesApi,
    admin::ProviderEventsApi,
    admin::AdminJobsApi,
    admin::AdminQueuesApi,
    admin::AdminActionsApi,
    provider_webhooks::ProviderWebhooksApi,
    health::HealthApi,
);

/// The OpenAPI service over `state`.
fn service(state: &Arc<State>) -> OpenApiService<Apis, ()> {
    OpenApiService::new(
        (
            payments::PaymentsApi { state: state.clone() },
            refunds::RefundsApi { state: state.clone() },
            subscriptions::SubscriptionsApi { state: state.clone() },
            customers::CustomersApi { state: state.clone() },
            disputes::DisputesApi { state: state.clone() },
            admin::AdminPaymentsApi { state: state.clone() },
            admin::UnknownOutcomesApi { state: state.clone() },
            admin::AdminDisputesApi { state: state.clone() },
            admin::ProviderEventsApi { state: state.clone() },
            admin::AdminJobsApi { state: state.clone() },
            admin::AdminQueuesApi { state: state.clone() },
            admin::AdminActionsApi { state: state.clone() },
            provider_webhooks::ProviderWebhooksApi { state: state.clone() },
            health::HealthApi { state: state.clone() },
        ),
        "Payment service",
        env!("CARGO_PKG_VERSION"),
    )
    .description(include_str!("description.md"))
    .server(ServerObject::new("/").description("Where this document is served."))
    .server(ServerObject::new("http://127.0.0.1:8080").description("`make run`, on your own machine."))
    .contact(ContactObject::new().name("The payment-service authors"))
    .license(LicenseObject::new("MIT OR Apache-2.0").identifier("MIT OR Apache-2.0"))
    .extra_response_header::<String, _>(
        ExtraHeader::new("X-Request-Id").description("The id of this request, as it stands in our logs."),
    )
}

/// The OpenAPI document, as it is checked in at `api/openapi.json` and served.
#[must_use]
pub fn openapi() -> String {
    document::complete(&service(&State::for_document()).spec())
}

/// Everything that is served, with what every request goes through.
pub fn app(state: &Arc<State>) -> impl Endpoint<Output = Response> + 'static {
    let service = service(state);
    let routes = Route::new()
        .nest("/docs", get(Page::Docs))
        .nest("/reference", get(Page::Reference))
        .at("/openapi.json", get(Page::Document))
        .at("/errors", get(Page::Errors))
        .nest("/", service)
        .data(state.clone());
    let routes = edges::Edges::new(routes, operations::Operations::of::<Apis>())
        .with(CatchPanic::new().with_handler(problem::PanicProblem));
    let enveloped = envelope::Envelope::new(routes, state.clone());
    compression::Compressed(cors::allow(enveloped, &state.cors_origins))
}

/// Serves until `stop` resolves, then finishes the requests at work and returns.
///
/// # Errors
/// A configuration that cannot work. Postgres, Redis and the auth service may be away: they are waited for.
pub async fn serve(
    config: Config,
    listener: std::net::TcpListener,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    config.check()?;
    let started = state::start(&config).await?;
    listener.set_nonblocking(true).context("the listener")?;
    let address = listener.local_addr().context("the listener")?;
    let acceptor = TcpAcceptor::from_std(listener).context("the listener")?;
    tracing::info!(%address, "listening");
    let (state, drain) = (started.state.clone(), Duration::from_millis(config.drain_ms));
    let stop = async move {
        stop.await;
        state.draining.store(true, Ordering::Relaxed);
        tracing::info!(?drain, "stopping: no longer ready");
        tokio::time::sleep(drain).await;
        tracing::info!("stopping: no more requests are taken");
        // Requests that wait for a worker answer with what there is.
        state.waiting.close();
    };
    Server::new_with_acceptor(acceptor)
        .run_with_graceful_shutdown(app(&started.state), stop, Some(Duration::from_secs(20)))
        .await
        .context("the server")?;
    started.finish().await;
    tracing::info!("stopped");
    Ok(())
}
