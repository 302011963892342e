//! Versions of things as clients name them (RFC 9110): an `ETag` with what is read, `If-None-Match` to be told only of another
//! version, `If-Match` to overwrite none but the version that was read.

use std::fmt::Display;

use poem::http::StatusCode;
use poem_openapi::ApiResponse;
use poem_openapi::payload::Json;
use poem_openapi::types::ToJSON;

use crate::problem::Problem;

/// Something that clients may overwrite.
#[derive(ApiResponse)]
pub enum Versioned<T: ToJSON + Send> {
    /// As it is now.
    #[oai(status = 200)]
    Found(
        Json<T>,
        /// Names this version of it.
        #[oai(header = "ETag")]
        String,
    ),
}

pub(crate) fn tag(version: impl Display) -> String {
    format!("\"{version}\"")
}

/// Whether one of the tags of an `If-None-Match` is this one. Weak ones are compared as strong ones.
pub(crate) fn names(known: &str, tag: &str) -> bool {
    known.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// Whether what is to be overwritten is what the client has read, if it says what it has read.
pub(crate) fn check(if_match: Option<&str>, tag: &str) -> Result<(), Problem> {
    // Weak tags match nothing here.
    if if_match.is_none_or(|known| known.split(',').map(str::trim).any(|known| known == "*" || known == tag)) {
        return Ok(());
    }
    let detail = "it is another version than `If-Match` names: read it again";
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail))
}
