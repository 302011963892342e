//! Clients' idempotency keys. A key is claimed in the transaction of what the request does and gets its answer before
//! the commit: either both are there or neither.

use sea_orm::{ConnectionTrait, DbErr};

use super::{is_blocked, sql};
use crate::domain::ids::UserId;

/// A request with a key: whose, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedRequest {
    pub method: String,
    pub path: String,
    pub key: String,
    /// SHA-256 of the body.
    pub fingerprint: [u8; 32],
}

/// An answer as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    pub status: u16,
    pub location: Option<String>,
    /// JSON.
    pub body: String,
}

/// What a key says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has used it: go on.
    Mine,
    /// The answer that the first request got.
    Answered(KeptAnswer),
    /// It was used with another body.
    OtherBody,
    /// The first request is still at work.
    InFlight,
}

/// Claims a key, or waits for whoever is claiming it at this moment. One that is a day old is free again.
///
/// # Errors
/// The database's own.
pub async fn claim(conn: &impl ConnectionTrait, user: &UserId, request: &KeyedRequest) -> Result<Claim, DbErr> {
    let claimed = conn
        .execute_raw(sql(
            "-- idempotency_keys::claim
             INSERT INTO idempotency_keys AS known (user_id, method, path, key, fingerprint) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (user_id, key, method, path) DO UPDATE
             SET fingerprint = excluded.fingerprint, status = NULL, location = NULL, body = NULL, created_at = now()
             WHERE known.created_at < now() - interval '24 hours'",
            values(user, request).into_iter().chain([request.fingerprint.to_vec().into()]),
        ))
        .await;
    match claimed {
        Ok(done) if done.rows_affected() == 1 => return Ok(Claim::Mine),
        Ok(_) => {}
        Err(error) if is_blocked(&error) => return Ok(Claim::InFlight),
        Err(error) => return Err(error),
    }
    // Reaped between the two statements: whoever asks again finds it free.
    Ok(read(conn, user, request).await?.unwrap_or(Claim::InFlight))
}

/// What a key says that is taken. `None`: it is not.
///
/// # Errors
/// The database's own.
pub async fn read(conn: &impl ConnectionTrait, user: &UserId, request: &KeyedRequest) -> Result<Option<Claim>, DbErr> {
    let row = conn
        .query_one_raw(sql(
            "-- idempotency_keys::read
             SELECT fingerprint, status, location, body FROM idempotency_keys
             WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4",
            values(user, request),
        ))
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<Vec<u8>>("", "fingerprint")? != request.fingerprint {
        return Ok(Some(Claim::OtherBody));
    }
    let (Some(status), Some(body)) = (row.try_get::<Option<i16>>("", "status")?, row.try_get("", "body")?) else {
        return Ok(Some(Claim::InFlight));
    };
    let status = u16::try_from(status).map_err(|error| DbErr::Type(error.to_string()))?;
    Ok(Some(Claim::Answered(KeptAnswer { status, location: row.try_get("", "location")?, body })))
}

/// Keeps the answer to a claimed key: before the commit, and again where the client got a later one.
///
/// # Errors
/// The database's own.
pub async fn keep(
    conn: &impl ConnectionTrait,
    user: &UserId,
    request: &KeyedRequest,
    answer: &KeptAnswer,
) -> Result<(), DbErr> {
    let status = i16::try_from(answer.status).map_err(|error| DbErr::Type(error.to_string()))?;
    conn.execute_raw(sql(
        "-- idempotency_keys::keep
         UPDATE idempotency_keys SET status = $5, location = $6, body = $7
         WHERE user_id = $1 AND method = $2 AND path = $3 AND key = $4",
        values(user, request).into_iter().chain([
            status.into(),
            answer.location.clone().into(),
            answer.body.as_str().into(),
        ]),
    ))
    .await
    .map(drop)
}

/// Forgets keys that are a day old, at most `limit`. Gives how many.
///
/// # Errors
/// The database's own.
pub async fn reap(conn: &impl ConnectionTrait, limit: u32) -> Result<u64, DbErr> {
    let done = conn
        .execute_raw(sql(
            "-- idempotency_keys::reap
             DELETE FROM idempotency_keys WHERE (user_id, key, method, path) IN (
                 SELECT user_id, key, method, path FROM idempotency_keys
                 WHERE created_at < now() - interval '24 hours' LIMIT $1 FOR UPDATE SKIP LOCKED)",
            [i64::from(limit).into()],
        ))
        .await?;
    Ok(done.rows_affected())
}

fn values(user: &UserId, request: &KeyedRequest) -> [sea_orm::Value; 4] {
    [user.0.as_str().into(), request.method.as_str().into(), request.path.as_str().into(), request.key.as_str().into()]
}
