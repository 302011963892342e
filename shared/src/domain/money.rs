//! Money: integer minor units and a currency. No float comes near it.

use std::fmt;
use std::str::FromStr;

/// A currency by its ISO 4217 code, in lower case on the wire and in the database (as Stripe writes it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

/// Three-decimal currencies: card networks settle them to two places, so the last digit must be 0.
const LAST_DIGIT_ZERO: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];
/// Currencies without fractions whose amounts Stripe still wants in hundredths, ending in 00.
const LAST_TWO_DIGITS_ZERO: [&str; 2] = ["isk", "ugx"];

impl Currency {
    /// The lower-case ISO 4217 code.
    #[must_use]
    pub fn code(self) -> String {
        self.0.code().to_ascii_lowercase()
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        iso_currency::Currency::from_code(&code.to_ascii_uppercase()).map(Self).ok_or(UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 4217 currency code")]
pub struct UnknownCurrency;

/// An amount of money in the currency's minor unit as Stripe counts it (JPY: yen, SEK: öre, KWD: fils, ISK: hundredths).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    pub minor: i64,
    pub currency: Currency,
}

/// The largest amount of one payment: twelve digits, the most that any card takes.
pub const AMOUNT_MAX: i64 = 999_999_999_999;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    #[error("must be between 1 and {AMOUNT_MAX}")]
    OutOfRange,
    #[error("must be a multiple of {0} in this currency")]
    NotAMultipleOf(i64),
}

impl Money {
    /// An amount that can be charged.
    ///
    /// # Errors
    /// Zero, negative or absurd amounts, and fractions that the currency does not have.
    pub fn chargeable(minor: i64, currency: Currency) -> Result<Self, InvalidAmount> {
        if !(1..=AMOUNT_MAX).contains(&minor) {
            return Err(InvalidAmount::OutOfRange);
        }
        let code = currency.code();
        let step = if LAST_DIGIT_ZERO.contains(&code.as_str()) {
            10
        } else if LAST_TWO_DIGITS_ZERO.contains(&code.as_str()) {
            100
        } else {
            1
        };
        if minor.checked_rem(step) != Some(0) {
            return Err(InvalidAmount::NotAMultipleOf(step));
        }
        Ok(Self { minor, currency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_follow_the_currency() {
        for (code, minor, ok) in [
            ("sek", 1, true),
            ("SEK", 100, true),
            ("jpy", 1, true),
            ("kwd", 1_230, true),
            ("kwd", 1_234, false),
            ("isk", 500, true),
            ("isk", 550, false),
            ("eur", 0, false),
            ("eur", -1, false),
            ("eur", i64::MAX, false),
        ] {
            let currency: Currency = code.parse().expect("a real code");
            assert_eq!(Money::chargeable(minor, currency).is_ok(), ok, "{minor} {code}");
        }
        for code in ["", "se", "sekk", "xyz", "ÅÄÖ"] {
            assert_eq!(code.parse::<Currency>(), Err(UnknownCurrency), "{code}");
        }
    }
}
