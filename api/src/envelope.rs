//! What every request goes through: its id, the limit of its body, errors as problems, the log line, the metrics.

use std::sync::Arc;
use std::time::Instant;

use poem::http::HeaderValue;
use poem::http::header::{self, HeaderName};
use poem::{Body, Endpoint, IntoResponse as _, PathPattern, Request, Response, Result};
use uuid::Uuid;

use crate::idempotency::{key_of, under_key};
use crate::problem::{Problem, response_of};
use crate::state::State;

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
        let id = request
            .headers()
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()))
            .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
        let (mut response, route) = CURRENT.scope(id.clone(), self.answer(request)).await;
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let status = response.status();
        self.state.metrics.request(method.as_str(), &route, status.as_u16(), started.elapsed());
        tracing::debug!(request.id = id, %method, route, status = status.as_u16(), elapsed = ?started.elapsed(), "request");
        Ok(response)
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
        let inner = async { self.inner.call(request).await.map(poem::IntoResponse::into_response) };
        let result = under_key(key.map(|key| (key, method, path, body.as_slice())), inner).await;
        let pattern = match &result {
            Ok(_) => None,
            Err(error) => error.data::<PathPattern>().map(|pattern| pattern.0.to_string()),
        };
        let response = match result {
            Ok(response) => response,
            Err(error) => response_of(error),
        };
        let pattern = pattern.or_else(|| response.data::<PathPattern>().map(|pattern| pattern.0.to_string()));
        (response, pattern.unwrap_or_else(|| "unmatched".to_owned()))
    }
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
