//! How often a user may ask: an exact sliding window in Redis, one script a request, shared by all processes.
//!
//! If Redis is away, requests are let through and counted: a limit protects the service, and must not be its end.

use std::time::{Duration, Instant};

use poem::http::{HeaderValue, Method, StatusCode};
use poem::{IntoResponse as _, Response};
use redis::Script;
use redis::aio::ConnectionManager;
use shared::queue;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::config::RateLimits;
use crate::problem::Problem;

const WINDOW: Duration = Duration::from_secs(60);
/// A slow Redis is one that is away.
const ANSWER_MAX: Duration = Duration::from_millis(250);
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// KEYS: the window of one asker. ARGV: the limit, the length in microseconds, a name for this request. Gives whether it
/// may, how many are left, and the microseconds until the oldest one leaves the window. By Redis' clock.
const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limit, length = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - length)
local used = redis.call('ZCARD', KEYS[1])
local may = 0
if used < limit then
    redis.call('ZADD', KEYS[1], now, ARGV[3])
    redis.call('PEXPIRE', KEYS[1], math.ceil(length / 1000))
    used = used + 1
    may = 1
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local reset = length
if oldest[2] then reset = oldest[2] + length - now end
return {may, limit - used, reset}
";

/// What a request counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Read,
    Write,
    /// Without a user: a bad token, or none.
    Anonymous,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Anonymous => "anonymous",
        }
    }

    /// Of a user's request.
    #[must_use]
    pub fn of(method: &Method) -> Self {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) { Self::Read } else { Self::Write }
    }
}

pub struct RateLimiter {
    limits: RateLimits,
    redis_url: String,
    prefix: String,
    script: Script,
    link: Mutex<Link>,
}

#[derive(Default)]
struct Link {
    connection: Option<ConnectionManager>,
    /// When a connection was last asked for.
    tried: Option<Instant>,
    logged: Option<Instant>,
}

/// What the limiter says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No limit is set, or Redis is away.
    Unknown,
    Allowed(Standing),
    Refused(Standing),
}

/// Where the asker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub class: Class,
    pub limit: u32,
    pub remaining: u32,
    /// Until one more is allowed than now.
    pub reset: Duration,
}

impl RateLimiter {
    #[must_use]
    pub fn new(limits: RateLimits, redis_url: &str, queue_prefix: &str) -> Self {
        Self {
            limits,
            redis_url: redis_url.to_owned(),
            prefix: format!("{queue_prefix}:rate"),
            script: Script::new(SCRIPT),
            link: Mutex::default(),
        }
    }

    fn limit(&self, class: Class) -> u32 {
        match class {
            Class::Read => self.limits.rate_limit_reads,
            Class::Write => self.limits.rate_limit_writes,
            Class::Anonymous => self.limits.rate_limit_anonymous,
        }
    }

    /// Counts a request of `asker`, if it may be made. The second: whether Redis was away.
    pub async fn ask(&self, class: Class, asker: &str) -> (Verdict, bool) {
        let limit = self.limit(class);
        if limit == 0 {
            return (Verdict::Unknown, false);
        }
        match tokio::time::timeout(ANSWER_MAX, self.invoke(class, limit, asker)).await {
            Ok(Ok((may, remaining, reset_micros))) => {
                let reset = Duration::from_micros(u64::try_from(reset_micros).unwrap_or(0));
                let remaining = u32::try_from(remaining).unwrap_or(0);
                let standing = Standing { class, limit, remaining, reset };
                (if may == 1 { Verdict::Allowed(standing) } else { Verdict::Refused(standing) }, false)
            }
            Ok(Err(_)) | Err(_) => {
                self.away().await;
                (Verdict::Unknown, true)
            }
        }
    }

    async fn invoke(&self, class: Class, limit: u32, asker: &str) -> Result<(i64, i64, i64), redis::RedisError> {
        let mut connection = self.connected().await?;
        self.script
            .key(format!("{}:{}:{asker}", self.prefix, class.name()))
            .arg(limit)
            .arg(u64::try_from(WINDOW.as_micros()).unwrap_or(u64::MAX))
            .arg(Uuid::new_v4().simple().to_string())
            .invoke_async(&mut connection)
            .await
    }

    /// Whoever comes while a connection is made waits for it.
    async fn connected(&self) -> Result<ConnectionManager, redis::RedisError> {
        let mut link = self.link.lock().await;
        if let Some(connection) = &link.connection {
            return Ok(connection.clone());
        }
        if link.tried.is_some_and(|tried| tried.elapsed() < RECONNECT_PAUSE) {
            return Err((redis::ErrorKind::Io, "Redis was away a moment ago").into());
        }
        link.tried = Some(Instant::now());
        let connection = queue::connect(&self.redis_url).await?;
        link.connection = Some(connection.clone());
        Ok(connection)
    }

    async fn away(&self) {
        let mut link = self.link.lock().await;
        link.connection = None;
        if link.logged.is_none_or(|logged| logged.elapsed() >= LOG_PAUSE) {
            link.logged = Some(Instant::now());
            tracing::warn!("Redis is away: requests are not limited");
        }
    }
}

impl Standing {
    /// The problem of who asked too often.
    #[must_use]
    pub fn problem(&self) -> Response {
        let detail = format!("at most {} requests of this kind are allowed in {} s", self.limit, WINDOW.as_secs());
        let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).into_response();
        put(&mut response, "retry-after", &self.seconds().max(1).to_string());
        self.write(&mut response);
        response
    }

    /// The fields of draft-ietf-httpapi-ratelimit-headers.
    pub fn write(&self, response: &mut Response) {
        let name = self.class.name();
        put(response, "ratelimit-policy", &format!("\"{name}\";q={};w={}", self.limit, WINDOW.as_secs()));
        put(response, "ratelimit", &format!("\"{name}\";r={};t={}", self.remaining, self.seconds()));
    }

    fn seconds(&self) -> u64 {
        self.reset.as_secs().saturating_add(u64::from(self.reset.subsec_nanos() > 0))
    }
}

fn put(response: &mut Response, field: &'static str, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(field, value);
    }
}
