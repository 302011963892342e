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
        while once(&db).await {}
    }
}

/// A batch of each, so that none holds locks for long. Whether there is more.
pub async fn once(db: &DatabaseConnection) -> bool {
    let keys = reaped("idempotency keys", idempotency_keys::reap(db, BATCH)).await;
    let jobs = reaped("jobs", jobs::reap(db, BATCH)).await;
    let events = reaped("provider events", provider_events::reap(db, BATCH)).await;
    [keys, jobs, events].contains(&u64::from(BATCH))
}

async fn reaped(what: &str, reap: impl Future<Output = Result<u64, DbErr>>) -> u64 {
    match tokio::time::timeout(ANSWER_MAX, reap).await {
        Ok(Ok(reaped)) => reaped,
        Ok(Err(error)) => {
            tracing::warn!(%error, what, "what is old was not forgotten");
            0
        }
        Err(_) => {
            tracing::warn!(what, "what is old was not forgotten: Postgres did not answer");
            0
        }
    }
}
