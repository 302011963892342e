//! Renews the leases of the jobs at work, all in one statement, three times in the life of a lease.

use std::sync::Arc;
use std::time::Duration;

use shared::store::jobs;

use crate::context::Context;

const PERIOD: Duration = Duration::from_secs(2);
/// A connection that died without a word would be waited for for ever.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Runs for ever.
pub async fn run(context: Arc<Context>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let held = context.held();
        if held.is_empty() {
            continue;
        }
        // Another worker may take the jobs over; the fencing token keeps us from writing then.
        match tokio::time::timeout(ANSWER_MAX, jobs::renew(&context.db, &held)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, jobs = held.len(), "leases were not renewed"),
            Err(_) => tracing::warn!(jobs = held.len(), "leases were not renewed: Postgres did not answer"),
        }
    }
}
