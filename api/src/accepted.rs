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
    /// It is stored and will be carried out: read it again, or wait. `last_operation`, where there is one, says how far it is.
    #[oai(status = 202)]
    Accepted(Json<T>),
}

impl<T: ToJSON + Send> Created<T> {
    /// As it is once it has moved, by what `read` gives, as long as that is waited for; else as it is then.
    pub async fn once<S: Into<T>, F>(
        kept: Kept,
        waiter: Option<Waiter<'_>>,
        accepted: T,
        location: String,
        (read, moved): (impl Fn() -> F, impl Fn(&S) -> bool),
    ) -> Self
    where
        F: Future<Output = Result<Option<S>, DbErr>>,
    {
        match waited(waiter, read, moved).await {
            Waited::Moved(now, applied) => {
                let now = now.into();
                if kept.overtaken(StatusCode::CREATED, Some(&location), &now).await {
                    return Self::Done(Json(now), location, applied);
                }
            }
            Waited::InVain(now) => {
                let now = now.into();
                if kept.overtaken(StatusCode::ACCEPTED, Some(&location), &now).await {
                    return Self::Accepted(Json(now), location);
                }
            }
            Waited::Not => {}
        }
        Self::Accepted(Json(accepted), location)
    }
}

impl<T: ToJSON + Send> Changed<T> {
    /// As it is once it has moved, by what `read` gives, as long as that is waited for; else as it is then.
    pub async fn once<S: Into<T>, F>(
        kept: Kept,
        waiter: Option<Waiter<'_>>,
        accepted: T,
        (read, moved): (impl Fn() -> F, impl Fn(&S) -> bool),
    ) -> Self
    where
        F: Future<Output = Result<Option<S>, DbErr>>,
    {
        match waited(waiter, read, moved).await {
            Waited::Moved(now, applied) => {
                let now = now.into();
                if kept.overtaken(StatusCode::OK, None, &now).await {
                    return Self::Done(Json(now), applied);
                }
            }
            Waited::InVain(now) => {
                let now = now.into();
                if kept.overtaken(StatusCode::ACCEPTED, None, &now).await {
                    return Self::Accepted(Json(now));
                }
            }
            Waited::Not => {}
        }
        Self::Accepted(Json(accepted))
    }
}

enum Waited<S> {
    /// With the preference as it was honoured.
    Moved(S, String),
    /// The time is up: as it is now. What became known meanwhile must not be kept back.
    InVain(S),
    /// Nobody wanted to, or it cannot be read.
    Not,
}

async fn waited<S, F>(waiter: Option<Waiter<'_>>, read: impl Fn() -> F, moved: impl Fn(&S) -> bool) -> Waited<S>
where
    F: Future<Output = Result<Option<S>, DbErr>>,
{
    let Some(waiter) = waiter else { return Waited::Not };
    let applied = format!("wait={}", waiter.wait.as_secs());
    if let Some(now) = wait_until(waiter, async || Ok(read().await?.filter(&moved))).await {
        return Waited::Moved(now, applied);
    }
    match read().await {
        Ok(Some(now)) => Waited::InVain(now),
        Ok(None) | Err(_) => Waited::Not,
    }
}
