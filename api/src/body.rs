//! Request bodies: JSON that names what is wrong with it, and raw bytes.

use poem::http::{StatusCode, header};
use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::json;
pub use crate::json::escape;
use crate::problem::{FieldError, Problem};
use crate::shape::Shape;

/// A JSON body, read by serde so that the field at fault is known. The schema in the document is `T`'s own.
pub struct JsonBody<T>(pub T);

impl<T: Type> Payload for JsonBody<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// Where nothing in it must be given, it may be left out.
impl<T: Type + DeserializeOwned + 'static> ParsePayload for JsonBody<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = <Vec<u8> as FromRequest>::from_request(request, body).await?;
        let shape = Shape::of::<T>();
        if bytes.is_empty() && !shape.needs_something() {
            return Ok(Self(parse(&shape, b"{}")?));
        }
        if bytes.is_empty() && request.content_type().is_none() {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "missing_body", "the request needs a JSON body").into());
        }
        let packed = request.header(header::CONTENT_ENCODING).filter(|how| !how.eq_ignore_ascii_case("identity"));
        if let Some(how) = packed {
            let detail = format!("the body must be sent as it is, not in {how}");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail).into());
        }
        if !is_json(request) {
            let detail = "the body must be sent with Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail).into());
        }
        Ok(Self(parse(&shape, &bytes)?))
    }
}

fn is_json(request: &Request) -> bool {
    request
        .content_type()
        .and_then(|content_type| content_type.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

fn parse<T: DeserializeOwned>(shape: &Shape, bytes: &[u8]) -> Result<T, Problem> {
    let body = read(bytes)?;
    let faults = shape.faults(&body);
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    serde_path_to_error::deserialize(&body).map_err(|error| {
        // serde's own words are about Rust: what the schema asks for is said instead.
        tracing::debug!(error = %error.inner(), "a body was refused");
        let keys = keys(error.path());
        let pointer: String = keys.iter().map(|key| format!("/{}", escape(key))).collect();
        Problem::invalid_field(&pointer, shape.wrong_at(&body, &keys))
    })
}

/// A body's JSON, in which nothing is given twice.
///
/// # Errors
/// It is no JSON, or something is.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, Problem> {
    if bytes.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "missing_body", "the request needs a JSON body"));
    }
    let (body, twice) = json::read(bytes).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body is no JSON: {error}"))
    })?;
    if twice.is_empty() {
        return Ok(body);
    }
    let faults = twice.into_iter().map(|pointer| FieldError { pointer, detail: "is given twice".to_owned() });
    Err(Problem::invalid(faults.collect()))
}

fn keys(path: &serde_path_to_error::Path) -> Vec<String> {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        })
        .collect()
}

/// The raw bytes of a JSON body, whatever they are: signatures are over bytes.
pub struct RawJson(pub Vec<u8>);

impl Payload for RawJson {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        <serde_json::Value as Type>::schema_ref()
    }

    fn register(registry: &mut Registry) {
        <serde_json::Value as Type>::register(registry);
    }
}

impl ParsePayload for RawJson {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        <Vec<u8> as FromRequest>::from_request(request, body).await.map(Self)
    }
}

fn request_meta<P: Payload>(required: bool) -> MetaRequest {
    MetaRequest {
        description: None,
        content: vec![MetaMediaType { content_type: P::CONTENT_TYPE, schema: P::schema_ref() }],
        required,
    }
}

impl<'a, T: Type + DeserializeOwned + Send + 'static> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta::<Self>(Shape::of::<T>().needs_something()))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        <Self as ParsePayload>::from_request(request, body).await
    }
}

impl<'a> ApiExtractor<'a> for RawJson {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta::<Self>(true))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        <Self as ParsePayload>::from_request(request, body).await
    }
}
