//! What was asked of a provider and may or may not have been done: payments, refunds and subscriptions, as an operator
//! sees them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};
use uuid::Uuid;

use super::sql;
use crate::domain::evidence::UnknownKind;
use crate::domain::ids::{AttemptId, JobId};
use crate::domain::payment::ProviderName;

/// A payment, refund or subscription of which nobody knows what became of it.
#[derive(Debug, Clone)]
pub struct UnknownOutcome {
    pub kind: UnknownKind,
    pub id: Uuid,
    pub user_id: String,
    pub provider: ProviderName,
    /// Set where the provider has it, and does not know itself (Swish, `DS24`).
    pub provider_id: Option<String>,
    pub status: String,
    /// In minor units.
    pub amount: i64,
    pub currency: String,
    pub since: DateTime<Utc>,
    /// The job that creates it, and finds out.
    pub job_id: Option<JobId>,
    pub job_state: Option<String>,
    pub last_error: Option<String>,
    /// What the provider was asked under.
    pub attempt_id: Option<AttemptId>,
    pub first_asked_at: Option<DateTime<Utc>>,
    /// When the last try began, or ended.
    pub last_asked_at: Option<DateTime<Utc>>,
    /// Postgres' time.
    pub now: DateTime<Utc>,
}

const UNKNOWN: &str = "
    SELECT 'payment' AS kind, id, user_id, provider, provider_payment_id AS provider_id, status, amount, currency,
           outcome_unknown_since AS since FROM payments WHERE outcome_unknown_since IS NOT NULL
    UNION ALL
    SELECT 'refund', id, user_id, provider, provider_refund_id, status, amount, currency, outcome_unknown_since
    FROM refunds WHERE outcome_unknown_since IS NOT NULL
    UNION ALL
    SELECT 'subscription', id, user_id, provider, provider_subscription_id, status, amount, currency, outcome_unknown_since
    FROM subscriptions WHERE outcome_unknown_since IS NOT NULL";

async fn read(
    conn: &impl ConnectionTrait,
    wanted: &str,
    values: Vec<sea_orm::Value>,
) -> Result<Vec<UnknownOutcome>, DbErr> {
    let text = format!(
        "-- unknown_outcomes::read
         SELECT thing.*, job.id AS job_id, job.state AS job_state, job.last_error, attempt.id AS attempt_id,
                attempt.created_at AS first_asked_at, attempt.updated_at AS last_asked_at, now() AS now
         FROM ({UNKNOWN}) AS thing
         LEFT JOIN LATERAL (
             SELECT * FROM jobs WHERE subject_id = thing.id AND kind = 'create_' || thing.kind
             ORDER BY created_at DESC LIMIT 1) AS job ON true
         LEFT JOIN LATERAL (
             SELECT * FROM attempts WHERE job_id = job.id AND operation = job.kind AND outcome <> 'rejected'
             ORDER BY created_at DESC LIMIT 1) AS attempt ON true
         WHERE {wanted}"
    );
    conn.query_all_raw(sql(&text, values)).await?.iter().map(record).collect()
}

/// Unknown outcomes, the oldest first, those after `after`.
///
/// # Errors
/// The database's own.
pub async fn list(conn: &impl ConnectionTrait, after: Option<Uuid>, limit: u64) -> Result<Vec<UnknownOutcome>, DbErr> {
    let wanted = "$1::uuid IS NULL OR thing.id > $1 ORDER BY thing.id LIMIT $2";
    read(conn, wanted, vec![after.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()]).await
}

/// What is unknown of the payment, refund or subscription with this id. `None`: nothing is.
///
/// # Errors
/// The database's own.
pub async fn find(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<UnknownOutcome>, DbErr> {
    Ok(read(conn, "thing.id = $1", vec![id.into()]).await?.pop())
}

/// Of each provider that has any: how many outcomes are unknown, and for how many seconds that is so of the oldest one.
///
/// # Errors
/// The database's own.
pub async fn count(conn: &impl ConnectionTrait) -> Result<HashMap<ProviderName, (i64, i64)>, DbErr> {
    let text = format!(
        "-- unknown_outcomes::count
         SELECT provider, count(*) AS number, extract(epoch FROM now() - min(since))::bigint AS oldest
         FROM ({UNKNOWN}) AS thing GROUP BY provider"
    );
    let mut unknown = HashMap::new();
    for row in conn.query_all_raw(sql(&text, [])).await? {
        let provider: String = row.try_get("", "provider")?;
        if let Some(provider) = ProviderName::parse(&provider) {
            unknown.insert(provider, (row.try_get("", "number")?, row.try_get("", "oldest")?));
        }
    }
    Ok(unknown)
}

fn record(row: &QueryResult) -> Result<UnknownOutcome, DbErr> {
    let odd = |column: &str| DbErr::Type(format!("an unknown outcome with an unknown {column}"));
    let (kind, provider): (String, String) = (row.try_get("", "kind")?, row.try_get("", "provider")?);
    Ok(UnknownOutcome {
        kind: UnknownKind::parse(&kind).ok_or_else(|| odd("kind"))?,
        id: row.try_get("", "id")?,
        user_id: row.try_get("", "user_id")?,
        provider: ProviderName::parse(&provider).ok_or_else(|| odd("provider"))?,
        provider_id: row.try_get("", "provider_id")?,
        status: row.try_get("", "status")?,
        amount: row.try_get("", "amount")?,
        currency: row.try_get("", "currency")?,
        since: row.try_get("", "since")?,
        job_id: row.try_get::<Option<Uuid>>("", "job_id")?.map(JobId),
        job_state: row.try_get("", "job_state")?,
        last_error: row.try_get("", "last_error")?,
        attempt_id: row.try_get::<Option<Uuid>>("", "attempt_id")?.map(AttemptId),
        first_asked_at: row.try_get("", "first_asked_at")?,
        last_asked_at: row.try_get("", "last_asked_at")?,
        now: row.try_get("", "now")?,
    })
}
