//! Stripe's test payment methods. Source: <https://docs.stripe.com/testing>.

use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Card {
    Pays,
    /// The payer must authenticate first.
    Authenticates,
    /// `code`, `decline_code`.
    Declines(&'static str, &'static str),
}

/// What a test payment method does. `None`: there is no such method.
pub(crate) fn card(payment_method: &str) -> Option<Card> {
    Some(match payment_method {
        "pm_card_visa" | "pm_card_mastercard" | "pm_card_amex" => Card::Pays,
        "pm_card_authenticationRequired" | "pm_card_threeDSecure2Required" => Card::Authenticates,
        "pm_card_chargeDeclined" => Card::Declines("card_declined", "generic_decline"),
        "pm_card_chargeDeclinedInsufficientFunds" => Card::Declines("card_declined", "insufficient_funds"),
        "pm_card_chargeDeclinedLostCard" => Card::Declines("card_declined", "lost_card"),
        "pm_card_chargeDeclinedStolenCard" => Card::Declines("card_declined", "stolen_card"),
        "pm_card_chargeDeclinedExpiredCard" => Card::Declines("expired_card", "expired_card"),
        "pm_card_chargeDeclinedIncorrectCvc" => Card::Declines("incorrect_cvc", "incorrect_cvc"),
        "pm_card_chargeDeclinedProcessingError" => Card::Declines("processing_error", "processing_error"),
        _ => return None,
    })
}

/// The `last_payment_error` of a decline.
pub(crate) fn decline(code: &str, decline_code: &str, charge: Option<&str>) -> Value {
    let mut error = json!({
        "type": "card_error",
        "code": code,
        "decline_code": decline_code,
        "message": "Your card was declined.",
        "doc_url": format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-")),
    });
    if let Some(charge) = charge {
        error["charge"] = charge.into();
    }
    error
}
