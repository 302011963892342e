//! The body of a create, field by field. All that is wrong is collected, as Swish does.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use url::{Host, Url};

use super::codes::ApiError;

pub(super) struct Fields {
    values: BTreeMap<String, Box<RawValue>>,
    pub(super) errors: Vec<ApiError>,
}

impl Fields {
    /// # Errors
    /// The body is no JSON object, or has a field that does not exist: what is wrong.
    pub(super) fn parse(body: &[u8], known: &[&str]) -> Result<Self, String> {
        let values: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(body).map_err(|error| format!("malformed JSON: {error}"))?;
        match values.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(format!("unknown field `{name}`")),
            None => Ok(Self { values, errors: Vec::new() }),
        }
    }

    pub(super) fn wrong(&mut self, code: &str) {
        self.errors.push(ApiError::new(code));
    }

    /// A text that may be left out; `null` and the empty text are not left out.
    pub(super) fn optional(&mut self, name: &str, code: &str, valid: impl Fn(&str) -> bool) -> Option<String> {
        let value = self.values.get(name)?;
        let found = serde_json::from_str::<String>(value.get()).ok().filter(|text| valid(text));
        if found.is_none() {
            self.wrong(code);
        }
        found
    }

    /// A text that must be there. If it is not, what is returned is empty and the code is noted.
    pub(super) fn required(&mut self, name: &str, code: &str, valid: impl Fn(&str) -> bool) -> String {
        if !self.values.contains_key(name) {
            self.wrong(code);
        }
        self.optional(name, code, valid).unwrap_or_default()
    }

    /// The literal of a text or of a number.
    fn literal(&self, name: &str) -> Option<String> {
        let value = self.values.get(name)?.get();
        serde_json::from_str::<String>(value).ok().or_else(|| Some(value.to_owned()))
    }

    /// In öre.
    pub(super) fn amount(&mut self) -> i64 {
        let amount = self.literal("amount").as_deref().map_or(Err("PA02"), minor_units);
        amount.unwrap_or_else(|code| {
            self.wrong(code);
            0
        })
    }

    pub(super) fn age_limit(&mut self) -> Option<u32> {
        let literal = self.literal("ageLimit")?;
        let age = literal.parse().ok().filter(|age| (1..100).contains(age) && literal.len() <= 2);
        if age.is_none() {
            self.wrong("PA08");
        }
        age
    }

    pub(super) fn currency(&mut self) -> String {
        self.required("currency", "AM03", |text| text == "SEK")
    }

    /// Swish documents no code for it.
    pub(super) fn callback_identifier(&mut self) -> Result<Option<String>, String> {
        self.uncoded("callbackIdentifier", |text| {
            (32..=36).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
    }

    /// A text that may be left out and has no code for being wrong.
    pub(super) fn uncoded(&mut self, name: &str, valid: impl Fn(&str) -> bool) -> Result<Option<String>, String> {
        let before = self.errors.len();
        let found = self.optional(name, "", valid);
        if self.errors.len() > before {
            return Err(format!("`{name}` is malformed"));
        }
        Ok(found)
    }
}

/// From a decimal with at most two decimals, without a sign or an exponent; or the code for what is wrong.
fn minor_units(text: &str) -> Result<i64, &'static str> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 2 {
        return Err("PA02");
    }
    if whole.trim_start_matches('0').len() > 12 {
        return Err("AM02");
    }
    let amount: i64 = format!("{whole}{decimals:0<2}").parse().map_err(|_| "AM02")?;
    if amount == 0 { Err("AM06") } else { Ok(amount) }
}

/// 1 to 35 letters, digits and dashes: what every version of the documentation allows.
pub(super) fn is_reference(text: &str) -> bool {
    (1..=35).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// At most 50 letters, digits, spaces and `:;.,?!()`: what every version of the documentation allows.
pub(super) fn is_message(text: &str) -> bool {
    let allowed =
        |letter: char| letter.is_ascii_alphanumeric() || "åäöÅÄÖ".contains(letter) || " :;.,?!()".contains(letter);
    (1..=50).contains(&text.chars().count()) && text.chars().all(allowed)
}

/// A telephone number with its country code, 8 to 15 digits.
pub(super) fn is_payer(text: &str) -> bool {
    (8..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0')
}

/// A merchant's Swish number: ten digits that begin with 123.
pub(super) fn is_swish_number(text: &str) -> bool {
    text.len() == 10 && text.starts_with("123") && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Https; on this machine, and by a name that only a private network knows, http as well.
pub(super) fn is_callback_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Domain(name))) => !name.contains('.'),
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_plain_decimal() {
        let good = [("100", 10_000), ("100.5", 10_050), ("0.01", 1), ("999999999999.99", 99_999_999_999_999)];
        for (text, amount) in good {
            assert_eq!(minor_units(text), Ok(amount), "{text}");
        }
        for text in ["", ".", "1.", ".5", "1,00", "1.001", "-1", "+1", "1e2", " 1", "null", "{}"] {
            assert_eq!(minor_units(text), Err("PA02"), "{text}");
        }
        assert_eq!(minor_units("0.00"), Err("AM06"));
        assert_eq!(minor_units("1000000000000"), Err("AM02"));
    }
}
