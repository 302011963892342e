//! Öre and the decimals that Swish writes. No float on the way.

/// `10000` öre are `"100.00"`.
#[must_use]
pub fn format(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let minor = minor.unsigned_abs();
    format!("{sign}{}.{:02}", minor / 100, minor % 100)
}

/// Öre from the JSON of an amount: `100.00`, `100`, `100.5` or the same as a text. `None`: anything else, also a third
/// decimal that is not zero.
#[must_use]
pub fn parse(json: &str) -> Option<i64> {
    let text = json.trim();
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
        return None;
    }
    let (ore, rest) = fraction.split_at(fraction.len().min(2));
    if rest.bytes().any(|b| b != b'0') {
        return None;
    }
    let ore: i64 = format!("{ore:0<2}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(ore)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for minor in [0, 1, 9, 10, 99, 100, 101, 12_345, 999_999_999_999, 99_999_999_999_999] {
            assert_eq!(parse(&format(minor)), Some(minor));
        }
        assert_eq!(format(5), "0.05");
        assert_eq!(format(19_900), "199.00");
        for (text, minor) in [("100", 10_000), ("100.5", 10_050), ("\"100.00\"", 10_000), ("1.230", 123), ("0.1", 10)] {
            assert_eq!(parse(text), Some(minor), "{text}");
        }
        for text in ["", "\"\"", ".5", "5.", "1,00", "1.234", "-1", "1e2", "NaN", "null", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
