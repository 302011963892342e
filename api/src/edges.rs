//! Looks each request over before its operation does: the method, the parameters of the query, a body that nobody asked
//! for. What the document does not have is refused: a misspelt filter would show everything.

use std::collections::HashSet;
use std::sync::Arc;

use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Body, Endpoint, FromRequest as _, IntoResponse as _, PathPattern, Request, Response, Result};
use poem_openapi::error::{ParseParamError, ParsePathError};
use serde_json::Value;

use crate::body::read;
use crate::json::escape;
use crate::operations::{Operation, Operations, Path};
use crate::problem::{FieldError, Problem};

pub(crate) struct Edges<E> {
    inner: E,
    operations: Arc<Operations>,
}

impl<E> Edges<E> {
    pub(crate) fn new(inner: E, operations: Operations) -> Self {
        Self { inner, operations: Arc::new(operations) }
    }
}

impl<E: Endpoint> Endpoint for Edges<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let path = self.operations.find(request.uri().path());
        let answer = match path {
            Some(path) => self.answer(request, path).await,
            None if request.uri().path() == "/" && *request.method() == Method::GET => Ok(to_the_manual()),
            None => self.inner.call(request).await.map(poem::IntoResponse::into_response),
        };
        let Some(path) = path else { return answer };
        // What metrics and logs call it by.
        let pattern = PathPattern(path.template.as_str().into());
        match answer {
            Ok(mut response) => {
                response.set_data(pattern);
                Ok(response)
            }
            Err(mut error) => {
                error.set_data(pattern);
                Err(error)
            }
        }
    }
}

impl<E: Endpoint> Edges<E> {
    async fn answer(&self, mut request: Request, path: &Path) -> Result<Response> {
        let Some(operation) = path.operation(request.method()) else { return Ok(other_method(&request, path)) };
        let (api, webhook) = (path.template.starts_with("/api/"), path.template.starts_with("/api/webhooks/"));
        // A probe, or a provider, may add what it likes.
        if api && !webhook {
            check_query(request.uri().query().unwrap_or_default(), operation)?;
            if !operation.takes_body && !request.method().is_safe() {
                refuse_body(&mut request).await?;
            }
        }
        let head = *request.method() == Method::HEAD;
        if head {
            request.set_method(Method::GET);
        }
        let answer = self.inner.call(request).await;
        let response = answer.map_err(|error| in_our_words(error, operation))?.into_response();
        if head { without_body(response).await } else { Ok(response) }
    }
}

fn to_the_manual() -> Response {
    Response::builder().status(StatusCode::FOUND).header(header::LOCATION, "/docs").finish()
}

/// `OPTIONS`, or a method that the path does not take.
fn other_method(request: &Request, path: &Path) -> Response {
    let mut response = if *request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let detail = format!("this path takes {}", path.allow());
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).into_response()
    };
    if let Ok(allow) = HeaderValue::from_str(&path.allow()) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// Each parameter must be one of the operation's, and be there once.
fn check_query(query: &str, operation: &Operation) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    for (name, _) in url::form_urlencoded::parse(query.as_bytes()) {
        let of_metadata = operation.filters_metadata && name.starts_with("metadata");
        if !of_metadata && !operation.query().any(|parameter| parameter.name == name) {
            let mut names: Vec<&str> = operation.query().map(|parameter| parameter.name.as_str()).collect();
            if operation.filters_metadata {
                names.push("metadata[key]");
            }
            let detail = if names.is_empty() {
                "there is no such parameter; there are none here".to_owned()
            } else {
                format!("there is no such parameter; there are {}", names.join(", "))
            };
            return Err(Problem::invalid_parameter(&name, &detail));
        }
        if !seen.insert(name.clone()) {
            return Err(Problem::invalid_parameter(&name, "is given twice"));
        }
    }
    Ok(())
}

/// Where no body is asked for, there may be none, or an empty object.
async fn refuse_body(request: &mut Request) -> Result<()> {
    let mut body = poem::RequestBody::new(request.take_body());
    let bytes = Vec::<u8>::from_request(request, &mut body).await?;
    if bytes.is_empty() {
        return Ok(());
    }
    let given = read(&bytes)?;
    request.set_body(Body::from(bytes));
    let fault = |pointer: String, detail: &str| FieldError { pointer, detail: detail.to_owned() };
    let faults: Vec<FieldError> = match &given {
        Value::Object(fields) => {
            let detail = "there is no such field; there are none here";
            fields.keys().map(|name| fault(format!("/{}", escape(name)), detail)).collect()
        }
        _ => vec![fault(String::new(), "must be an object")],
    };
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults).into()) }
}

/// The framework's own words are about Rust.
fn in_our_words(error: poem::Error, operation: &Operation) -> poem::Error {
    let (parameter, reason) = if let Some(error) = error.downcast_ref::<ParseParamError>() {
        (operation.parameter(error.name), &error.reason)
    } else if let Some(error) = error.downcast_ref::<ParsePathError>() {
        (operation.in_path(), &error.reason)
    } else {
        return error;
    };
    match parameter {
        Some(parameter) => Problem::invalid_parameter(&parameter.name, parameter.wrong(reason)).into(),
        None => error,
    }
}

/// The answer to `HEAD`: with the length of what `GET` gives. A stream has none, and is not begun.
async fn without_body(mut response: Response) -> Result<Response> {
    let stream = response.content_type().is_some_and(|content_type| content_type.starts_with("text/event-stream"));
    let body = response.take_body();
    if !stream && !body.is_empty() {
        let length = body.into_bytes().await.map_err(|error| Problem::internal(&error))?.len();
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}
