//! `Idempotency-Key` (IETF draft-ietf-httpapi-idempotency-key-header): what is asked twice under one key is done once.
//!
//! The envelope reads the key of a request; [`Write`] claims it in the transaction of the effect and keeps the answer
//! there before the commit. What was refused, or rolled back, leaves no trace: the key is free. The answer to a key
//! that has one is given back as it was, for a day.
//!
//! If we crash before the commit, nothing happened and the key is free. After it, the answer is kept.

use std::sync::{Arc, Mutex, PoisonError};

use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{IntoResponse as _, Response};
use poem_openapi::types::ToJSON;
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr, TransactionTrait as _};
use sha2::{Digest as _, Sha256};
use shared::domain::ids::UserId;
use shared::store::idempotency_keys::{self, Claim, KeptAnswer, KeyedRequest};

use crate::auth::Claims;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::state::State;

const HEADER: &str = "idempotency-key";

tokio::task_local! {
    static CURRENT: Option<Arc<Keyed>>;
}

/// The request at work, and the answer that its key has already, once that is known.
pub(crate) struct Keyed {
    request: KeyedRequest,
    answered: Mutex<Option<KeptAnswer>>,
}

/// The key of a request, if it has one and it counts: on what writes, but webhooks.
///
/// # Errors
/// A key that is no key.
pub(crate) fn key_of(method: &Method, path: &str, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let writes = matches!(*method, Method::POST | Method::PATCH | Method::DELETE | Method::PUT);
    if !writes || !path.starts_with("/api/") || path.starts_with("/api/webhooks/") {
        return Ok(None);
    }
    let mut keys = headers.get_all(HEADER).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let text = key.to_str().unwrap_or_default().trim();
    // The draft writes it as a structured string, in quotes; most clients do not.
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let good = (1..=255).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"');
    if good && keys.next().is_none() {
        Ok(Some(text.to_owned()))
    } else {
        let detail = "Idempotency-Key must be one text of 1 to 255 printable ASCII characters";
        Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail))
    }
}

/// Runs a request under its key. Where the key has an answer already, that is what comes of it.
pub(crate) async fn under_key(
    key: Option<(String, Method, String, &[u8])>,
    answer: impl Future<Output = poem::Result<Response>>,
) -> poem::Result<Response> {
    let Some((key, method, path, body)) = key else { return CURRENT.scope(None, answer).await };
    let request = KeyedRequest { method: method.to_string(), path, key, fingerprint: Sha256::digest(body).into() };
    let keyed = Arc::new(Keyed { request, answered: Mutex::default() });
    let response = CURRENT.scope(Some(keyed.clone()), answer).await;
    match keyed.answered.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(kept) => Ok(replay(kept)),
        None => response,
    }
}

fn replay(kept: KeptAnswer) -> Response {
    let mut response = Response::builder()
        .status(StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK))
        .content_type("application/json; charset=utf-8")
        .header("Idempotent-Replayed", "true")
        .body(kept.body)
        .into_response();
    if let Some(location) = kept.location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn current() -> Option<Arc<Keyed>> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// What a key says that is not the request's.
fn refusal(keyed: &Keyed, taken: Claim) -> Problem {
    match taken {
        Claim::Answered(kept) => {
            *keyed.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
            Problem::new(StatusCode::CONFLICT, "idempotency_key_in_use", "the key has an answer already")
        }
        Claim::OtherBody => {
            let detail = "the key was used with another body; a new request needs a new key";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
        }
        Claim::InFlight | Claim::Mine => {
            let detail = "the first request with this key is still at work; send this one again a moment later";
            Problem::new(StatusCode::CONFLICT, "idempotency_key_in_use", detail)
        }
    }
}

/// For a write of one statement, which claims the key of the request at work and keeps this answer.
pub(crate) fn to_keep(
    status: StatusCode,
    location: Option<&str>,
    body: &impl ToJSON,
) -> Option<(KeyedRequest, KeptAnswer)> {
    current().map(|keyed| (keyed.request.clone(), answer(status, location, body)))
}

/// What to answer where that statement has stored nothing, if it is because of the key.
pub(crate) async fn taken(state: &State, user: &Claims) -> Result<Option<Problem>, DbErr> {
    let Some(keyed) = current() else { return Ok(None) };
    let taken = idempotency_keys::read(&state.db, &user.id, &keyed.request).await?;
    Ok(taken.map(|taken| refusal(&keyed, taken)))
}

/// The transaction of a write. The key of the request, if it has one, is claimed in it.
pub struct Write {
    txn: DatabaseTransaction,
    db: DatabaseConnection,
    metrics: Arc<Metrics>,
    claimed: Option<(UserId, Arc<Keyed>)>,
}

impl std::ops::Deref for Write {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.txn
    }
}

impl Write {
    /// # Errors
    /// The key is in use or was used for something else; or it has an answer, which the envelope gives.
    pub async fn begin(state: &State, user: &Claims) -> Result<Self, Problem> {
        let txn = state.db.begin().await?;
        let (db, metrics) = (state.db.clone(), state.metrics.clone());
        let Some(keyed) = current() else { return Ok(Self { txn, db, metrics, claimed: None }) };
        match idempotency_keys::claim(&txn, &user.id, &keyed.request).await? {
            Claim::Mine => Ok(Self { txn, db, metrics, claimed: Some((user.id.clone(), keyed)) }),
            taken => Err(refusal(&keyed, taken)),
        }
    }

    /// Keeps the answer under the key, and commits.
    ///
    /// # Errors
    /// The database's: then nothing happened.
    pub async fn commit(self, status: StatusCode, location: Option<&str>, body: &impl ToJSON) -> Result<Kept, Problem> {
        let Self { txn, db, metrics, claimed } = self;
        if let Some((user, keyed)) = &claimed {
            idempotency_keys::keep(&txn, user, &keyed.request, &answer(status, location, body)).await?;
        }
        txn.commit().await?;
        metrics.committed();
        Ok(Kept { db, claimed })
    }
}

/// An answer that is kept, and may be overtaken by a later one before the client gets it.
pub struct Kept {
    db: DatabaseConnection,
    claimed: Option<(UserId, Arc<Keyed>)>,
}

impl Kept {
    /// What a write of one statement has kept.
    pub(crate) fn of(state: &State, user: &Claims) -> Self {
        Self { db: state.db.clone(), claimed: current().map(|keyed| (user.id.clone(), keyed)) }
    }

    /// Keeps a later answer instead. Where that cannot be done the client must get the earlier one: a replay will.
    #[must_use]
    pub(crate) async fn overtaken(self, status: StatusCode, location: Option<&str>, body: &impl ToJSON) -> bool {
        let Some((user, keyed)) = self.claimed else { return true };
        let answer = answer(status, location, body);
        let kept = idempotency_keys::keep(&self.db, &user, &keyed.request, &answer).await;
        if let Err(error) = &kept {
            tracing::warn!(%error, "a later answer was not kept; the client gets the earlier one");
        }
        kept.is_ok()
    }
}

fn answer(status: StatusCode, location: Option<&str>, body: &impl ToJSON) -> KeptAnswer {
    KeptAnswer { status: status.as_u16(), location: location.map(str::to_owned), body: body.to_json_string() }
}
