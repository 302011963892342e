//! Who asks: bearer tokens (JWT), and where the keys that they are signed with come from.
//!
//! The service starts and stays up without the auth service: known keys keep working, unknown ones are asked for.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use poem::Request;
use poem::http::{Method, StatusCode, header};
use poem_openapi::SecurityScheme;
use poem_openapi::auth::Bearer;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use shared::domain::ids::UserId;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::config;
use crate::problem::Problem;
use crate::rate_limit::Class;
use crate::state::State;

/// The user that a token names.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", bearer_format = "JWT", rename = "bearer", checker = "user_of")]
pub struct User(pub Claims);

/// What we use of a token.
#[derive(Debug, Clone)]
pub struct Claims {
    pub id: UserId,
    pub email: Option<String>,
    pub name: Option<String>,
    /// Whether the token's `role` is `admin`, or its `is_super_admin` is true; a service's: whether it has the scope.
    pub is_admin: bool,
    /// A service's: what it may do.
    pub scopes: Option<Vec<String>>,
    /// Until when the token is good, in seconds since 1970.
    pub expires: i64,
}

#[derive(Deserialize)]
struct TokenClaims {
    sub: String,
    /// Seconds since 1970; RFC 7519 allows parts of them.
    exp: serde_json::Number,
    email: Option<String>,
    name: Option<String>,
    /// Other issuers put other things there than a text.
    role: Option<serde_json::Value>,
    #[serde(default)]
    is_super_admin: Option<bool>,
    /// Separated by spaces (RFC 8693). Only counts with the role `service`: users' tokens have scopes of other kinds.
    scope: Option<String>,
}

/// An administrator: the user of a token with the role `admin`, or with `is_super_admin`.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", bearer_format = "JWT", rename = "bearer", checker = "admin_of")]
pub struct Admin(pub Claims);

async fn admin_of(request: &Request, bearer: Bearer) -> poem::Result<Claims> {
    let claims = user_of(request, bearer).await?;
    if claims.is_admin {
        Ok(claims)
    } else {
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "this is for administrators").into())
    }
}

/// The envelope has found out already whose the token is.
async fn user_of(request: &Request, _: Bearer) -> poem::Result<Claims> {
    match request.data::<Authenticated>() {
        Some(Authenticated(Ok(claims))) => Ok(claims.clone()),
        Some(Authenticated(Err(problem))) => Err(problem.clone().into()),
        None => Err(Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", "there is no token").into()),
    }
}

/// What the token of a request says: found out once, before the operation, because the limiter needs it too.
#[derive(Clone)]
pub(crate) struct Authenticated(pub(crate) Result<Claims, Problem>);

impl Authenticated {
    /// `None`: the request has no bearer token.
    pub(crate) async fn of(state: &State, request: &Request) -> Option<Self> {
        let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        Some(Self(match state.verifier.verify(token.trim()).await {
            Ok(claims) => acting(claims, request),
            Err(problem) => Err(problem),
        }))
    }
}

/// Who a request acts for, and whether its token may do that. A token with the role `service` is a back end's: it does
/// what its scopes allow, for the user in `On-Behalf-Of`; what is for administrators it does for itself.
fn acting(claims: Claims, request: &Request) -> Result<Claims, Problem> {
    let forbidden = |code: &str, detail: String| Problem::new(StatusCode::FORBIDDEN, code, detail);
    let other = request.headers().get("on-behalf-of").map(|value| value.to_str().unwrap_or_default());
    let Some(scopes) = &claims.scopes else {
        return match other {
            None => Ok(claims),
            Some(other) if other == claims.id.0 => Ok(claims),
            Some(_) => Err(forbidden("forbidden", "only a service's token acts for others".to_owned())),
        };
    };
    let needed = scope_of(request.method(), request.uri().path());
    if !scopes.iter().any(|scope| scope == needed) {
        return Err(forbidden("insufficient_scope", format!("the token lacks the scope {needed}")));
    }
    match other {
        None if claims.is_admin && needed == "admin" => Ok(claims),
        // Without a word it would take money in its own name.
        None => {
            Err(Problem::invalid_parameter("On-Behalf-Of", "must be the id of the user that the back end acts for"))
        }
        Some(user) if (1..=255).contains(&user.len()) => {
            Ok(Claims { id: UserId(user.to_owned()), email: None, name: None, ..claims })
        }
        Some(_) => Err(Problem::invalid_parameter("On-Behalf-Of", "must be the id of a user")),
    }
}

/// The scope that a service's token needs for a request.
pub(crate) fn scope_of(method: &Method, path: &str) -> &'static str {
    if path.starts_with("/api/admin/") {
        "admin"
    } else if Class::of(method) == Class::Read {
        "payments:read"
    } else if path.starts_with("/api/refunds") {
        "refunds:write"
    } else {
        "payments:write"
    }
}

enum Source {
    None,
    DevelopmentSecret,
    PemFile(PathBuf),
    PemUrl(Url),
    Jwks(Url),
}

#[derive(Default)]
struct Keys {
    /// The key of tokens without `kid`, and of all tokens where there is just one key.
    only: Option<DecodingKey>,
    by_kid: HashMap<String, DecodingKey>,
    /// One more each time that the keys were fetched.
    generation: u64,
    /// The tokens that these keys have proved good, by their digest: checking a signature costs a tenth of a request.
    verified: HashMap<[u8; 32], Claims>,
}

pub struct Verifier {
    source: Source,
    validation: Validation,
    keys: RwLock<Keys>,
    refreshed: Mutex<Option<Instant>>,
    http: reqwest::Client,
}

/// A token with a key that we do not know makes us ask again, at most this often.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);
const REFRESH_PERIOD: Duration = Duration::from_secs(300);
const LEEWAY_SECONDS: u64 = 30;
/// As many tokens as are remembered; then all are forgotten.
const VERIFIED_MOST: usize = 10_000;
/// A JWKS or a PEM file is small; whatever is longer is something else.
const KEYS_BYTES_MAX: usize = 1_000_000;

impl Verifier {
    /// # Errors
    /// The TLS stack, or a PEM file that is there and holds no key.
    pub fn new(config: &config::Auth) -> anyhow::Result<Self> {
        let keys = &config.keys;
        let (source, algorithm, only) = if let Some(secret) = &keys.jwt_development_secret {
            tracing::warn!("tokens are checked with a shared secret: for development only");
            let key = DecodingKey::from_secret(secret.expose_secret().as_bytes());
            (Source::DevelopmentSecret, Algorithm::HS256, Some(key))
        } else if let Some(url) = &keys.jwt_jwks_url {
            (Source::Jwks(url.clone()), Algorithm::RS256, None)
        } else if let Some(url) = &keys.jwt_pem_url {
            (Source::PemUrl(url.clone()), Algorithm::RS256, None)
        } else if let Some(path) = &keys.jwt_pem_file {
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let key = DecodingKey::from_rsa_pem(&pem)
                .with_context(|| format!("{} holds no RSA public key in PEM", path.display()))?;
            (Source::PemFile(path.clone()), Algorithm::RS256, Some(key))
        } else {
            anyhow::bail!("none is configured");
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "sub"]);
        match &config.jwt_audience {
            Some(audience) => validation.set_audience(&[audience]),
            None => validation.validate_aud = false,
        }
        if let Some(issuer) = &config.jwt_issuer {
            validation.set_issuer(&[issuer]);
        }
        Ok(Self {
            source,
            validation,
            keys: RwLock::new(Keys { only, ..Keys::default() }),
            refreshed: Mutex::default(),
            http: reqwest::Client::builder().timeout(Duration::from_secs(3)).build()?,
        })
    }

    /// One that refuses every token.
    #[must_use]
    pub fn none() -> Self {
        Self {
            source: Source::None,
            validation: Validation::new(Algorithm::RS256),
            keys: RwLock::default(),
            refreshed: Mutex::default(),
            http: reqwest::Client::new(),
        }
    }

    async fn verify(&self, token: &str) -> Result<Claims, Problem> {
        let digest = Sha256::digest(token).into();
        if let Some(claims) = self.verified(&digest) {
            return Ok(claims);
        }
        let (claims, generation) = self.prove(token).await?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        // Not if the key may be gone by now.
        if keys.generation == generation {
            if keys.verified.len() >= VERIFIED_MOST {
                keys.verified.clear();
            }
            keys.verified.insert(digest, claims.clone());
        }
        Ok(claims)
    }

    fn verified(&self, digest: &[u8; 32]) -> Option<Claims> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.verified.get(digest).filter(|claims| claims.expires >= Utc::now().timestamp()).cloned()
    }

    /// What the token says, if it is good, and the generation of the keys that say so.
    async fn prove(&self, token: &str) -> Result<(Claims, u64), Problem> {
        let unauthorized = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", detail);
        let header = jsonwebtoken::decode_header(token).map_err(|_| unauthorized("the token cannot be read"))?;
        if !self.validation.algorithms.contains(&header.alg) {
            return Err(unauthorized("the token is signed with an algorithm that is not accepted"));
        }
        let mut key = self.key(header.kid.as_deref());
        if key.is_none() {
            self.refresh_if_due().await;
            key = self.key(header.kid.as_deref());
        }
        let Some((key, generation)) = key else {
            return Err(if self.has_keys() {
                unauthorized("the token is signed with a key that is not known")
            } else {
                let detail = "the keys to check tokens with cannot be had now; try again";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "auth_unavailable", detail)
            });
        };
        let claims = jsonwebtoken::decode::<TokenClaims>(token, &key, &self.validation)
            .map_err(|error| {
                if let ErrorKind::Json(wrong) = error.kind() {
                    return unauthorized(&format!("a claim of the token is missing or of a wrong kind: {wrong}"));
                }
                unauthorized(match error.kind() {
                    ErrorKind::ExpiredSignature => "the token has expired",
                    ErrorKind::ImmatureSignature => "the token is not valid yet",
                    ErrorKind::InvalidAudience => "the token is for another audience",
                    ErrorKind::InvalidIssuer => "the token is from another issuer",
                    ErrorKind::MissingRequiredClaim(_) => "the token lacks `exp` or `sub`",
                    _ => "the token's signature or form is wrong",
                })
            })?
            .claims;
        if claims.sub.is_empty() || claims.sub.len() > 255 || claims.sub.contains('\0') {
            return Err(unauthorized("the token's `sub` is empty or too long"));
        }
        let text = |text: Option<String>| text.filter(|text| text.len() <= 500 && !text.contains('\0'));
        let scopes: Option<Vec<String>> = (claims.role == Some("service".into()))
            .then(|| claims.scope.unwrap_or_default().split(' ').map(str::to_owned).collect());
        let is_admin = match &scopes {
            Some(scopes) => scopes.iter().any(|scope| scope == "admin"),
            None => claims.role == Some("admin".into()) || claims.is_super_admin == Some(true),
        };
        let claims = Claims {
            id: UserId(claims.sub),
            email: text(claims.email),
            name: text(claims.name),
            is_admin,
            scopes,
            expires: whole_seconds(&claims.exp) + i64::try_from(LEEWAY_SECONDS).unwrap_or(0),
        };
        Ok((claims, generation))
    }

    fn key(&self, kid: Option<&str>) -> Option<(DecodingKey, u64)> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.only.clone().or_else(|| keys.by_kid.get(kid?).cloned())?;
        Some((key, keys.generation))
    }

    fn has_keys(&self) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.only.is_some() || !keys.by_kid.is_empty()
    }

    /// Asks for the keys now and then, until the process ends.
    pub async fn refresh_for_ever(&self) {
        loop {
            self.refresh_if_due().await;
            tokio::time::sleep(if self.has_keys() { REFRESH_PERIOD } else { REFRESH_PAUSE }).await;
        }
    }

    /// Asks for the keys, unless that was just done. Keys that are known stay when the answer is of no use.
    async fn refresh_if_due(&self) {
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_some_and(|at| at.elapsed() < REFRESH_PAUSE) {
            return;
        }
        if let Err(error) = self.fetch_keys().await {
            tracing::warn!(error = format!("{error:#}"), "the keys for tokens were not renewed");
        }
        *refreshed = Some(Instant::now());
    }

    /// Asks for the keys, where they are somewhere else. Gives how many there are.
    ///
    /// # Errors
    /// They cannot be had, or are none; those that are known stay.
    pub(crate) async fn fetch_keys(&self) -> anyhow::Result<usize> {
        let keys = match &self.source {
            Source::None | Source::DevelopmentSecret => return Ok(0),
            Source::PemFile(path) => tokio::fs::read(path).await.context("the file").and_then(|pem| pem_keys(&pem)),
            Source::PemUrl(url) => self.fetch(url).await.and_then(|pem| pem_keys(&pem)),
            Source::Jwks(url) => self.fetch(url).await.and_then(|json| jwks_keys(&json)),
        }?;
        let number = keys.by_kid.len() + usize::from(keys.only.is_some());
        let mut known = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *known = Keys { generation: known.generation.wrapping_add(1), ..keys };
        Ok(number)
    }

    async fn fetch(&self, url: &Url) -> anyhow::Result<Vec<u8>> {
        let mut response = self.http.get(url.clone()).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            anyhow::ensure!(body.len() + chunk.len() <= KEYS_BYTES_MAX, "the answer is too long to be keys");
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn whole_seconds(number: &serde_json::Number) -> i64 {
    number.as_i64().or_else(|| number.to_string().split('.').next()?.parse().ok()).unwrap_or_default()
}

fn pem_keys(pem: &[u8]) -> anyhow::Result<Keys> {
    let key = DecodingKey::from_rsa_pem(pem).context("not an RSA public key in PEM")?;
    Ok(Keys { only: Some(key), ..Keys::default() })
}

fn jwks_keys(json: &[u8]) -> anyhow::Result<Keys> {
    let set: JwkSet = serde_json::from_slice(json).context("not a JWKS")?;
    let by_kid: HashMap<_, _> = set
        .keys
        .iter()
        .filter_map(|jwk| Some((jwk.common.key_id.clone()?, DecodingKey::from_jwk(jwk).ok()?)))
        .collect();
    anyhow::ensure!(!by_kid.is_empty(), "the JWKS has no usable key with a kid");
    Ok(Keys { by_kid, ..Keys::default() })
}
