//! The only place that pushes into apalis.

use std::time::Duration;

use apalis::prelude::TaskSink as _;
use apalis_redis::{Config, RedisStorage};
use redis::aio::ConnectionManager;
use serde_json::Value;
use uuid::Uuid;

use super::Names;
use crate::domain::ids::JobId;
use crate::domain::job::Lane;

/// The most ids of one lane that may wait in Redis. apalis-redis 1.0.0 jams for good when some 8,000 are due at once
/// (its Lua unpacks them all); and what waits here is not ordered by age any more.
pub const WINDOW: usize = 500;

/// apalis-redis as we use it: it keeps no lock, event or retry of its own. A worker that gives no sign of life for three
/// minutes is taken for dead by others: longer than any call to a provider lasts.
#[must_use]
pub fn apalis_config(names: &Names, lane: Lane) -> Config {
    Config::default()
        .queue(names.queue(lane))
        .lock_tasks(false)
        .emit_events(false)
        .persist_results(true)
        .heartbeat_interval(Duration::from_secs(10))
        .missed_heartbeats(18)
}

#[derive(Debug, thiserror::Error)]
#[error("Redis did not take it: {0}")]
pub struct NotPushed(String);

/// A connection to Redis that is made when it is first needed.
pub struct Doorbell {
    redis_url: String,
    names: Names,
    connection: Option<ConnectionManager>,
}

impl Doorbell {
    #[must_use]
    pub fn new(redis_url: &str, names: Names) -> Self {
        Self { redis_url: redis_url.to_owned(), names, connection: None }
    }

    /// How many more ids the lane's window has room for.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn room(&mut self, lane: Lane) -> Result<usize, NotPushed> {
        let queue = self.names.queue(lane);
        let mut connection = self.connection().await?;
        let mut depths = redis::pipe();
        depths.cmd("ZCARD").arg(format!("{queue}:scheduled")).cmd("LLEN").arg(format!("{queue}:active"));
        let asked: Result<(usize, usize), _> = bounded(depths.query_async(&mut connection)).await;
        let (scheduled, active) = self.kept(asked)?;
        Ok(WINDOW.saturating_sub(scheduled.saturating_add(active)))
    }

    /// Hands ids to the lane's workers and wakes them. The caller has seen to the [`Self::room`].
    ///
    /// # Errors
    /// Redis is away. The ids may have been pushed all the same; pushing them twice does no harm.
    pub async fn push(&mut self, lane: Lane, ids: &[JobId]) -> Result<(), NotPushed> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection().await?;
        let mut storage = RedisStorage::<Value>::new(connection.clone()).with_config(apalis_config(&self.names, lane));
        let pushed = bounded(storage.push_bulk(ids.iter().map(|id| Value::String(id.to_string())).collect())).await;
        self.kept(pushed)?;
        let mut wake = redis::cmd("PUBLISH");
        wake.arg(self.names.wake_channel(lane)).arg("");
        let woken = bounded(wake.query_async::<()>(&mut connection)).await;
        self.kept(woken)
    }

    /// Tells waiting requests, wherever they are, that these things changed.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn announce(&mut self, changed: &[Uuid]) -> Result<(), NotPushed> {
        if changed.is_empty() {
            return Ok(());
        }
        let channel = self.names.changed_channel();
        let mut publish = redis::pipe();
        for id in changed {
            publish.cmd("PUBLISH").arg(&channel).arg(id.to_string()).ignore();
        }
        let mut connection = self.connection().await?;
        let told = bounded(publish.query_async::<()>(&mut connection)).await;
        self.kept(told)
    }

    /// A connection that failed, or did not answer in time, may be dead without knowing it: the next use makes another.
    fn kept<T>(&mut self, result: Result<T, NotPushed>) -> Result<T, NotPushed> {
        if result.is_err() {
            self.connection = None;
        }
        result
    }

    async fn connection(&mut self) -> Result<ConnectionManager, NotPushed> {
        match &self.connection {
            Some(connection) => Ok(connection.clone()),
            None => {
                let connection = super::connect(&self.redis_url).await.map_err(|error| NotPushed(error.to_string()))?;
                Ok(self.connection.insert(connection).clone())
            }
        }
    }
}

/// A stalled Redis must not hold up whoever rings: the relay will ring again.
async fn bounded<T, E: std::fmt::Display>(work: impl Future<Output = Result<T, E>>) -> Result<T, NotPushed> {
    match tokio::time::timeout(Duration::from_secs(2), work).await {
        Ok(result) => result.map_err(|error| NotPushed(error.to_string())),
        Err(_) => Err(NotPushed("no answer within two seconds".to_owned())),
    }
}
