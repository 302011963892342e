//! How writes answer that a worker finishes: at once, or once it has.

use poem::http::StatusCode;
use poem_openapi::ApiResponse;
use poem_openapi::payload::Json;
use poem_openapi::types::ToJSON;
use sea_orm::DbErr;

use crate::idempotency::Kept;
use crate::waiting::{Waiter, wait_until};

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

impl<T: ToJSON + Send> Created<T> {
    /// With what `moved` gives once it gives something, as long as that is waited for; else as it was accepted.
    pub async fn once<S: Into<T>, F>(
        kept: Kept,
        waiter: Option<Waiter<'_>>,
        accepted: T,
        location: String,
        moved: impl Fn() -> F,
    ) -> Self
    where
        F: Future<Output = Result<Option<S>, DbErr>>,
    {
        if let Some((moved, applied)) = waited(waiter, moved).await {
            let moved = moved.into();
            if kept.overtaken(StatusCode::CREATED, Some(&location), &moved).await {
                return Self::Done(Json(moved), location, applied);
            }
        }
        Self::Accepted(Json(accepted), location)
    }
}

impl<T: ToJSON + Send> Changed<T> {
    /// With what `moved` gives once it gives something, as long as that is waited for; else as it was accepted.
    pub async fn once<S: Into<T>, F>(kept: Kept, waiter: Option<Waiter<'_>>, accepted: T, moved: impl Fn() -> F) -> Self
    where
        F: Future<Output = Result<Option<S>, DbErr>>,
    {
        if let Some((moved, applied)) = waited(waiter, moved).await {
            let moved = moved.into();
            if kept.overtaken(StatusCode::OK, None, &moved).await {
                return Self::Done(Json(moved), applied);
            }
        }
        Self::Accepted(Json(accepted))
    }
}

/// What came, and the preference as it was honoured.
async fn waited<S, F>(waiter: Option<Waiter<'_>>, moved: impl Fn() -> F) -> Option<(S, String)>
where
    F: Future<Output = Result<Option<S>, DbErr>>,
{
    let waiter = waiter?;
    let applied = format!("wait={}", waiter.wait.as_secs());
    Some((wait_until(waiter, moved).await?, applied))
}
