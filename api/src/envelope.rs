//! What every request goes through: its id, its trace, the limit of its body, errors as problems, the log line, the metrics.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use poem::http::header::{self, HeaderName};
use poem::http::{HeaderValue, StatusCode};
use poem::{Body, Endpoint, IntoResponse as _, PathPattern, Request, Response, Result};
use shared::tally;
use shared::trace::Trace;
use tracing::{Instrument as _, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use uuid::Uuid;

use crate::auth::Authenticated;
use crate::idempotency::{key_of, under_key};
use crate::prefer::WAIT_MAX;
use crate::problem::{Problem, response_of};
use crate::rate_limit::{Class, Standing, Verdict};
use crate::state::State;

/// The longest that a request may take: one that waits, and some more.
const ANSWER_MAX: Duration = WAIT_MAX.saturating_add(Duration::from_secs(15));
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request at work.
#[must_use]
pub fn request_id() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

pub(crate) struct Envelope<E> {
    inner: E,
    state: Arc<State>,
}

impl<E> Envelope<E> {
    pub(crate) fn new(inner: E, state: Arc<State>) -> Self {
        Self { inner, state }
    }
}

impl<E: Endpoint> Endpoint for Envelope<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let started = Instant::now();
        let method = request.method().clone();
        let is_api = request.uri().path().starts_with("/api/");
        let id = request
            .headers()
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()))
            .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
        let trace = request.headers().get("traceparent").and_then(|value| Trace::parse(value.to_str().ok()?));
        let span = tracing::info_span!(
            "request",
            request.id = id,
            trace.id = field::Empty,
            payment.id = field::Empty,
            payment.trace = field::Empty
        );
        let trace = Trace::of(&span, trace);
        let answer = trace.scope(tally::scope(CURRENT.scope(id.clone(), self.answer(request))));
        let (mut response, route) = answer.instrument(span.clone()).await;
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        secure(&mut response, is_api);
        if self.state.draining.load(Ordering::Relaxed) {
            // Whoever keeps connections, as load balancers do, must make the next one to another process.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let status = response.status();
        self.state.metrics.request(method.as_str(), &route, status.as_u16(), started.elapsed());
        let elapsed = started.elapsed();
        span.set_attribute("http.request.method", method.to_string());
        span.set_attribute("http.route", route.clone());
        span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
        span.in_scope(|| tracing::debug!(%method, route, status = status.as_u16(), ?elapsed, "answered"));
        Ok(response)
    }
}

/// What keeps browsers and caches from doing more with an answer than they should.
fn secure(response: &mut Response, is_api: bool) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if is_api {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-store"));
        let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
    }
}

impl<E: Endpoint> Envelope<E> {
    /// The answer, and the template of the route that gave it.
    async fn answer(&self, mut request: Request) -> (Response, String) {
        let webhook = request.uri().path().starts_with("/api/webhooks/");
        let bytes_max = if webhook { self.state.webhook_body_bytes_max } else { self.state.body_bytes_max };
        if let Err(problem) = limit_body(&mut request, bytes_max).await {
            return (problem.into_response(), "too_large".to_owned());
        }
        let standing = match self.admit(&mut request).await {
            Ok(standing) => standing,
            Err(response) => return (*response, "limited".to_owned()),
        };
        let key = match key_of(request.method(), request.uri().path(), request.headers()) {
            Ok(key) => key,
            Err(problem) => return (problem.into_response(), "unmatched".to_owned()),
        };
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let body = match &key {
            Some(_) => match whole_body(&mut request, bytes_max).await {
                Ok(body) => body,
                Err(problem) => return (problem.into_response(), "too_large".to_owned()),
            },
            None => Vec::new(),
        };
        // Boxed: what is around it would move all of it, on the stack, at each step.
        let inner = Box::pin(async { self.inner.call(request).await.map(poem::IntoResponse::into_response) });
        let answer = under_key(key.map(|key| (key, method, path, body.as_slice())), inner);
        let result = match tokio::time::timeout(ANSWER_MAX, answer).await {
            Ok(result) => result,
            Err(_) => {
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "it took too long; try again").into())
            }
        };
        let pattern = match &result {
            Ok(_) => None,
            Err(error) => error.data::<PathPattern>().map(|pattern| pattern.0.to_string()),
        };
        let mut response = match result {
            Ok(response) => response,
            Err(error) => response_of(error),
        };
        if let Some(standing) = standing {
            standing.write(&mut response);
        }
        let pattern = pattern.or_else(|| response.data::<PathPattern>().map(|pattern| pattern.0.to_string()));
        (response, pattern.unwrap_or_else(|| "unmatched".to_owned()))
    }
}

impl<E> Envelope<E> {
    /// Who asks, and whether that is too often. Webhooks and what is no operation for users is not limited.
    async fn admit(&self, request: &mut Request) -> Result<Option<Standing>, Box<Response>> {
        let path = request.uri().path();
        if !path.starts_with("/api/") || path.starts_with("/api/webhooks/") {
            return Ok(None);
        }
        let authenticated = Authenticated::of(&self.state, request).await;
        let (class, asker) = match &authenticated {
            Some(Authenticated(Ok(claims))) => (Class::of(request.method()), format!("user:{}", claims.id)),
            Some(Authenticated(Err(_))) | None => {
                let address = client_address(request, &self.state.trusted_proxies);
                (Class::Anonymous, address.map_or_else(|| "address:unknown".to_owned(), |ip| format!("address:{ip}")))
            }
        };
        if let Some(authenticated) = authenticated {
            request.set_data(authenticated);
        }
        let (verdict, away) = self.state.rate_limiter.ask(class, &asker).await;
        if away {
            self.state.metrics.rate_limiter("unavailable");
        }
        match verdict {
            Verdict::Unknown => Ok(None),
            Verdict::Allowed(standing) => {
                self.state.metrics.rate_limiter("allowed");
                Ok(Some(standing))
            }
            Verdict::Refused(standing) => {
                self.state.metrics.rate_limiter("refused");
                Err(Box::new(standing.problem()))
            }
        }
    }
}

/// The client's address: the peer's, or what proxies that we trust say before it. The last address in the list that is
/// no trusted proxy's own was written by one that is.
fn client_address(request: &Request, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = request.remote_addr().as_socket_addr().map(|peer| peer.ip().to_canonical())?;
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let forwarded: Vec<&str> =
        request.headers().get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let forwarded = forwarded.join(",");
    let mut addresses = forwarded.rsplit(',').map_while(|text| text.trim().parse::<IpAddr>().ok());
    Some(addresses.find(|address| !is_trusted(address)).unwrap_or(peer))
}

/// The body, which stays where it was.
async fn whole_body(request: &mut Request, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let body = request.take_body().into_bytes_limit(bytes_max).await;
    let body = body.map_err(|_| Problem::body_too_large(bytes_max))?.to_vec();
    request.set_body(Body::from(body.clone()));
    Ok(body)
}

/// Reads the body, if it is not too long. (poem's own limit refuses every request without a `Content-Length`.)
async fn limit_body(request: &mut Request, bytes_max: usize) -> Result<(), Problem> {
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > bytes_max) {
        return Err(Problem::body_too_large(bytes_max));
    }
    if declared.is_none() && request.headers().contains_key(header::TRANSFER_ENCODING) {
        let body = request.take_body().into_bytes_limit(bytes_max).await;
        request.set_body(Body::from(body.map_err(|_| Problem::body_too_large(bytes_max))?));
    }
    Ok(())
}
