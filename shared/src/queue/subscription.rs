//! A subscription to a channel that comes back by itself.

use std::time::Duration;

use futures_util::StreamExt as _;

/// A connection that says nothing for this long may be dead: make a new one.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Listens for ever. `on_news` gets each message, and `None` each time that messages may have been missed.
pub async fn listen(redis_url: &str, channel: &str, mut on_news: impl FnMut(Option<String>) + Send) {
    let mut pause = PAUSE_MIN;
    loop {
        match listen_once(redis_url, channel, &mut on_news).await {
            Ok(()) => pause = PAUSE_MIN,
            Err(error) => {
                tracing::debug!(%error, channel, "the subscription ended; making it again");
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(PAUSE_MAX);
            }
        }
    }
}

async fn listen_once(
    redis_url: &str,
    channel: &str,
    on_news: &mut (impl FnMut(Option<String>) + Send),
) -> Result<(), redis::RedisError> {
    let away = || redis::RedisError::from((redis::ErrorKind::Io, "the subscription could not be made in time"));
    let client = redis::Client::open(redis_url)?;
    let connecting = async {
        let mut pubsub = client.get_async_pubsub().await?;
        pubsub.subscribe(channel).await?;
        Ok::<_, redis::RedisError>(pubsub)
    };
    let mut pubsub = tokio::time::timeout(Duration::from_secs(5), connecting).await.map_err(|_| away())??;
    on_news(None);
    let mut messages = pubsub.on_message();
    loop {
        match tokio::time::timeout(SILENCE_MAX, messages.next()).await {
            Ok(Some(message)) => on_news(Some(message.get_payload().unwrap_or_default())),
            Ok(None) => return Err(redis::RedisError::from((redis::ErrorKind::Io, "the connection was closed"))),
            Err(_) => return Ok(()),
        }
    }
}
