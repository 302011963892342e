//! The client for Swish Commerce, over mutual TLS. Source: the merchant integration guide and the MSS user guide 2.0.
//!
//! - [`certificate`]: who we are: the client certificate, read, checked and renewed.
//! - `transport`: the way there, and what an answer means for the money.
//! - `payments`, `refunds`: the two resources.
//! - [`callback`]: what Swish tells us of itself, unsigned: a reason to ask, never an answer.
//! - [`amount`]: öre and Swish's decimals. `codes`: Swish's error codes in our words. [`app`]: the payer's app.
//!
//! The id of a request is ours (`instructionUUID`): an attempt's id in Swish's form. A `PUT` of an id that was used is
//! refused (`RP09`), so that sending again can never do it again; then a `GET` tells what became of it.

pub mod amount;
pub mod app;
pub mod callback;
pub mod certificate;
mod codes;
mod payments;
mod refunds;
mod transport;

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::ProviderError;
use super::breaker::Breakers;
use crate::domain::payment::ProviderName;
use crate::metrics::ProviderMetrics;
use certificate::{CertificateError, CertificateFiles, CertificateInfo};

pub use payments::PAYER_HAS;

/// Swish keeps no record of what it refused: until this long after the first try, another one may still arrive and be
/// taken. Longer than a lease and a call together.
pub const STILL_ON_ITS_WAY: Duration = Duration::from_secs(120);

/// How Swish is reached and who we are there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// With the trailing slash, for example `https://cpc.getswish.net/swish-cpcapi/api/`.
    pub base_url: Url,
    pub certificate: CertificateFiles,
    /// Our Swish number, ten digits that begin with 123. The certificate must be for it.
    pub payee_alias: String,
    /// Where Swish posts callbacks.
    pub callback_url: Url,
    /// What callback identifiers are made of.
    pub callback_secret: SecretString,
    /// For each call.
    pub timeout: Duration,
    /// So many failures in a row open the breaker. 0: never.
    pub breaker_failures: u32,
}

/// A client of one Swish number.
#[derive(Debug)]
pub struct Swish {
    transport: transport::Transport,
    payee_alias: String,
    callback_url: Url,
    callback_secret: SecretString,
}

#[derive(Debug, thiserror::Error)]
pub enum SwishSetupError {
    #[error("the Swish certificate")]
    Certificate(#[from] CertificateError),
    #[error("the HTTP client for Swish")]
    Client(#[from] reqwest::Error),
}

impl Swish {
    /// Reads and checks the certificate.
    ///
    /// # Errors
    /// A certificate that Swish would refuse, in words that a person can act on.
    pub fn new(settings: Settings, metrics: ProviderMetrics, now: DateTime<Utc>) -> Result<Self, SwishSetupError> {
        let Settings { base_url, certificate, payee_alias, callback_url, callback_secret, timeout, breaker_failures } =
            settings;
        let breakers = Breakers::new(ProviderName::Swish, breaker_failures, metrics);
        let transport = transport::Transport::new(&base_url, certificate, &payee_alias, timeout, breakers, now)?;
        Ok(Self { transport, payee_alias, callback_url, callback_secret })
    }

    /// The certificate in use.
    #[must_use]
    pub fn certificate(&self) -> CertificateInfo {
        self.transport.certificate()
    }

    /// Takes up the certificate's files if they have changed. Gives the new certificate, if it did.
    ///
    /// # Errors
    /// What is in the files cannot be used: the old certificate stays in use.
    pub fn renew_certificate(&self, now: DateTime<Utc>) -> Result<Option<CertificateInfo>, SwishSetupError> {
        self.transport.renew(&self.payee_alias, now)
    }

    /// What every request says of callbacks.
    fn callback(&self, instruction: &str, body: &mut serde_json::Map<String, Value>) {
        let identifier = callback::identifier(&self.callback_secret, instruction);
        body.insert("callbackUrl".to_owned(), self.callback_url.as_str().into());
        body.insert("callbackIdentifier".to_owned(), identifier.into());
    }
}

/// An id of ours as Swish writes it: 32 upper-case hexadecimal digits.
#[must_use]
pub fn instruction(key: &str) -> String {
    key.chars().filter(|c| *c != '-').map(|c| c.to_ascii_uppercase()).collect()
}

/// An object as Swish shows it; what we do not use is left out. Amounts come as numbers and are read as the literals
/// that they are.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    id: String,
    amount: Box<serde_json::value::RawValue>,
    currency: String,
    status: String,
    payer_alias: Option<String>,
    payment_reference: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    date_created: Option<String>,
}

impl Object {
    fn money(&self) -> Result<crate::domain::money::Money, ProviderError> {
        let minor = amount::parse(self.amount.get())
            .ok_or_else(|| transport::unreadable(format!("the amount {}", self.amount.get())))?;
        let currency = self.currency.parse().map_err(|_| transport::unreadable("an unknown currency"))?;
        Ok(crate::domain::money::Money { minor, currency })
    }

    /// `2019-02-12T14:22:21.610Z`, and the same with `+0100`.
    fn created_at(&self) -> Option<DateTime<Utc>> {
        let text = self.date_created.as_deref()?;
        let parsed = DateTime::parse_from_rfc3339(text)
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
            .ok()?;
        Some(parsed.to_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_ours_is_an_instruction() {
        let id = "01a21205-0000-7000-8000-00000000abcd";
        assert_eq!(instruction(id), "01A21205000070008000 00000000ABCD".replace(' ', ""));
    }

    #[test]
    fn an_object_is_read_in_all_the_forms_it_comes_in() {
        let read = |amount: &str, date: &str| {
            let text = format!(
                r#"{{"id":"A","amount":{amount},"currency":"SEK","status":"PAID","dateCreated":"{date}","extra":null}}"#
            );
            let object: Object = serde_json::from_str(&text).expect("an object");
            (object.money().expect("money").minor, object.created_at().expect("a time").timestamp())
        };
        assert_eq!(read("100.00", "2019-02-12T14:22:21.610Z"), (10_000, 1_549_981_341));
        assert_eq!(read("\"0.01\"", "2019-02-12T15:22:21.610+0100"), (1, 1_549_981_341));
        assert_eq!(read("7", "2019-02-12T15:22:21+01:00"), (700, 1_549_981_341));
    }
}
