//! How writes answer that a worker finishes: at once, or once it has.

use std::time::Duration;

use poem_openapi::ApiResponse;
use poem_openapi::payload::Json;
use poem_openapi::types::ToJSON;

/// Of something new.
#[derive(ApiResponse)]
pub enum Created<T: ToJSON + Send> {
    /// The provider has answered: see `status`. (Under `Prefer: wait`.)
    #[oai(status = 201)]
    Done(
        Json<T>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
        /// The preference that was honoured.
        #[oai(header = "Preference-Applied")]
        String,
    ),
    /// It is stored and will be carried out.
    #[oai(status = 202)]
    Accepted(
        Json<T>,
        /// Where it is.
        #[oai(header = "Location")]
        String,
    ),
}

/// Of something that is there already.
#[derive(ApiResponse)]
pub enum Changed<T: ToJSON + Send> {
    /// The provider has answered: see how it went. (Under `Prefer: wait`.)
    #[oai(status = 200)]
    Done(
        Json<T>,
        /// The preference that was honoured.
        #[oai(header = "Preference-Applied")]
        String,
    ),
    /// It is stored and will be carried out: `last_operation` says how far it is.
    #[oai(status = 202)]
    Accepted(Json<T>),
}

/// The preference as it was honoured.
#[must_use]
pub fn applied(wait: Duration) -> String {
    format!("wait={}", wait.as_secs())
}
