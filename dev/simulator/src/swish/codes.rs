//! Swish's error codes.

use poem::http::StatusCode;
use serde_json::json;

/// What `message` can ask for at the create of a payment request.
pub(super) const PAYMENT_AT_ONCE: [&str; 18] = [
    "FF08", "RP03", "BE18", "RP01", "PA02", "AM06", "AM02", "AM03", "RP02", "RP06", "RP09", "ACMT03", "ACMT01",
    "ACMT07", "ACMT17", "UNKW", "PA01", "PA08",
];
/// The same for a refund.
pub(super) const REFUND_AT_ONCE: [&str; 19] = [
    "FF08", "RP03", "PA02", "AM06", "AM02", "AM03", "RP02", "ACMT01", "ACMT07", "UNKW", "PA01", "RP01", "RF08", "RF02",
    "RF03", "RF04", "RF06", "RF09", "BE18",
];
/// What a payment can end with.
pub(super) const PAYMENT_LATER: [&str; 10] =
    ["RF07", "BANKIDCL", "BANKIDONGOING", "BANKIDUNKN", "FF10", "TM01", "DS24", "AM04", "VR01", "VR02"];
/// What a refund can end with.
pub(super) const REFUND_LATER: [&str; 5] = ["RF07", "BANKIDCL", "FF10", "DS24", "AM04"];
/// Told at once in e-commerce, and later in m-commerce.
pub(super) const AGE: [&str; 2] = ["VR01", "VR02"];

/// One entry of an error answer.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub(super) code: String,
    pub(super) information: Option<String>,
}

impl ApiError {
    pub(super) fn new(code: &str) -> Self {
        Self { code: code.to_owned(), information: None }
    }

    pub(super) fn with(code: &str, information: String) -> Self {
        Self { code: code.to_owned(), information: Some(information) }
    }

    /// The status of an answer that consists of this.
    pub(super) fn status(&self) -> StatusCode {
        match self.code.as_str() {
            "PA01" => StatusCode::FORBIDDEN,
            "RP04" => StatusCode::NOT_FOUND,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

/// The array that every error answer is.
pub(super) fn body(errors: &[ApiError]) -> String {
    let entry = |error: &ApiError| {
        json!({
            "errorCode": error.code,
            "errorMessage": message(&error.code),
            "additionalInformation": error.information,
        })
    };
    serde_json::Value::from(errors.iter().map(entry).collect::<Vec<_>>()).to_string()
}

pub(super) fn message(code: &str) -> &'static str {
    match code {
        "FF08" => "Payment Reference is invalid",
        "RP03" => "Callback URL is missing or does not use Https",
        "BE18" => "Payer alias is invalid",
        "RP01" => "Missing Merchant Swish Number",
        "PA02" => "Amount value is missing or not a valid number",
        "AM06" => "Specified transaction amount is less than agreed minimum",
        "AM02" => "Amount value is too large",
        "AM03" => "Invalid or missing Currency",
        "RP02" => "Wrong formatted message",
        "RP04" => "No payment request found related to a token",
        "RP06" => "Another active PaymentRequest already exists for this payerAlias",
        "RP07" => "The payment request can not be cancelled.",
        "RP09" => "The given instructionUUID is not available",
        "ACMT03" => "Payer not Enrolled",
        "ACMT01" => "Counterpart is not activated",
        "ACMT07" => "Payee not Enrolled",
        "ACMT17" => "Invalid Swish number",
        "UNKW" => "The Technical Supplier is not active",
        "VR01" => "Payer does not meet age limit",
        "VR02" => "The payer alias in the request is not enrolled with the supplied ssn",
        "PA01" => "Parameter is not correct.",
        "PA08" => "Age limit is invalid",
        "RF02" => "Original Payment not found or original payment is more than 13 months old",
        "RF03" => "Payer alias in the refund does not match the payee alias in the original payment",
        "RF04" => "Payer organization number do not match original payment payee organization number",
        "RF06" => "The Payer SSN in the original payment is not the same as the SSN for the current Payee",
        "RF07" => "Transaction declined",
        "RF08" => {
            "Amount value is too large, or amount exceeds the amount of the original payment minus earlier refunds"
        }
        "RF09" => "Refund already in progress",
        "BANKIDCL" => "Payer cancelled BankID signing",
        "BANKIDONGOING" => "BankID already in use",
        "BANKIDUNKN" => "BankID are not able to authorize the payment",
        "FF10" => "Bank system processing error",
        "TM01" => "Swish timed out before the payment was started",
        "DS24" => "Swish timed out waiting for an answer from the banks after payment was started",
        "AM04" => "Insufficient funds in account",
        _ => "",
    }
}
