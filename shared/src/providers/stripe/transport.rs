//! The way a request goes to Stripe and what an answer means for the money.
//!
//! Requests are async-stripe's where it has a part that we use, and forms by Stripe's names otherwise; answers are read
//! by the readers beside this file. Not async-stripe's own client: that one opens a connection for each call, has no timeout, invents idempotency
//! keys and hides the headers that say whether a retry makes sense.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use stripe_client_core::{RequestBuilder, StripeMethod};
use tracing::Instrument as _;

use crate::domain::evidence::Failure;
use crate::domain::payment::ProviderName;
use crate::metrics::ProviderMetrics;
use crate::providers::breaker::Breakers;
use crate::providers::{CallError, ProviderError, http};

#[derive(Debug)]
pub(super) struct Transport {
    http: reqwest::Client,
    base_url: String,
    api_key: SecretString,
    breakers: Breakers,
}

impl Transport {
    pub(super) fn new(
        base_url: &url::Url,
        api_key: SecretString,
        timeout: Duration,
        breaker_failures: u32,
        metrics: ProviderMetrics,
    ) -> reqwest::Result<Self> {
        let base_url = base_url.as_str().trim_end_matches('/').to_owned();
        let breakers = Breakers::new(ProviderName::Stripe, breaker_failures, metrics);
        Ok(Self { http: http::client(timeout)?, base_url, api_key, breakers })
    }

    /// A single call: remembers the request id of the answer.
    pub(super) fn call(&self) -> Call<'_> {
        Call { transport: self, request_id: Mutex::default() }
    }
}

pub(super) struct Call<'a> {
    transport: &'a Transport,
    request_id: Mutex<Option<String>>,
}

impl Call<'_> {
    pub(super) fn request_id(self) -> Option<String> {
        self.request_id.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came instead of the object that was asked for.
#[derive(Debug)]
pub(super) enum Refusal {
    /// 402: the request was carried out and the payment was declined. Holds Stripe's whole `error` object.
    Declined {
        error: serde_json::Value,
        request_id: Option<String>,
    },
    Error(ProviderError),
}

/// A success that cannot be parsed: it was carried out, and we do not know as what.
pub(super) fn unreadable(what: impl std::fmt::Display) -> ProviderError {
    ProviderError::Unknown { source: CallError::Unreadable(what.to_string()), look_up: true }
}

impl Call<'_> {
    /// A request that async-stripe made. Gives the answer's JSON.
    pub(super) async fn request(&self, request: RequestBuilder, key: Option<&str>) -> Result<Value, Refusal> {
        let query = request.query.map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{query}", request.path);
        let method = match request.method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Post => Method::POST,
            StripeMethod::Delete => Method::DELETE,
        };
        self.send(method, &path, request.body, key).await
    }

    /// A request of which async-stripe has no part that we use. `form`: pairs by Stripe's bracketed names; of a GET
    /// they are the query. Gives the answer's JSON.
    pub(super) async fn form(
        &self,
        method: Method,
        path: &str,
        form: &[(String, String)],
        key: Option<&str>,
    ) -> Result<Value, Refusal> {
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        match method {
            Method::POST => self.send(method, path, Some(encoded), key).await,
            _ if encoded.is_empty() => self.send(method, path, None, key).await,
            _ => self.send(method, &format!("{path}?{encoded}"), None, key).await,
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        key: Option<&str>,
    ) -> Result<Value, Refusal> {
        let pass = self.transport.breakers.enter(&method, path).map_err(Refusal::Error)?;
        let answer = self.exchange(method, path, body, key).instrument(pass.span()).await;
        pass.ended(match &answer {
            Ok(_) => Ok("answered"),
            Err(Refusal::Declined { .. }) => Ok("declined"),
            Err(Refusal::Error(error)) => Err(error),
        });
        answer
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        key: Option<&str>,
    ) -> Result<Value, Refusal> {
        let mut builder = self
            .transport
            .http
            .request(method, format!("{}/v1{path}", self.transport.base_url))
            .bearer_auth(self.transport.api_key.expose_secret())
            .header("Stripe-Version", super::api_version());
        if let Some(key) = key {
            builder = builder.header("Idempotency-Key", key);
        }
        if let Some(body) = body {
            builder = builder.header("Content-Type", "application/x-www-form-urlencoded").body(body);
        }
        let response = builder.send().await.map_err(no_answer)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let request_id = header(&headers, "request-id").map(str::to_owned);
        self.request_id.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&request_id);
        // Headers came, the body did not: the request was taken.
        let body = response.bytes().await.map_err(|error| {
            Refusal::Error(ProviderError::Unknown { source: CallError::Transport(error.without_url()), look_up: false })
        })?;
        if !(200..300).contains(&status) {
            return Err(refusal(status, &headers, &body, request_id));
        }
        serde_json::from_slice(&body).map_err(|error| Refusal::Error(unreadable(error)))
    }
}

fn no_answer(error: reqwest::Error) -> Refusal {
    let nothing_was_sent = error.is_connect() || error.is_builder();
    // Ids in the path are no secrets, but a URL says nothing that the operation does not.
    let source = CallError::Transport(error.without_url());
    Refusal::Error(if nothing_was_sent {
        ProviderError::NotSent { source, retry_after: None }
    } else {
        ProviderError::Unknown { source, look_up: false }
    })
}

#[derive(Deserialize)]
struct ErrorBody {
    error: serde_json::Value,
}

/// What a status other than 2xx means for the money.
/// Source: <https://docs.stripe.com/error-low-level> and the retry rule that Stripe's own libraries share.
fn refusal(status: u16, headers: &HeaderMap, body: &[u8], request_id: Option<String>) -> Refusal {
    let error = serde_json::from_slice::<ErrorBody>(body).map(|body| body.error).unwrap_or_default();
    let text = |key: &str| error.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    let kind = text("type").unwrap_or_default();
    let code = text("code").or_else(|| text("type")).unwrap_or_else(|| format!("http_{status}"));
    let replayed = header(headers, "idempotent-replayed") == Some("true");
    let do_not_retry = header(headers, "stripe-should-retry") == Some("false");
    let retry_after = header(headers, "retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs);
    let source = CallError::Status { status, code: code.clone(), request_id: request_id.clone() };
    match status {
        402 => Refusal::Declined { error, request_id },
        // Before the request was carried out: a wrong key, or too many requests.
        401 | 403 | 429 => Refusal::Error(ProviderError::NotSent { source, retry_after }),
        // The key was used with other parameters: something was done under it, and we cannot say what.
        400 if kind == "idempotency_error" => Refusal::Error(ProviderError::Unknown { source, look_up: true }),
        // 409: the first request under this key is still running. 424: a third party did not answer Stripe.
        409 | 424 => Refusal::Error(ProviderError::Unknown { source, look_up: false }),
        // Not in Stripe's words: something on the way answered, and nobody knows what Stripe did.
        400..500 if kind.is_empty() => Refusal::Error(ProviderError::Unknown { source, look_up: false }),
        400..500 => Refusal::Error(ProviderError::Rejected {
            failure: Failure {
                code,
                decline_code: None,
                message: text("message").unwrap_or_else(|| format!("the provider answered {status}")),
            },
            param: text("param"),
            request_id,
        }),
        _ => Refusal::Error(ProviderError::Unknown { source, look_up: replayed || do_not_retry }),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `not_sent`, `declined`, `rejected`, `unknown`, or `unknown: look up`.
    fn verdict(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> &'static str {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (name.parse::<reqwest::header::HeaderName>().expect("a name"), value.parse().expect("a value"))
            })
            .collect();
        match refusal(status, &headers, body.as_bytes(), None) {
            Refusal::Declined { .. } => "declined",
            Refusal::Error(ProviderError::NotSent { .. }) => "not_sent",
            Refusal::Error(ProviderError::Rejected { .. }) => "rejected",
            Refusal::Error(ProviderError::Unknown { look_up: false, .. }) => "unknown",
            Refusal::Error(ProviderError::Unknown { look_up: true, .. }) => "unknown: look up",
        }
    }

    #[test]
    fn each_status_says_what_is_known_about_the_money() {
        let bad_parameter = r#"{"error":{"type":"invalid_request_error","code":"amount_too_small"}}"#;
        let other_parameters = r#"{"error":{"type":"idempotency_error"}}"#;
        assert_eq!(verdict(400, &[], bad_parameter), "rejected");
        assert_eq!(verdict(404, &[], bad_parameter), "rejected");
        assert_eq!(verdict(400, &[], other_parameters), "unknown: look up");
        assert_eq!(verdict(401, &[], "{}"), "not_sent");
        assert_eq!(verdict(403, &[], "{}"), "not_sent");
        assert_eq!(verdict(402, &[], "{}"), "declined");
        assert_eq!(verdict(409, &[], "{}"), "unknown");
        assert_eq!(verdict(424, &[], "{}"), "unknown");
        assert_eq!(verdict(429, &[("retry-after", "3")], "{}"), "not_sent");
        assert_eq!(verdict(500, &[], "<html>"), "unknown");
        assert_eq!(verdict(502, &[], "<html>"), "unknown");
        assert_eq!(verdict(500, &[("stripe-should-retry", "false")], "{}"), "unknown: look up");
        assert_eq!(verdict(500, &[("idempotent-replayed", "true")], "{}"), "unknown: look up");
        assert_eq!(verdict(302, &[], ""), "unknown");
        assert_eq!(verdict(404, &[], "<html>"), "unknown", "a gateway's words are not Stripe's");
        assert_eq!(verdict(413, &[], "{}"), "unknown");
    }
}
