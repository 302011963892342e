//! Long answers are compressed for those who take gzip.
//!
//! Not a stream of events, which would be held back, and not what has an `ETag`: that names the bytes that are sent.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use poem::http::{HeaderMap, HeaderValue, header};
use poem::{Body, Endpoint, Request, Response, Result};

/// Less is not worth it: it fits in one packet.
const LENGTH_MIN: usize = 1_024;
const TEXTS: [&str; 4] = ["application/json", "application/problem+json", "text/html", "image/svg+xml"];

pub(crate) struct Compressed<E>(pub(crate) E);

impl<E: Endpoint<Output = Response>> Endpoint for Compressed<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let wanted = takes_gzip(request.headers());
        Ok(compress(self.0.call(request).await?, wanted).await)
    }
}

/// Whether `Accept-Encoding` takes gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(',')).map(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(1.0, |weight| weight.parse().unwrap_or(0.0_f32));
        (name.trim().to_ascii_lowercase(), weight > 0.0)
    });
    codings.any(|(name, wanted)| wanted && (name == "gzip" || name == "x-gzip"))
}

/// `None`: there is no memory for it.
pub(crate) fn gzip(text: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}

async fn compress(mut response: Response, takes_gzip: bool) -> Response {
    let is_text = response.content_type().is_some_and(|of| TEXTS.iter().any(|text| of.starts_with(text)));
    let as_it_is = [header::CONTENT_ENCODING, header::ETAG].iter().any(|name| response.headers().contains_key(name));
    if !is_text || as_it_is {
        return response;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    let Ok(body) = response.take_body().into_bytes().await else { return response };
    if body.len() < LENGTH_MIN {
        response.set_body(body);
        return response;
    }
    match takes_gzip.then(|| gzip(&body)).flatten() {
        Some(short) => {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response.set_body(Body::from(short));
        }
        None => response.set_body(body),
    }
    response
}
