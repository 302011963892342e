//! Redis, the doorbell. It carries the ids of jobs to workers and the news of changed payments to waiting requests.
//!
//! Nothing in it matters: what it loses, [`crate::store::jobs::ring_due`] finds in Postgres and rings again, and a
//! waiting request reads its payment again by itself now and then.

pub mod doorbell;
pub mod ringer;
pub mod subscription;

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};

use crate::domain::job::Lane;

/// The names of our keys and channels, all under one prefix.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: String,
}

impl Names {
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The apalis queue of a lane.
    #[must_use]
    pub fn queue(&self, lane: Lane) -> String {
        format!("{}-{}", self.prefix, lane.as_str())
    }

    /// The channel that says: this lane's queue has something.
    #[must_use]
    pub fn wake_channel(&self, lane: Lane) -> String {
        format!("{}-{}-wake", self.prefix, lane.as_str())
    }

    /// The channel whose messages are the ids of payments that changed.
    #[must_use]
    pub fn changed_channel(&self) -> String {
        format!("{}-payment-changed", self.prefix)
    }
}

/// A connection that comes back by itself once it has been made.
///
/// # Errors
/// Redis cannot be reached within two seconds.
pub async fn connect(url: &str) -> Result<ConnectionManager, redis::RedisError> {
    let config = ConnectionManagerConfig::new()
        // The default of half a second makes a short stall of Redis kill every worker loop.
        .set_response_timeout(Some(Duration::from_secs(10)))
        .set_connection_timeout(Some(Duration::from_secs(2)))
        .set_number_of_retries(10)
        .set_max_delay(Duration::from_secs(1));
    let client = redis::Client::open(url)?;
    let connecting = client.get_connection_manager_with_config(config);
    match tokio::time::timeout(Duration::from_secs(2), connecting).await {
        Ok(connection) => connection,
        Err(_) => Err(redis::RedisError::from((redis::ErrorKind::Io, "Redis did not answer within two seconds"))),
    }
}
