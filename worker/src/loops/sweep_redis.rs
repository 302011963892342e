//! Removes what apalis-redis leaves behind of finished ids. It never does so itself, and its `vacuum` destroys more.

use std::time::Duration;

use redis::Script;
use redis::aio::ConnectionManager;
use shared::domain::job::Lane;
use shared::queue::{self, Names};

const PERIOD: Duration = Duration::from_secs(5);
const BATCH: usize = 1_000;

/// A thousand finished ids with their data. KEYS: done set, data hash. ARGV: prefix of the metadata keys, how many.
const SWEEP: &str = r"
local ids = redis.call('SPOP', KEYS[1], ARGV[2])
for _, id in ipairs(ids) do
    redis.call('HDEL', KEYS[2], id)
    redis.call('DEL', ARGV[1] .. ':' .. id)
end
return #ids
";

/// What workers that are gone have left. KEYS: workers set. ARGV: prefix of the worker metadata keys, the oldest
/// heartbeat that still counts.
const SWEEP_WORKERS: &str = r"
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], 0, ARGV[2], 'LIMIT', 0, 100)
for _, name in ipairs(gone) do
    if redis.call('SCARD', ARGV[3] .. ':' .. name) == 0 then
        redis.call('DEL', ARGV[1] .. ':' .. name)
        redis.call('ZREM', KEYS[1], name)
    end
end
return #gone
";

/// Runs for ever.
pub async fn run(redis_url: String, names: Names, lane: Lane) {
    let mut connection: Option<ConnectionManager> = None;
    loop {
        tokio::time::sleep(PERIOD).await;
        if connection.is_none() {
            connection = queue::connect(&redis_url).await.ok();
        }
        if let Some(connection) = &mut connection
            && let Err(error) = sweep(connection, &names.queue(lane)).await
        {
            tracing::debug!(%error, lane = lane.as_str(), "Redis was not swept");
        }
    }
}

async fn sweep(connection: &mut ConnectionManager, queue: &str) -> Result<(), redis::RedisError> {
    loop {
        let swept: usize = Script::new(SWEEP)
            .key(format!("{queue}:done"))
            .key(format!("{queue}:data"))
            .arg(format!("{queue}:meta"))
            .arg(BATCH)
            .invoke_async(connection)
            .await?;
        if swept < BATCH {
            break;
        }
    }
    let oldest = chrono::Utc::now().timestamp().saturating_sub(10 * 60);
    Script::new(SWEEP_WORKERS)
        .key(format!("{queue}:workers"))
        .arg(format!("{queue}:workers:metadata"))
        .arg(oldest)
        .arg(format!("{queue}:inflight"))
        .invoke_async::<()>(connection)
        .await
}
