//! apalis: one loop a lane, made anew whenever Redis ends it.
//!
//! apalis only delivers ids here. Its retries, timeouts and dead set are not used, because they lose jobs; its
//! `Monitor` is not, because it leaves dead workers behind. What a job does survives the loop that delivered it.

use std::sync::Arc;
use std::time::Duration;

use apalis::layers::WorkerBuilderExt as _;
use apalis::prelude::{BackendExt as _, BoxDynError, Data, WorkerBuilder, WorkerError};
use apalis_redis::RedisStorage;
use serde_json::Value;
use shared::domain::job;
use shared::queue::doorbell::apalis_config;
use shared::queue::{self, Names, subscription};
use tokio::sync::{Semaphore, mpsc, watch};
use uuid::Uuid;

use crate::context::Context;
use crate::runner;
use crate::ticker::Ticker;

/// How often a worker looks when nobody wakes it.
const TICK: Duration = Duration::from_millis(250);
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(3);
const BATCH_MAX: usize = 4;
/// How long apalis may take to stop when nothing is at work.
const STOP_GRACE: Duration = Duration::from_secs(1);

pub(crate) struct Lane {
    pub(crate) context: Arc<Context>,
    pub(crate) redis_url: String,
    pub(crate) names: Names,
    pub(crate) lane: job::Lane,
    pub(crate) concurrency: u16,
    pub(crate) stopped: watch::Receiver<bool>,
}

/// What the handler is given: the permits bound the jobs at work, also those whose loop has ended.
#[derive(Clone)]
struct Hands {
    context: Arc<Context>,
    permits: Arc<Semaphore>,
}

/// Runs until told to stop, then waits for the jobs at work.
pub(crate) async fn run(lane: Lane) {
    let hands =
        Hands { context: lane.context.clone(), permits: Arc::new(Semaphore::new(usize::from(lane.concurrency))) };
    let mut stopped = lane.stopped.clone();
    let mut pause = PAUSE_MIN;
    while !*stopped.borrow() {
        let started = tokio::time::Instant::now();
        if let Err(error) = deliver(&lane, &hands).await {
            lane.context.metrics.lane_restarts(lane.lane);
            tracing::warn!(error, lane = lane.lane.as_str(), ?pause, "the delivery loop ended; starting it again");
        }
        if started.elapsed() > Duration::from_secs(10) {
            pause = PAUSE_MIN;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
    // All permits back: no job of this lane is at work any more.
    let _ = hands.permits.acquire_many(u32::from(lane.concurrency)).await;
}

/// One life of the apalis worker: until it is told to stop, or Redis fails it.
async fn deliver(lane: &Lane, hands: &Hands) -> Result<(), String> {
    let connection = queue::connect(&lane.redis_url).await.map_err(|error| error.to_string())?;
    // A channel of one: a wake-up that is already waiting says it all.
    let (waker, wake) = mpsc::channel(1);
    let (url, channel) = (lane.redis_url.clone(), lane.names.wake_channel(lane.lane));
    let subscribed = tokio::spawn(async move {
        subscription::listen(&url, &channel, move |_| {
            let _ = waker.try_send(());
        })
        .await;
    });
    let backend = RedisStorage::<Value>::new(connection)
        .with_config(apalis_config(&lane.names, lane.lane).batch_size(batch(lane.concurrency)))
        .poll_with_strategy(Ticker::new(TICK, wake));
    // A name that was used before is refused by apalis-redis, even after a clean stop.
    let name = format!("{}-{}", lane.lane.as_str(), Uuid::new_v4().simple());
    let mut stopped = lane.stopped.clone();
    let delivering = WorkerBuilder::new(name)
        .backend(backend)
        .concurrency(usize::from(lane.concurrency))
        .data(hands.clone())
        .build(work)
        .run_until(async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
            Ok::<(), WorkerError>(())
        });
    let result = tokio::select! {
        result = delivering => result,
        () = drained(lane, hands) => {
            tracing::warn!(lane = lane.lane.as_str(), "apalis did not stop though no job is at work; left behind");
            Ok(())
        }
    };
    subscribed.abort();
    result.map_err(|error| error.to_string())
}

/// How many ids are fetched at a time: apalis fetches as soon as one hand is free, and what it holds beyond that waits for the
/// next ones, also where another worker has nothing to do, for ten seconds at most: then the relay rings. So few; and at most
/// half of the hands, since apalis neither acknowledges nor gives a sign of life while it holds any.
fn batch(concurrency: u16) -> usize {
    usize::from(concurrency / 2).clamp(1, BATCH_MAX)
}

/// Resolves some time after the last job at work has ended, once told to stop. apalis then hands back what it holds and
/// stops by itself; was that not so, a stop would wait for ever. What it still held, or was fetching, the relay rings again.
async fn drained(lane: &Lane, hands: &Hands) {
    let mut stopped = lane.stopped.clone();
    let _ = stopped.wait_for(|stopped| *stopped).await;
    tokio::time::sleep(STOP_GRACE).await;
    let _ = hands.permits.acquire_many(u32::from(lane.concurrency)).await;
    tokio::time::sleep(STOP_GRACE).await;
}

/// Always `Ok`: apalis must not retry. The job runs in a task of its own, so that the end of the loop does not cut it.
async fn work(id: Value, hands: Data<Hands>) -> Result<(), BoxDynError> {
    let Some(job_id) = id.as_str().and_then(|id| id.parse().ok()) else {
        tracing::error!(%id, "Redis delivered something that is no job id");
        return Ok(());
    };
    let Ok(permit) = hands.permits.clone().acquire_owned().await else {
        return Ok(());
    };
    let context = hands.context.clone();
    let task = tokio::spawn(async move {
        runner::run(&context, job_id).await;
        drop(permit);
    });
    if let Err(error) = task.await {
        tracing::error!(%error, job.id = %job_id, "the job panicked; it comes back when its lease runs out");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::batch;

    #[test]
    fn no_more_is_fetched_than_half_of_the_hands() {
        assert_eq!([1, 2, 3, 4, 8, 16, u16::MAX].map(batch), [1, 1, 1, 2, 4, 4, 4]);
    }
}
