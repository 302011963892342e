//! Payment requests and refunds, and how Swish writes them.

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Where a payment request or a refund stands. `CREATED` and `DEBITED` (refunds only) are not final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    Created,
    Debited,
    Paid,
    Declined,
    Error,
    Cancelled,
}

impl Status {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Debited => "DEBITED",
            Self::Paid => "PAID",
            Self::Declined => "DECLINED",
            Self::Error => "ERROR",
            Self::Cancelled => "CANCELLED",
        }
    }

    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Created | Self::Debited)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The instruction UUID.
    pub id: String,
    /// The CN of who asked for it: nobody else sees it.
    pub owner: String,
    /// Only of m-commerce.
    pub token: Option<String>,
    pub payee_payment_reference: Option<String>,
    /// The bank's; what a refund quotes. There once the request is final, however it ended.
    pub payment_reference: Option<String>,
    pub callback_url: String,
    pub callback_identifier: Option<String>,
    pub payer_alias: Option<String>,
    pub payer_ssn: Option<String>,
    pub age_limit: Option<u32>,
    pub payee_alias: String,
    /// In öre.
    pub amount: i64,
    pub currency: String,
    pub message: Option<String>,
    pub status: Status,
    /// In Unix milliseconds.
    pub created: i64,
    pub paid: Option<i64>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    /// Whether money moved, whatever the status says.
    pub moved: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// The instruction UUID.
    pub id: String,
    pub owner: String,
    /// The instruction UUID of the payment.
    pub payment: String,
    pub payment_reference: Option<String>,
    pub payer_payment_reference: Option<String>,
    pub original_payment_reference: String,
    pub callback_url: String,
    pub callback_identifier: Option<String>,
    /// The merchant.
    pub payer_alias: String,
    pub payee_alias: Option<String>,
    /// In öre.
    pub amount: i64,
    pub currency: String,
    pub message: Option<String>,
    pub status: Status,
    /// In Unix milliseconds.
    pub created: i64,
    pub paid: Option<i64>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    /// Whether money moved, whatever the status says.
    pub moved: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownPayment<'a> {
    id: &'a str,
    payee_payment_reference: &'a Option<String>,
    payment_reference: &'a Option<String>,
    callback_url: &'a str,
    callback_identifier: &'a Option<String>,
    payer_alias: &'a Option<String>,
    payee_alias: &'a str,
    amount: Box<RawValue>,
    currency: &'a str,
    message: &'a Option<String>,
    status: Status,
    date_created: String,
    date_paid: Option<String>,
    error_code: &'a Option<String>,
    error_message: &'a Option<String>,
    /// Control only.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRefund<'a> {
    id: &'a str,
    payment_reference: &'a Option<String>,
    payer_payment_reference: &'a Option<String>,
    original_payment_reference: &'a str,
    callback_url: &'a str,
    callback_identifier: &'a Option<String>,
    payer_alias: &'a str,
    payee_alias: &'a Option<String>,
    amount: Box<RawValue>,
    currency: &'a str,
    message: &'a Option<String>,
    status: Status,
    date_created: String,
    date_paid: Option<String>,
    error_code: &'a Option<String>,
    error_message: &'a Option<String>,
    additional_information: Option<String>,
}

impl Payment {
    /// The object as Swish answers with it and posts it.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.write(None)
    }

    /// With the token, which Swish tells only once.
    pub(super) fn to_control(&self) -> String {
        self.write(self.token.as_deref())
    }

    fn write(&self, token: Option<&str>) -> String {
        text(&ShownPayment {
            id: &self.id,
            payee_payment_reference: &self.payee_payment_reference,
            payment_reference: &self.payment_reference,
            callback_url: &self.callback_url,
            callback_identifier: &self.callback_identifier,
            payer_alias: &self.payer_alias,
            payee_alias: &self.payee_alias,
            amount: number(self.amount),
            currency: &self.currency,
            message: &self.message,
            status: self.status,
            date_created: date(self.created),
            date_paid: self.paid.map(date),
            error_code: &self.error_code,
            error_message: &self.error_message,
            token,
        })
    }
}

impl Refund {
    /// The object as Swish answers with it and posts it.
    #[must_use]
    pub fn to_json(&self) -> String {
        text(&ShownRefund {
            id: &self.id,
            payment_reference: &self.payment_reference,
            payer_payment_reference: &self.payer_payment_reference,
            original_payment_reference: &self.original_payment_reference,
            callback_url: &self.callback_url,
            callback_identifier: &self.callback_identifier,
            payer_alias: &self.payer_alias,
            payee_alias: &self.payee_alias,
            amount: number(self.amount),
            currency: &self.currency,
            message: &self.message,
            status: self.status,
            date_created: date(self.created),
            date_paid: self.paid.map(date),
            error_code: &self.error_code,
            error_message: &self.error_message,
            additional_information: None,
        })
    }

    /// Whether it uses up what can be refunded.
    pub(super) fn counts(&self) -> bool {
        self.status != Status::Error || self.moved
    }
}

fn text(shown: &impl Serialize) -> String {
    serde_json::to_string(shown).expect("texts and literals can be written")
}

/// `100.00`, from öre.
pub(super) fn decimal(amount: i64) -> String {
    format!("{}.{:02}", amount / 100, amount % 100)
}

fn number(amount: i64) -> Box<RawValue> {
    RawValue::from_string(decimal(amount)).expect("a decimal is a JSON number")
}

/// `2019-02-12T14:22:21.610Z`, from milliseconds.
pub(super) fn date(at: i64) -> String {
    DateTime::from_timestamp_millis(at).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The instruction UUID that is meant: dashes and case do not matter.
pub(super) fn plain(id: &str) -> String {
    id.replace('-', "").to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_dates_are_written_as_swish_writes_them() {
        assert_eq!(decimal(10_000), "100.00");
        assert_eq!(decimal(1), "0.01");
        assert_eq!(decimal(99_999_999_999_999), "999999999999.99");
        assert_eq!(number(10_050).get(), "100.50");
        assert_eq!(date(1_549_981_341_610), "2019-02-12T14:22:21.610Z");
    }
}
