//! What every call to Stripe goes through: the log, faults, the key, the parameters, idempotency, expansion, the headers
//! of the answer.
//!
//! The order is Stripe's: what is refused before the operation began is not stored under the idempotency key; what
//! came after is, failures included.

use std::sync::Arc;

use poem::http::{HeaderValue, Method, StatusCode};
use poem::{Endpoint, Request, Response, Result};
use serde_json::{Value, json};

use super::error::StripeError;
use super::expand;
use super::form::Form;
use super::params::{self, Param};
use super::store::{Kind, shown};
use super::world::{Actor, Claim, RequestLog, World, random_id};
use crate::faults::{Mode, cut_connection, gateway, nonsense};

/// What an operation works on.
pub(crate) struct Call<'a> {
    pub(crate) world: &'a Arc<World>,
    operation: &'static Operation,
    /// The id in the path, if there is one.
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) form: Form,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) request_id: String,
    /// With a publishable key only what a browser may do.
    pub(crate) publishable: bool,
}

impl Call<'_> {
    pub(crate) fn actor(&self) -> Actor<'_> {
        Actor { world: self.world, request_id: Some(&self.request_id), key: self.idempotency_key.as_deref() }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.operation.gives {
            Gives::One(kind) | Gives::List(kind) => kind,
        }
    }

    /// The object that the path names.
    pub(crate) fn object(&self) -> std::result::Result<Value, StripeError> {
        self.world.get(self.kind(), &self.id).ok_or_else(|| StripeError::missing(self.kind(), &self.id))
    }

    /// The object that a parameter names, if it is given.
    pub(crate) fn named(&self, kind: Kind, param: &str) -> std::result::Result<Option<Value>, StripeError> {
        let Some(id) = self.form.get(param) else { return Ok(None) };
        let object = self.world.get(kind, id).filter(|object| object["deleted"] != true);
        object.map(Some).ok_or_else(|| StripeError::missing_param(kind, id, param))
    }
}

type Handler = fn(&Call<'_>) -> std::result::Result<Value, StripeError>;

/// What an operation answers with: then it is known what can be expanded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gives {
    One(Kind),
    List(Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Get,
    Post,
    Delete,
}

/// An operation of the API, with everything that is checked before it begins.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    verb: Verb,
    pub(crate) path: &'static str,
    takes: &'static [&'static [Param]],
    gives: Gives,
    browsers: bool,
    handler: Handler,
}

impl Operation {
    pub(crate) const fn get(
        name: &'static str,
        path: &'static str,
        takes: &'static [&'static [Param]],
        gives: Gives,
        handler: Handler,
    ) -> Self {
        Self { name, verb: Verb::Get, path, takes, gives, browsers: false, handler }
    }

    pub(crate) const fn post(
        name: &'static str,
        path: &'static str,
        takes: &'static [&'static [Param]],
        gives: Gives,
        handler: Handler,
    ) -> Self {
        Self { name, verb: Verb::Post, path, takes, gives, browsers: false, handler }
    }

    pub(crate) const fn delete(
        name: &'static str,
        path: &'static str,
        takes: &'static [&'static [Param]],
        gives: Gives,
        handler: Handler,
    ) -> Self {
        Self { name, verb: Verb::Delete, path, takes, gives, browsers: false, handler }
    }

    /// A publishable key is enough, with the client secret.
    pub(crate) const fn for_browsers(mut self) -> Self {
        self.browsers = true;
        self
    }

    pub(crate) fn method(&self) -> Method {
        match self.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Delete => Method::DELETE,
        }
    }

    /// Refuses what cannot begin.
    fn check(&self, call: &Call<'_>) -> std::result::Result<(), StripeError> {
        if call.publishable && !self.browsers {
            let message = "This API call cannot be made with a publishable API key.";
            let code = Some("secret_key_required");
            return Err(StripeError::new(StatusCode::UNAUTHORIZED, "invalid_request_error", code, None, message));
        }
        params::check(&call.form, self.takes)?;
        expand::check(self.gives, &call.form)
    }
}

/// An operation behind the gate.
pub(crate) struct Gate(pub(crate) &'static Operation);

impl Endpoint for Gate {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let world = request
            .data::<Arc<World>>()
            .cloned()
            .ok_or_else(|| poem::Error::from_status(StatusCode::INTERNAL_SERVER_ERROR))?;
        let authorization = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let secret = authorization.is_some_and(|key| key.starts_with("sk_test_"));
        let publishable = authorization.is_some_and(|key| key.starts_with("pk_test_"));
        let method = request.method().clone();
        let call = read(self.0, &world, request, publishable).await?;
        world.log(RequestLog {
            request_id: call.request_id.clone(),
            operation: self.0.name.to_owned(),
            method: method.to_string(),
            path: call.path.clone(),
            idempotency_key: call.idempotency_key.clone(),
        });
        let mut fault = world.lock().faults.take(self.0.name, false);
        if let Some(Mode::Delay(delay)) = fault {
            tokio::time::sleep(delay).await;
            fault = None;
        }
        match fault {
            Some(Mode::DropBefore) => cut_connection(),
            Some(Mode::ErrorBefore(status)) => return Ok(answer(&call, &failure(status), false)),
            Some(Mode::Gateway(status)) => return Ok(gateway(status)),
            Some(Mode::RateLimit) => return Ok(rate_limited(&call)),
            Some(Mode::Garbage) => return Ok(nonsense()),
            _ => {}
        }
        if !publishable && !secret {
            let message = "Invalid API Key provided";
            let error = StripeError::new(StatusCode::UNAUTHORIZED, "invalid_request_error", None, None, message);
            return Ok(answer(&call, &(error.status, error.body()), false));
        }
        if !world.within_rate(self.0.name) {
            return Ok(rate_limited(&call));
        }
        if let Err(error) = self.0.check(&call) {
            return Ok(answer(&call, &(error.status, error.body()), false));
        }
        let fingerprint = format!("{method} {} {:?}", call.path, call.form);
        if let Some(response) = claim(&call, &fingerprint, fault) {
            return Ok(response);
        }
        let outcome = carry_out(self.0, &call, fault);
        if fault == Some(Mode::DropAfter) {
            cut_connection();
        }
        if fault == Some(Mode::GarbageAfter) {
            return Ok(nonsense());
        }
        Ok(answer(&call, &outcome, false))
    }
}

async fn read<'a>(
    operation: &'static Operation,
    world: &'a Arc<World>,
    mut request: Request,
    publishable: bool,
) -> Result<Call<'a>> {
    let form = if request.method() == Method::GET {
        Form::parse(request.uri().query().unwrap_or_default().as_bytes())
    } else {
        let mut text = request.take_body().into_bytes_limit(1 << 20).await?.to_vec();
        // Some clients send what a DELETE takes in the query.
        if let Some(query) = request.uri().query().filter(|_| request.method() == Method::DELETE) {
            text.push(b'&');
            text.extend_from_slice(query.as_bytes());
        }
        Form::parse(&text)
    };
    let idempotency_key =
        request.header("idempotency-key").filter(|_| request.method() == Method::POST).map(str::to_owned);
    Ok(Call {
        world,
        operation,
        id: request.raw_path_param("id").unwrap_or_default().to_owned(),
        path: request.original_uri().path().to_owned(),
        form,
        idempotency_key,
        request_id: random_id("req"),
        publishable,
    })
}

/// Runs the operation and settles its key, with no other operation in between.
fn carry_out(operation: &Operation, call: &Call<'_>, fault: Option<Mode>) -> (StatusCode, Value) {
    let _serial = call.world.one_at_a_time();
    call.world.catch_up();
    let result = (operation.handler)(call);
    let (mut outcome, stored) = match result {
        Ok(mut body) => {
            expand::apply(call.world, operation.gives, &call.form, &mut body);
            ((StatusCode::OK, shown(body)), true)
        }
        Err(error) => ((error.status, error.body()), error.stored),
    };
    if let Some(Mode::ErrorAfter(status)) = fault {
        outcome = failure(status);
    }
    if let Some(key) = &call.idempotency_key {
        call.world.settle(key, stored.then(|| outcome.clone()));
    }
    outcome
}

/// Claims the idempotency key, if there is one; or gives the answer that the key has for this request.
fn claim(call: &Call<'_>, fingerprint: &str, fault: Option<Mode>) -> Option<Response> {
    let error = match call.world.claim(call.idempotency_key.as_deref()?, fingerprint) {
        Claim::Mine => return None,
        Claim::Stored(..) if fault == Some(Mode::DropAfter) => cut_connection(),
        Claim::Stored(..) if fault == Some(Mode::GarbageAfter) => return Some(nonsense()),
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

fn failure(status: u16) -> (StatusCode, Value) {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, json!({ "error": { "type": "api_error", "message": "Something went wrong on Stripe's end." } }))
}

fn rate_limited(call: &Call<'_>) -> Response {
    let message = "Request rate limit exceeded.";
    let error =
        StripeError::new(StatusCode::TOO_MANY_REQUESTS, "invalid_request_error", Some("rate_limit"), None, message);
    let mut response = answer(call, &(error.status, error.body()), false);
    response.headers_mut().insert("stripe-rate-limited-reason", HeaderValue::from_static("endpoint-rate"));
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
