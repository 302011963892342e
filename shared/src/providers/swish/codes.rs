//! Swish's error codes in stable words. Swish's own code is kept as the `decline_code`.

use crate::domain::evidence::Failure;

/// Swish does not know whether the banks moved the money: a person must find out.
pub(super) const UNKNOWN: &str = "DS24";
/// The instruction was used before; refunds may say it as the second.
pub(super) const USED: [&str; 2] = ["RP09", "RF09"];

pub(super) fn failure(code: &str, message: Option<&str>) -> Failure {
    let (word, ours) = words(code);
    let message = message.filter(|text| !text.is_empty()).unwrap_or(ours);
    Failure { code: word.to_owned(), decline_code: Some(code.to_owned()), message: message.to_owned() }
}

/// The payer pressed *Decline*; Swish has no code for it.
pub(super) fn declined() -> Failure {
    Failure {
        code: "declined_by_payer".to_owned(),
        decline_code: None,
        message: "The payer declined the payment.".to_owned(),
    }
}

fn words(code: &str) -> (&'static str, &'static str) {
    match code {
        "RF07" => ("declined", "The bank declined it."),
        "BANKIDCL" => ("payer_canceled", "The payer canceled the signing with BankID."),
        "BANKIDONGOING" => ("bankid_in_use", "The payer's BankID is in use already."),
        "BANKIDUNKN" => ("bankid_failed", "BankID could not authorise it."),
        "FF10" => ("bank_error", "The bank could not process it."),
        "TM01" => ("expired", "The payer did not answer in time."),
        "VR01" => ("age_limit_not_met", "The payer is too young."),
        "VR02" => ("wrong_payer", "The payer is another person than expected."),
        "AM04" => ("insufficient_funds", "The money does not suffice."),
        "RP06" => ("payer_has_open_payment", "The payer has another open payment with this payee."),
        "ACMT03" => ("payer_not_enrolled", "The payer does not have Swish."),
        "ACMT01" => ("counterpart_not_activated", "The counterpart is not activated."),
        "ACMT07" => ("payee_not_enrolled", "The payee is not enrolled."),
        "ACMT17" | "BE18" => ("invalid_payer_alias", "The payer's number is not valid."),
        "AM02" => ("amount_too_large", "The amount is too large."),
        "AM06" => ("amount_too_small", "The amount is too small."),
        "RF02" => ("payment_not_refundable", "The payment is not known or older than 13 months."),
        "RF03" | "RF04" => ("other_payee", "The payment was to another payee."),
        "RF06" => ("payer_changed", "The payer's number has another owner now."),
        "RF08" => ("refund_exceeds_captured", "More than is left of the payment."),
        "RP07" => ("not_cancelable", "It cannot be canceled any more."),
        "RP08" => ("already_canceled", "It is canceled already."),
        _ => ("refused", "Swish refused it."),
    }
}
