//! What amounts may be. Source: <https://docs.stripe.com/currencies>.

use super::error::StripeError;

/// The least that can be charged, of some currencies.
const AMOUNT_MIN: [(&str, i64); 8] =
    [("sek", 300), ("nok", 300), ("dkk", 250), ("usd", 50), ("eur", 50), ("gbp", 30), ("jpy", 50), ("chf", 50)];

const AMOUNT_MAX: i64 = 99_999_999_999;

/// An amount to be charged.
pub(crate) fn chargeable(amount: i64, currency: &str, param: &str) -> Result<(), StripeError> {
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.";
        return Err(StripeError::invalid("parameter_invalid_integer", Some(param), message));
    }
    whole(amount, currency, param)?;
    if AMOUNT_MIN.iter().any(|(code, least)| *code == currency && amount < *least) {
        let message = "The amount must be greater than or equal to the minimum charge amount.";
        return Err(StripeError::invalid("amount_too_small", Some(param), message));
    }
    if amount > AMOUNT_MAX {
        return Err(StripeError::invalid("amount_too_large", Some(param), "The amount is too large."));
    }
    Ok(())
}

/// Some currencies have fewer digits than Stripe counts.
pub(crate) fn whole(amount: i64, currency: &str, param: &str) -> Result<(), StripeError> {
    let (step, message) = match currency {
        "isk" | "ugx" => (100, "The amount must be divisible by 100."),
        "bhd" | "jod" | "kwd" | "omr" | "tnd" => (10, "The last digit of the amount must be 0."),
        _ => return Ok(()),
    };
    if amount % step == 0 {
        return Ok(());
    }
    let code = if step == 100 { "invalid_charge_amount_no_decimal_compatible" } else { "parameter_invalid_integer" };
    Err(StripeError::invalid(code, Some(param), message))
}
