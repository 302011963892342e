//! The way a request goes to Swish, and what an answer means for the money.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use tracing::Instrument as _;
use url::Url;

use super::certificate::{CertificateFiles, CertificateInfo, Contents};
use super::{Object, SwishSetupError, codes};
use crate::providers::breaker::Breakers;
use crate::providers::{CallError, ProviderError, http};

#[derive(Debug)]
pub(super) struct Transport {
    base_url: String,
    files: CertificateFiles,
    timeout: Duration,
    breakers: Breakers,
    in_use: RwLock<InUse>,
}

#[derive(Debug)]
struct InUse {
    http: reqwest::Client,
    contents: Contents,
    info: CertificateInfo,
}

/// A success as it came.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) token: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn object(&self) -> Result<Object, ProviderError> {
        serde_json::from_slice(&self.body).map_err(unreadable)
    }
}

/// A success that cannot be read: it was carried out, and we do not know as what.
pub(super) fn unreadable(what: impl std::fmt::Display) -> ProviderError {
    ProviderError::Unknown { source: CallError::Unreadable(what.to_string()), look_up: true }
}

impl Transport {
    pub(super) fn new(
        base_url: &Url,
        files: CertificateFiles,
        payee_alias: &str,
        timeout: Duration,
        breakers: Breakers,
        now: DateTime<Utc>,
    ) -> Result<Self, SwishSetupError> {
        let base_url = format!("{}/", base_url.as_str().trim_end_matches('/'));
        let in_use = RwLock::new(use_certificate(files.read()?, payee_alias, timeout, now)?);
        Ok(Self { base_url, files, timeout, breakers, in_use })
    }

    pub(super) fn certificate(&self) -> CertificateInfo {
        self.in_use.read().unwrap_or_else(PoisonError::into_inner).info.clone()
    }

    pub(super) fn renew(
        &self,
        payee_alias: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<CertificateInfo>, SwishSetupError> {
        let contents = self.files.read()?;
        if contents == self.in_use.read().unwrap_or_else(PoisonError::into_inner).contents {
            return Ok(None);
        }
        let new = use_certificate(contents, payee_alias, self.timeout, now)?;
        let info = new.info.clone();
        *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(Some(info))
    }

    /// `content_type` of the body. The answer, if it is a success.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Reply, ProviderError> {
        let pass = self.breakers.enter(&method, path)?;
        let answer = self.exchange(method, path, body).instrument(pass.span()).await;
        pass.ended(answer.as_ref().map(|_| "answered"));
        answer
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<(&str, &Value)>) -> Result<Reply, ProviderError> {
        let asks = method == Method::GET || method == Method::PATCH;
        let http = self.in_use.read().unwrap_or_else(PoisonError::into_inner).http.clone();
        let mut request = http.request(method, format!("{}{path}", self.base_url));
        if let Some((content_type, body)) = body {
            request = request.header("Content-Type", content_type).body(body.to_string());
        }
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // Headers came, the body did not: the request was taken.
        let body = response.bytes().await.map_err(|error| ProviderError::Unknown {
            source: CallError::Transport(error.without_url()),
            look_up: false,
        })?;
        if (200..300).contains(&status) {
            return Ok(Reply { status, token: header("PaymentRequestToken"), body: body.to_vec() });
        }
        let retry_after = header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
        match refusal(status, &body, retry_after) {
            // A place that takes new things is always there: whoever says this is not Swish.
            ProviderError::Rejected { failure, .. } if failure.code == NOT_FOUND && !asks => {
                let source = CallError::Status { status, code: failure.code, request_id: None };
                Err(ProviderError::Unknown { source, look_up: false })
            }
            error => Err(error),
        }
    }

    /// `GET` of an object. `None`: Swish has none of this id.
    pub(super) async fn fetch(&self, path: &str) -> Result<Option<Object>, ProviderError> {
        match self.send(Method::GET, path, None).await {
            Ok(reply) => reply.object().map(Some),
            Err(ProviderError::Rejected { failure, .. }) if failure.code == NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn use_certificate(
    contents: Contents,
    payee_alias: &str,
    timeout: Duration,
    now: DateTime<Utc>,
) -> Result<InUse, SwishSetupError> {
    let info = contents.check(payee_alias, now)?;
    let mut builder = http::builder(timeout).identity(reqwest::Identity::from_pem(&contents.identity())?);
    if let Some(ca) = &contents.ca {
        builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(ca)?);
    }
    Ok(InUse { http: builder.tls_version_min(reqwest::tls::Version::TLS_1_2).build()?, contents, info })
}

fn no_answer(error: reqwest::Error) -> ProviderError {
    let nothing_was_sent = error.is_connect() || error.is_builder();
    let source = CallError::Transport(error.without_url());
    if nothing_was_sent {
        ProviderError::NotSent { source, retry_after: None }
    } else {
        ProviderError::Unknown { source, look_up: false }
    }
}

/// The code of the failure that says that Swish has no object of the id.
const NOT_FOUND: &str = "not_found";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorEntry {
    error_code: String,
    error_message: Option<String>,
}

/// What a status other than 2xx means for the money. An error in Swish's words is an array, also of one.
fn refusal(status: u16, body: &[u8], retry_after: Option<Duration>) -> ProviderError {
    let entries: Option<Vec<ErrorEntry>> = serde_json::from_slice(body).ok();
    let first = entries.and_then(|entries| entries.into_iter().next());
    let code = first.as_ref().map_or_else(|| "none".to_owned(), |first| first.error_code.clone());
    let source = CallError::Status { status, code: code.clone(), request_id: None };
    match (status, first) {
        // Our certificate, or how often we ask: not about this request.
        (401 | 403 | 429, _) => ProviderError::NotSent { source, retry_after },
        (422, Some(_)) if codes::USED.contains(&code.as_str()) => ProviderError::Unknown { source, look_up: true },
        (404, first) if first.is_some() || body.is_empty() => {
            let mut failure = codes::failure(&code, None);
            NOT_FOUND.clone_into(&mut failure.code);
            ProviderError::Rejected { failure, param: None, request_id: None }
        }
        (400 | 422, Some(first)) => {
            let failure = codes::failure(&first.error_code, first.error_message.as_deref());
            ProviderError::Rejected { failure, param: None, request_id: None }
        }
        // Also a page of something that stands between us.
        _ => ProviderError::Unknown { source, look_up: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, body: &str) -> &'static str {
        match refusal(status, body.as_bytes(), None) {
            ProviderError::NotSent { .. } => "not_sent",
            ProviderError::Rejected { failure, .. } if failure.code == NOT_FOUND => "not_found",
            ProviderError::Rejected { .. } => "rejected",
            ProviderError::Unknown { look_up: false, .. } => "unknown",
            ProviderError::Unknown { look_up: true, .. } => "unknown: look up",
        }
    }

    #[test]
    fn each_status_says_what_is_known_about_the_money() {
        let error =
            |code: &str| format!(r#"[{{"errorCode":"{code}","errorMessage":"x","additionalInformation":null}}]"#);
        assert_eq!(verdict(422, &error("BE18")), "rejected");
        assert_eq!(verdict(422, &error("RP06")), "rejected");
        assert_eq!(verdict(422, &error("RP09")), "unknown: look up");
        assert_eq!(verdict(422, &error("RF09")), "unknown: look up");
        assert_eq!(verdict(422, "<html>"), "unknown");
        assert_eq!(verdict(400, ""), "unknown");
        assert_eq!(verdict(401, ""), "not_sent");
        assert_eq!(verdict(403, &error("PA01")), "not_sent");
        assert_eq!(verdict(404, ""), "not_found");
        assert_eq!(verdict(404, &error("RP04")), "not_found");
        assert_eq!(verdict(404, "<html>"), "unknown", "a gateway's words are not Swish's");
        assert_eq!(verdict(415, ""), "unknown");
        assert_eq!(verdict(429, ""), "not_sent");
        assert_eq!(verdict(500, ""), "unknown");
        assert_eq!(verdict(504, ""), "unknown");
        assert_eq!(verdict(302, ""), "unknown");
    }
}
