//! The relay: rings what is due in Postgres and not covered by a ring or a lease.
//!
//! Delayed retries run this way, a dead worker's jobs move on this way, and a lost Redis heals this way.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::job::Lane;
use shared::queue::doorbell::Doorbell;
use shared::store::jobs;

use crate::context::Context;

const IDLE: Duration = Duration::from_millis(250);
/// While there is a backlog: soon enough to keep the window filled.
const BUSY: Duration = Duration::from_millis(20);
const BATCH: usize = 250;
/// A connection that died without a word would be waited for for ever.
const PASS_MAX: Duration = Duration::from_secs(10);

/// Runs for ever.
pub async fn run(context: Arc<Context>, mut doorbell: Doorbell, lane: Lane) {
    let mut redis_was_there = true;
    loop {
        let passed = tokio::time::timeout(PASS_MAX, pass(&context, &mut doorbell, lane)).await;
        let pause = match passed.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(rung) => {
                if !redis_was_there {
                    tracing::info!(lane = lane.as_str(), "Redis is back");
                    redis_was_there = true;
                }
                if rung == BATCH { BUSY } else { IDLE }
            }
            Err(error) => {
                if redis_was_there {
                    tracing::warn!(error, lane = lane.as_str(), "the relay cannot ring; jobs wait in Postgres");
                    redis_was_there = false;
                }
                Duration::from_millis(500)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Rings once, as much as the window has room for. Gives how many.
async fn pass(context: &Context, doorbell: &mut Doorbell, lane: Lane) -> Result<usize, String> {
    let db = &context.db;
    let buried = jobs::bury_exhausted(db).await.map_err(|error| error.to_string())?;
    if buried > 0 {
        tracing::error!(jobs = buried, "jobs are dead: their workers went silent in the last attempt");
    }
    let room = doorbell.room(lane).await.map_err(|error| error.to_string())?;
    if room == 0 {
        // The window is full: there is a backlog, look again soon.
        return Ok(BATCH);
    }
    let limit = u64::try_from(room.min(BATCH)).unwrap_or(u64::MAX);
    let rung = jobs::ring_due(db, lane, limit).await.map_err(|error| error.to_string())?;
    context.metrics.relay_rang(lane, &rung);
    let due: Vec<_> = rung.iter().map(|rung| rung.id).collect();
    if let Err(error) = doorbell.push(lane, &due).await {
        // Marked as rung and perhaps not in Redis: take it back, or it waits until the ring runs out.
        let _ = jobs::unring(db, &due).await;
        return Err(error.to_string());
    }
    // A window smaller than a batch that was filled also means that more is waiting.
    Ok(if due.len() == room.min(BATCH) { BATCH } else { due.len() })
}
