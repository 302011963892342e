//! What every call to Swish goes through: the log, faults, the content type, the form of the instruction UUID.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{Addr, Endpoint, Request, Response, Result};

use super::callbacks::{PAYMENTS, REFUNDS};
use super::codes::{self, ApiError};
use super::world::{Inner, SwishRequest, SwishWorld};
use super::{listener, payments, refunds};
use crate::faults::{Mode, Operations, cut_connection, gateway, nonsense};

/// What faults can be set on: the operations, and what callbacks are about.
pub(super) const OPERATIONS: Operations = Operations {
    names: &["payments.create", "payments.retrieve", "payments.cancel", "refunds.create", "refunds.retrieve"],
    tells: |mode, name| mode != Mode::WebhookTwin && ["*", PAYMENTS, REFUNDS].contains(&name),
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    CreatePayment,
    RetrievePayment,
    CancelPayment,
    CreateRefund,
    RetrieveRefund,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::CreatePayment => "payments.create",
            Self::RetrievePayment => "payments.retrieve",
            Self::CancelPayment => "payments.cancel",
            Self::CreateRefund => "refunds.create",
            Self::RetrieveRefund => "refunds.retrieve",
        }
    }

    fn takes(self) -> Option<&'static str> {
        match self {
            Self::CreatePayment | Self::CreateRefund => Some("application/json"),
            Self::CancelPayment => Some("application/json-patch+json"),
            Self::RetrievePayment | Self::RetrieveRefund => None,
        }
    }

    fn carry_out(self, inner: &mut Inner, call: &Call) -> Answer {
        if let Some(takes) = self.takes() {
            let given = call.content_type.as_deref().and_then(|given| given.split(';').next()).map(str::trim);
            if given != Some(takes) {
                return Answer::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            }
        }
        let creates = matches!(self, Self::CreatePayment | Self::CreateRefund);
        if !is_instruction(&call.id) {
            let why = "the instructionUUID is not 32 upper-case hexadecimal digits".to_owned();
            return if creates { Answer::malformed(why) } else { Answer::errors(&[ApiError::new("RP04")]) };
        }
        match self {
            Self::CreatePayment => payments::create(inner, call),
            Self::RetrievePayment => payments::retrieve(inner, call),
            Self::CancelPayment => payments::cancel(inner, call),
            Self::CreateRefund => refunds::create(inner, call),
            Self::RetrieveRefund => refunds::retrieve(inner, call),
        }
    }
}

fn is_instruction(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
}

/// What an operation works on.
pub(super) struct Call {
    /// The CN of the client's certificate.
    pub(super) common_name: String,
    /// The instruction UUID of the path.
    pub(super) id: String,
    content_type: Option<String>,
    pub(super) body: Vec<u8>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    body: Option<(&'static str, String)>,
}

impl Answer {
    fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }

    pub(super) fn created(location: String) -> Self {
        Self { status: StatusCode::CREATED, headers: vec![("Location", location)], body: None }
    }

    pub(super) fn object(json: String) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), body: Some(("application/json", json)) }
    }

    /// With the status of the first one.
    pub(super) fn errors(errors: &[ApiError]) -> Self {
        let status = errors.first().map_or(StatusCode::UNPROCESSABLE_ENTITY, ApiError::status);
        Self { status, headers: Vec::new(), body: Some(("application/json", codes::body(errors))) }
    }

    /// 400, and in plain words why.
    pub(super) fn malformed(why: String) -> Self {
        tracing::info!(why, "refused");
        Self { status: StatusCode::BAD_REQUEST, headers: Vec::new(), body: Some(("text/plain", why)) }
    }

    fn respond(self) -> Response {
        let mut builder = Response::builder().status(self.status);
        for (name, value) in self.headers {
            builder = builder.header(name, value);
        }
        match self.body {
            Some((content_type, body)) => builder.content_type(content_type).body(body),
            None => builder.finish(),
        }
    }
}

/// An answer without a body.
fn bare(status: u16) -> Response {
    Answer::empty(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)).respond()
}

/// An operation behind the gate.
pub(super) struct Gate(pub(super) Operation);

impl Endpoint for Gate {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let world = request
            .data::<Arc<SwishWorld>>()
            .cloned()
            .ok_or_else(|| poem::Error::from_status(StatusCode::INTERNAL_SERVER_ERROR))?;
        let name = self.0.name();
        let call = Call {
            common_name: match &request.remote_addr().0 {
                Addr::Custom(listener::SCHEME, name) => name.to_string(),
                _ => return Err(poem::Error::from_status(StatusCode::UNAUTHORIZED)),
            },
            id: request.raw_path_param("id").unwrap_or_default().to_owned(),
            content_type: request.header("content-type").map(str::to_owned),
            body: request.take_body().into_bytes_limit(1 << 16).await?.to_vec(),
        };
        let (mut fault, within_rate) = {
            let mut inner = world.lock();
            inner.log(SwishRequest {
                operation: name.to_owned(),
                method: request.method().to_string(),
                path: request.original_uri().path().to_owned(),
                common_name: call.common_name.clone(),
            });
            (inner.faults.take(name, false), inner.within_rate(name))
        };
        if let Some(Mode::Delay(delay)) = fault {
            tokio::time::sleep(delay).await;
            fault = None;
        }
        match fault {
            Some(Mode::DropBefore) => cut_connection(),
            Some(Mode::ErrorBefore(status)) => return Ok(bare(status)),
            Some(Mode::Gateway(status)) => return Ok(gateway(status)),
            Some(Mode::RateLimit) => return Ok(bare(429)),
            Some(Mode::Garbage) => return Ok(nonsense()),
            _ if !within_rate => return Ok(bare(429)),
            _ => {}
        }
        let answer = world.act(|inner| self.0.carry_out(inner, &call));
        match fault {
            Some(Mode::DropAfter) => cut_connection(),
            Some(Mode::ErrorAfter(status)) => Ok(bare(status)),
            Some(Mode::GarbageAfter) => Ok(nonsense()),
            _ => Ok(answer.respond()),
        }
    }
}
