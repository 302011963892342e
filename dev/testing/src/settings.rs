//! What a test's API is started with.

use api::config::{Auth, RateLimits};
use ipnet::IpNet;

use crate::{JWT_SECRET, database};

pub struct Settings {
    pub auth: Auth,
    pub redis_url: String,
    /// None, unless a test wants some.
    pub rate_limits: RateLimits,
    pub trusted_proxies: Vec<IpNet>,
    /// Where Stripe sends events. None: to the API of the test.
    pub webhook_url: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth: development_auth(),
            redis_url: database::redis_url(),
            rate_limits: RateLimits::default(),
            trusted_proxies: Vec::new(),
            webhook_url: None,
        }
    }
}

#[must_use]
pub fn development_auth() -> Auth {
    Auth {
        keys: api::config::Keys {
            jwt_jwks_url: None,
            jwt_pem_url: None,
            jwt_pem_file: None,
            jwt_development_secret: Some(JWT_SECRET.into()),
        },
        jwt_issuer: None,
        jwt_audience: None,
    }
}

pub(crate) fn common(database_url: &str, redis_url: &str, queue_prefix: &str) -> shared::config::Common {
    shared::config::Common {
        database_url: database_url.into(),
        redis_url: redis_url.into(),
        queue_prefix: queue_prefix.to_owned(),
        database_connections_max: 8,
        log_format: shared::telemetry::LogFormat::Text,
        otel_exporter_otlp_endpoint: None,
        log_filter: "warn".to_owned(),
    }
}
