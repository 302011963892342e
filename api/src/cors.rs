//! Which web pages may use the API from a browser.

use std::collections::HashSet;
use std::sync::Arc;

use poem::http::{HeaderValue, Method, header};
use poem::{Endpoint, Middleware as _, Request, Response, Result};

use crate::problem::response_of;

/// How long a browser may remember what it was allowed, in seconds.
const REMEMBERED: i32 = 24 * 3_600;
/// What a page may read besides the body.
const EXPOSED: [&str; 9] = [
    "etag",
    "idempotent-replayed",
    "location",
    "preference-applied",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "x-request-id",
    "allow",
];

/// With no origins, no page of another origin may; then nothing is added.
pub(crate) fn allow<E>(inner: E, origins: &[String]) -> impl Endpoint<Output = Response> + 'static
where
    E: Endpoint<Output = Response> + 'static,
{
    let cors = poem::middleware::Cors::new()
        .allow_origins(origins)
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS])
        .allow_headers([
            header::AUTHORIZATION.as_str(),
            header::CONTENT_TYPE.as_str(),
            header::IF_MATCH.as_str(),
            header::IF_NONE_MATCH.as_str(),
            "idempotency-key",
            "last-event-id",
            "on-behalf-of",
            "prefer",
            "traceparent",
            "x-request-id",
        ])
        .expose_headers(EXPOSED)
        .max_age(REMEMBERED);
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    let plain = Arc::new(inner);
    Gate { origins, open: cors.transform(plain.clone()), plain }
}

/// A page of an origin that is not allowed gets its answer without a word about CORS: the browser keeps it from the page.
/// (poem would refuse the request, also one that no browser sent; and with no origins it would allow all.)
struct Gate<O, P> {
    origins: HashSet<HeaderValue>,
    open: O,
    plain: P,
}

impl<O, P> Endpoint for Gate<O, P>
where
    O: Endpoint<Output = Response>,
    P: Endpoint<Output = Response>,
{
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let allowed = request.headers().get(header::ORIGIN).is_some_and(|origin| self.origins.contains(origin));
        if !allowed {
            return self.plain.call(request).await;
        }
        match self.open.call(request).await {
            Ok(response) => Ok(response),
            // A preflight for what is not allowed.
            Err(error) => Ok(response_of(error)),
        }
    }
}
