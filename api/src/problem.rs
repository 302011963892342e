//! Errors as the client sees them: RFC 9457 problem details, for ours and for those of the framework.

use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::{StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::error::{AuthorizationError, ContentTypeError, ParseParamError, ParsePathError};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::ToJSON as _;
use poem_openapi::{ApiResponse, Object};
use sea_orm::DbErr;
use shared::domain::operation::NotPossible;

/// What went wrong (RFC 9457).
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none)]
pub struct Problem {
    /// Names the kind of problem and leads to what is said of it: `/errors#` and the code.
    pub r#type: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What a program branches on. Stable.
    pub code: String,
    /// What a person reads. May change.
    pub detail: String,
    /// The id of the request, as it stands in our logs.
    pub request_id: Option<String>,
    /// What is wrong with the body, field by field.
    #[oai(skip_serializing_if_is_empty)]
    pub errors: Vec<FieldError>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Object)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body. Empty: the body as a whole.
    pub pointer: String,
    pub detail: String,
}

impl Problem {
    #[must_use]
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("/errors#{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: detail.into(),
            request_id: crate::envelope::request_id(),
            errors: Vec::new(),
        }
    }

    /// Nothing of the kind that this user may see.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        let name = what.replace('_', " ");
        Self::new(StatusCode::NOT_FOUND, &format!("{what}_not_found"), format!("there is no such {name}"))
    }

    /// A body that can be read but not accepted.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let mut problem =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", "the body has fields that cannot be accepted");
        problem.errors = errors;
        problem
    }

    /// One field that cannot be accepted.
    #[must_use]
    pub fn invalid_field(pointer: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.to_owned(), detail: detail.into() }])
    }

    /// What is asked for is right, and more than the provider can do.
    #[must_use]
    pub fn not_supported(errors: Vec<FieldError>) -> Self {
        let detail = "the provider cannot do this";
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "not_supported_by_provider", detail) }
    }

    /// An amount that is more than there is.
    #[must_use]
    pub fn exceeds(code: &str, detail: String) -> Self {
        let errors = vec![FieldError { pointer: "/amount".to_owned(), detail: detail.clone() }];
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail) }
    }

    /// Something is not in a state for what is asked of it.
    #[must_use]
    pub fn invalid_status(what: &str, status: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "invalid_status", format!("the {what} is {status}"))
    }

    /// An operation on `what` that is not even tried.
    #[must_use]
    pub fn not_possible(what: &str, reason: NotPossible) -> Self {
        match reason {
            NotPossible::InProgress => {
                let detail = format!("another operation on the {what} is still pending: see its last_operation");
                Self::new(StatusCode::CONFLICT, "operation_in_progress", detail)
            }
            NotPossible::Status(status) => Self::invalid_status(what, status),
            NotPossible::Field(pointer, detail) => Self::invalid_field(pointer, detail),
            NotPossible::ExceedsHeld(_) => Self::exceeds("capture_exceeds_held", reason.to_string()),
        }
    }

    /// A parameter of the path, the query or a header.
    #[must_use]
    pub fn invalid_parameter(name: &str, reason: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", format!("{name}: {reason}"))
    }

    #[must_use]
    pub fn body_too_large(bytes_max: usize) -> Self {
        let detail = format!("the body may have {bytes_max} bytes at most");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    /// Our own fault. The client gets no text of it.
    #[must_use]
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = shared::providers::chain(error), "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the fault is ours")
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// A failed query: the database is away (try again), or we are at fault. Either way the client gets no text of it.
impl From<&DbErr> for Problem {
    fn from(error: &DbErr) -> Self {
        let away = matches!(error, DbErr::Conn(_) | DbErr::ConnectionAcquire(_) | DbErr::Exec(_) | DbErr::Query(_))
            && error.sql_err().is_none();
        let error = shared::providers::chain(error);
        if away {
            tracing::warn!(error, "the database did not serve the request");
            Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the service cannot store anything now; try again",
            )
        } else {
            tracing::error!(error, "the database refused");
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the fault is ours")
        }
    }
}

impl From<DbErr> for Problem {
    fn from(error: DbErr) -> Self {
        (&error).into()
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        Self::from_response(problem.into_response())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response =
            Response::builder().status(status).content_type(Self::CONTENT_TYPE).body(self.to_json_string());
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

impl Payload for Problem {
    const CONTENT_TYPE: &'static str = "application/problem+json";

    fn schema_ref() -> MetaSchemaRef {
        <Self as poem_openapi::types::Type>::schema_ref()
    }

    fn register(registry: &mut Registry) {
        <Self as poem_openapi::types::Type>::register(registry);
    }
}

impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "An error: see `code`.",
                status: None,
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: Self::CONTENT_TYPE,
                    schema: <Self as poem_openapi::types::Type>::schema_ref(),
                }],
                headers: vec![],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        <Self as poem_openapi::types::Type>::register(registry);
    }
}

/// An error that reached the root, as a response: ours passes through, the framework's becomes a problem.
pub(crate) fn response_of(error: poem::Error) -> Response {
    if error.is_from_response() {
        return error.into_response();
    }
    let status = error.status();
    let problem = if let Some(error) = error.downcast_ref::<ParseParamError>() {
        Problem::invalid_parameter(error.name, "cannot be accepted")
    } else if error.is::<ParsePathError>() {
        Problem::invalid_parameter("the path", "cannot be accepted")
    } else if let Some(error) = error.downcast_ref::<ContentTypeError>() {
        Problem::new(status, "unsupported_media_type", error.to_string())
    } else if error.is::<AuthorizationError>() {
        let detail = "the Authorization header must hold a bearer token";
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    } else if error.is::<NotFoundError>() {
        Problem::new(StatusCode::NOT_FOUND, "route_not_found", "there is nothing at this path")
    } else if error.is::<MethodNotAllowedError>() {
        // Of a page: `edges` answers for what the document has.
        let problem = Problem::new(status, "method_not_allowed", "this path takes GET, HEAD");
        return problem.into_response().with_header(header::ALLOW, "GET, HEAD").into_response();
    } else if status.is_server_error() {
        tracing::error!(%error, "a request failed");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the fault is ours")
    } else {
        Problem::new(status, "bad_request", error.to_string())
    };
    problem.into_response()
}

/// A handler that panicked.
#[derive(Clone)]
pub(crate) struct PanicProblem;

impl poem::middleware::PanicHandler for PanicProblem {
    type Response = Response;

    fn get_response(&self, panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
        let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(panic = text, "a handler panicked");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the fault is ours").into_response()
    }
}
