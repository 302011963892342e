//! Forgets what nobody needs any more: clients' idempotency keys after a day, finished jobs and what providers sent after
//! three months. What is unfinished, dead or unread stays.

use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr};
use shared::store::{idempotency_keys, jobs, provider_events};

const PERIOD: Duration = Duration::from_secs(60);
const BATCH: u32 = 1_000;
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Runs for ever.
pub async fn run(db: DatabaseConnection) {
    loop {
        tokio::time::sleep(PERIOD).await;
        loop {
            match tokio::time::timeout(ANSWER_MAX, once(&db)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) | Err(_) => break,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "what is old was not forgotten");
                    break;
                }
            }
        }
    }
}

/// A batch of each, so that none holds locks for long. Whether there is more.
///
/// # Errors
/// The database's own.
pub async fn once(db: &DatabaseConnection) -> Result<bool, DbErr> {
    let reaped = [
        idempotency_keys::reap(db, BATCH).await?,
        jobs::reap(db, BATCH).await?,
        provider_events::reap(db, BATCH).await?,
    ];
    Ok(reaped.contains(&u64::from(BATCH)))
}
