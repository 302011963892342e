//! Stripe's test payment methods, and two of our own. Source: <https://docs.stripe.com/testing>.

use serde_json::{Value, json};

use super::error::doc_url;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pays,
    /// The payer must authenticate first.
    Authenticates,
    /// The same, but not when the payer is away and the card was set up before.
    AuthenticatesUnlessSetUp,
    /// `code`, `decline_code`.
    Declines(&'static str, &'static str),
    /// Can be attached, but does not pay.
    DeclinesLater,
    /// The bank takes its time.
    Processes,
}

/// What becomes of refunds to the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refunds {
    Succeed,
    /// Look fine, then fail.
    Fail,
    /// Take their time, then succeed.
    Pend,
    /// The payer must do something.
    RequireAction,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Card {
    pub(crate) outcome: Outcome,
    pub(crate) refunds: Refunds,
    pub(crate) disputed: bool,
    pub(crate) brand: &'static str,
    pub(crate) last4: &'static str,
}

const fn visa(outcome: Outcome, last4: &'static str) -> Card {
    Card { outcome, refunds: Refunds::Succeed, disputed: false, brand: "visa", last4 }
}

const fn declines(code: &'static str, decline_code: &'static str, last4: &'static str) -> Card {
    visa(Outcome::Declines(code, decline_code), last4)
}

/// What a test payment method does. `None`: there is no such method.
pub(crate) fn card(token: &str) -> Option<Card> {
    let pays = visa(Outcome::Pays, "4242");
    Some(match token {
        "pm_card_visa" => pays,
        "pm_card_visa_debit" => Card { last4: "5556", ..pays },
        "pm_card_mastercard" => Card { brand: "mastercard", last4: "4444", ..pays },
        "pm_card_amex" => Card { brand: "amex", last4: "8431", ..pays },
        "pm_card_authenticationRequired" => visa(Outcome::Authenticates, "3155"),
        "pm_card_threeDSecure2Required" => visa(Outcome::Authenticates, "3220"),
        "pm_card_authenticationRequiredOnSetup" => visa(Outcome::AuthenticatesUnlessSetUp, "3155"),
        "pm_card_chargeDeclined" => declines("card_declined", "generic_decline", "0002"),
        "pm_card_chargeDeclinedInsufficientFunds" => declines("card_declined", "insufficient_funds", "9995"),
        "pm_card_chargeDeclinedLostCard" => declines("card_declined", "lost_card", "9987"),
        "pm_card_chargeDeclinedStolenCard" => declines("card_declined", "stolen_card", "9979"),
        "pm_card_chargeDeclinedExpiredCard" => declines("expired_card", "expired_card", "0069"),
        "pm_card_chargeDeclinedIncorrectCvc" => declines("incorrect_cvc", "incorrect_cvc", "0127"),
        "pm_card_chargeDeclinedProcessingError" => declines("processing_error", "processing_error", "0119"),
        "pm_card_chargeCustomerFail" => visa(Outcome::DeclinesLater, "0341"),
        "pm_card_refundFail" => Card { refunds: Refunds::Fail, last4: "5126", ..pays },
        "pm_card_pendingRefund" => Card { refunds: Refunds::Pend, last4: "7726", ..pays },
        "pm_card_createDispute" => Card { disputed: true, last4: "0259", ..pays },
        "pm_simulated_processing" => visa(Outcome::Processes, "1111"),
        "pm_simulated_refund_requires_action" => Card { refunds: Refunds::RequireAction, last4: "1129", ..pays },
        _ => return None,
    })
}

/// The `last_payment_error` of a decline.
pub(crate) fn decline(code: &str, decline_code: &str, charge: Option<&str>) -> Value {
    let message = match code {
        "authentication_required" => "Your card was declined. This transaction requires authentication.",
        "expired_card" => "Your card has expired.",
        "incorrect_cvc" => "Your card's security code is incorrect.",
        "processing_error" => "An error occurred while processing your card. Try again in a little bit.",
        _ => "Your card was declined.",
    };
    let mut error = json!({
        "type": "card_error",
        "code": code,
        "decline_code": decline_code,
        "message": message,
        "doc_url": doc_url(code),
    });
    if let Some(charge) = charge {
        error["charge"] = charge.into();
    }
    error
}
