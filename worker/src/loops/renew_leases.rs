//! Renews the leases of the jobs at work, all in one statement, three times in the life of a lease.

use std::sync::Arc;
use std::time::Duration;

use shared::store::jobs;

use crate::context::Context;

const PERIOD: Duration = Duration::from_secs(2);

/// Runs for ever.
pub async fn run(context: Arc<Context>) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let held = context.held();
        if held.is_empty() {
            continue;
        }
        if let Err(error) = jobs::renew(&context.db, &held).await {
            // Another worker may take the jobs over; the fencing token keeps us from writing then.
            tracing::warn!(%error, jobs = held.len(), "leases were not renewed");
        }
    }
}
