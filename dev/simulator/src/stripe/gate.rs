//! What every call to Stripe goes through: the log, faults, the key, idempotency, the headers of the answer.
//!
//! The order is Stripe's: what is refused before the operation began is not stored under the idempotency key; what
//! came after is, failures included.

use std::sync::Arc;

use poem::http::{Method, StatusCode};
use poem::{Endpoint, Request, Response, Result};
use serde_json::{Value, json};

use super::error::StripeError;
use super::form::Form;
use super::world::{Claim, RequestLog, World, random_id};
use crate::faults::Mode;

/// What an operation works on.
pub(crate) struct Call<'a> {
    pub(crate) world: &'a Arc<World>,
    /// The id in the path, if there is one.
    pub(crate) id: String,
    pub(crate) form: Form,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) request_id: String,
    /// With a publishable key only what a browser may do.
    pub(crate) publishable: bool,
}

type Handler = fn(&Call<'_>) -> std::result::Result<Value, StripeError>;

pub(crate) struct Operation {
    name: &'static str,
    handler: Handler,
}

impl Operation {
    pub(crate) fn new(name: &'static str, handler: Handler) -> Self {
        Self { name, handler }
    }
}

impl Endpoint for Operation {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let world = request
            .data::<Arc<World>>()
            .cloned()
            .ok_or_else(|| poem::Error::from_status(StatusCode::INTERNAL_SERVER_ERROR))?;
        let header = |name: &str| request.header(name).map(str::to_owned);
        let idempotency_key = header("idempotency-key").filter(|_| request.method() == Method::POST);
        let key = header("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
        let id = request.raw_path_param("id").unwrap_or_default().to_owned();
        let path = request.original_uri().path().to_owned();
        let method = request.method().clone();
        let form = if method == Method::GET {
            Form::parse(request.uri().query().unwrap_or_default().as_bytes())
        } else {
            Form::parse(&request.take_body().into_bytes_limit(1 << 20).await?)
        };
        let request_id = random_id("req");
        world.log(RequestLog {
            request_id: request_id.clone(),
            operation: self.name.to_owned(),
            method: method.to_string(),
            path: path.clone(),
            idempotency_key: idempotency_key.clone(),
        });
        let publishable = key.as_deref().is_some_and(|key| key.starts_with("pk_test_"));
        let call = Call { world: &world, id, form, idempotency_key, request_id, publishable };

        let mut fault = world.lock().faults.take(self.name, false);
        if let Some(Mode::Delay(delay)) = fault {
            tokio::time::sleep(delay).await;
            fault = None;
        }
        match fault {
            Some(Mode::DropBefore) => cut_connection(),
            Some(Mode::ErrorBefore(status)) => return Ok(answer(&call, &failure(status), false)),
            Some(Mode::RateLimit) => return Ok(rate_limited(&call)),
            _ => {}
        }
        if !publishable && !key.is_some_and(|key| key.starts_with("sk_test_")) {
            let message = "Invalid API Key provided";
            let error = StripeError::new(StatusCode::UNAUTHORIZED, "invalid_request_error", None, None, message);
            return Ok(answer(&call, &(error.status, error.body()), false));
        }
        let fingerprint = format!("{method} {path} {:?}", call.form);
        if let Some(response) = claim(&call, &fingerprint, fault) {
            return Ok(response);
        }
        let result = {
            let _serial = world.one_at_a_time();
            (self.handler)(&call)
        };
        let (mut outcome, stored) = match result {
            Ok(body) => ((StatusCode::OK, body), true),
            Err(error) => ((error.status, error.body()), error.stored),
        };
        if let Some(Mode::ErrorAfter(status)) = fault {
            outcome = failure(status);
        }
        if let Some(key) = &call.idempotency_key {
            world.settle(key, stored.then(|| outcome.clone()));
        }
        if fault == Some(Mode::DropAfter) {
            cut_connection();
        }
        Ok(answer(&call, &outcome, false))
    }
}

/// Claims the idempotency key, if there is one; or gives the answer that the key has for this request.
fn claim(call: &Call<'_>, fingerprint: &str, fault: Option<Mode>) -> Option<Response> {
    let error = match call.world.claim(call.idempotency_key.as_deref()?, fingerprint) {
        Claim::Mine => return None,
        Claim::Stored(..) if fault == Some(Mode::DropAfter) => cut_connection(),
        Claim::Stored(status, body) => return Some(answer(call, &(status, body), true)),
        Claim::InFlight => {
            let message = "There is currently another in-progress request using this Idempotency Key";
            let code = Some("idempotency_key_in_use");
            StripeError::new(StatusCode::CONFLICT, "idempotency_error", code, None, message)
        }
        Claim::OtherParameters => {
            let message =
                "Keys for idempotent requests can only be used with the same parameters they were first used with.";
            StripeError::new(StatusCode::BAD_REQUEST, "idempotency_error", None, None, message)
        }
    };
    Some(answer(call, &(error.status, error.body()), false))
}

/// Ends the connection without an answer: the server's task for it unwinds, and with it the socket closes.
fn cut_connection() -> ! {
    std::panic::resume_unwind(Box::new("the connection is cut, as a fault asked for"))
}

fn failure(status: u16) -> (StatusCode, Value) {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, json!({ "error": { "type": "api_error", "message": "Something went wrong on Stripe's end." } }))
}

fn rate_limited(call: &Call<'_>) -> Response {
    let message = "Request rate limit exceeded.";
    let error =
        StripeError::new(StatusCode::TOO_MANY_REQUESTS, "invalid_request_error", Some("rate_limit"), None, message);
    let mut response = answer(call, &(error.status, error.body()), false);
    response.headers_mut().insert("stripe-rate-limited-reason", poem::http::HeaderValue::from_static("endpoint-rate"));
    response
}

fn answer(call: &Call<'_>, (status, body): &(StatusCode, Value), replayed: bool) -> Response {
    let mut builder =
        Response::builder().status(*status).content_type("application/json").header("request-id", &call.request_id);
    if let Some(key) = &call.idempotency_key {
        builder = builder.header("idempotency-key", key);
    }
    if replayed {
        builder = builder.header("idempotent-replayed", "true");
        if status.is_server_error() {
            builder = builder.header("stripe-should-retry", "false");
        }
    }
    builder.body(body.to_string())
}

/// Whatever Stripe has and the simulator has not.
pub(crate) struct NotFound;

impl Endpoint for NotFound {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let message = format!("Unrecognized request URL ({}: {})", request.method(), request.original_uri().path());
        let error = StripeError::new(StatusCode::NOT_FOUND, "invalid_request_error", None, None, message);
        Ok(Response::builder().status(error.status).content_type("application/json").body(error.body().to_string()))
    }
}
