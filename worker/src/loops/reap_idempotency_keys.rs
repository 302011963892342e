//! Forgets clients' idempotency keys when they are a day old.

use std::time::Duration;

use sea_orm::DatabaseConnection;
use shared::store::idempotency_keys;

const PERIOD: Duration = Duration::from_secs(60);
const BATCH: u32 = 1_000;
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Runs for ever.
pub async fn run(db: DatabaseConnection) {
    loop {
        tokio::time::sleep(PERIOD).await;
        loop {
            match tokio::time::timeout(ANSWER_MAX, idempotency_keys::reap(&db, BATCH)).await {
                Ok(Ok(reaped)) if reaped == u64::from(BATCH) => {}
                Ok(Ok(_)) | Err(_) => break,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "old idempotency keys were not forgotten");
                    break;
                }
            }
        }
    }
}
