//! Health, for load balancers, and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use poem_openapi::payload::{Json, PlainText};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use shared::providers::chain;
use shared::{queue, store};

use crate::Tag;
use crate::problem::Problem;
use crate::state::State;

pub struct HealthApi {
    pub(crate) state: Arc<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum Condition {
    Ok,
    /// Not needed to accept requests: what it does is done later or slower.
    Degraded,
    Unavailable,
}

/// How the process and what it depends on are.
#[derive(Debug, Object)]
pub struct Health {
    pub status: Condition,
}

/// Whether requests can be accepted, and of each dependency how it is.
#[derive(Debug, Object)]
pub struct Readiness {
    pub status: Condition,
    pub postgres: Condition,
    pub redis: Condition,
}

#[derive(ApiResponse)]
pub enum ReadinessResponse {
    /// Requests are accepted.
    #[oai(status = 200)]
    Ready(Json<Readiness>),
    /// Requests cannot be stored.
    #[oai(status = 503)]
    NotReady(Json<Readiness>),
}

#[OpenApi]
impl HealthApi {
    /// Liveness
    ///
    /// Answers as long as the process can answer at all.
    #[oai(path = "/health", method = "get", tag = "Tag::Operations", operation_id = "get_health")]
    async fn live(&self) -> Json<Health> {
        Json(Health { status: Condition::Ok })
    }

    /// Readiness
    ///
    /// Ready means that Postgres answers and has the schema of this release, and that the process is not about to stop. Redis may be away: then jobs start later, and `redis` says `degraded`.
    #[oai(path = "/health/ready", method = "get", tag = "Tag::Operations", operation_id = "get_readiness")]
    async fn ready(&self) -> ReadinessResponse {
        let (postgres, redis) = tokio::join!(postgres_serves(&self.state), redis_answers(&self.state));
        self.state.noticed.postgres.notice("Postgres", postgres.as_ref().err());
        self.state.noticed.redis.notice("Redis", redis.as_ref().err());
        let (postgres, redis) = (postgres.is_ok(), redis.is_ok());
        let redis = if redis { Condition::Ok } else { Condition::Degraded };
        if postgres && !self.state.draining.load(Ordering::Relaxed) {
            ReadinessResponse::Ready(Json(Readiness { status: redis, postgres: Condition::Ok, redis }))
        } else {
            let postgres = if postgres { Condition::Ok } else { Condition::Unavailable };
            ReadinessResponse::NotReady(Json(Readiness { status: Condition::Unavailable, postgres, redis }))
        }
    }

    /// Metrics
    ///
    /// In the Prometheus text format.
    #[oai(path = "/metrics", method = "get", tag = "Tag::Operations", operation_id = "get_metrics")]
    async fn metrics(&self) -> Result<PlainText<String>, Problem> {
        let redis_up = redis_answers(&self.state).await.is_ok();
        let text = self.state.metrics.text(&self.state.db, redis_up, self.state.waiting.count()).await;
        text.map(PlainText).map_err(|error| {
            tracing::error!(%error, "the metrics cannot be written");
            Problem::new(poem::http::StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the fault is ours")
        })
    }
}

const PATIENCE: Duration = Duration::from_secs(1);

/// What was away when it was last looked for: its going and its coming back are logged, once.
#[derive(Default)]
pub(crate) struct Noticed {
    postgres: Away,
    redis: Away,
}

#[derive(Default)]
struct Away(AtomicBool);

impl Away {
    fn notice(&self, what: &str, error: Option<&String>) {
        let was = self.0.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !was => tracing::warn!(error, "{what} does not serve"),
            None if was => tracing::info!("{what} serves again"),
            _ => {}
        }
    }
}

/// Whether Postgres answers and has the schema of this release.
async fn postgres_serves(state: &State) -> Result<(), String> {
    let schema = store::has_schema(&state.db);
    match tokio::time::timeout(PATIENCE, schema).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(format!("its schema is older than {}: run payment-migrate", store::SCHEMA)),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

async fn redis_answers(state: &State) -> Result<(), String> {
    let ping = async {
        let mut connection = queue::connect(&state.redis_url).await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    match tokio::time::timeout(PATIENCE, ping).await {
        Ok(answer) => answer.map(drop).map_err(|error| chain(&error)),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}
