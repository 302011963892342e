//! Sees to it that there is a job that reads Stripe's event feed.

use std::time::Duration;

use sea_orm::DatabaseConnection;
use shared::store::event_sweeps;

const PERIOD: Duration = Duration::from_secs(60);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Runs for ever.
pub async fn run(db: DatabaseConnection) {
    loop {
        match tokio::time::timeout(ANSWER_MAX, event_sweeps::ensure_job(&db)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the sweep of events was not looked after"),
            Err(_) => tracing::debug!("the sweep of events was not looked after: Postgres did not answer"),
        }
        tokio::time::sleep(PERIOD).await;
    }
}
