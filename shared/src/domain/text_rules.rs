//! Rules for texts that end up at a provider or on a bank statement, checked before a job is made.

use std::collections::BTreeMap;

/// Our own key in the provider's metadata: the id of the payment, by which an event or a look-up finds it again.
pub const PAYMENT_ID_METADATA_KEY: &str = "payment_id";
pub const REFUND_ID_METADATA_KEY: &str = "refund_id";
pub const SUBSCRIPTION_ID_METADATA_KEY: &str = "subscription_id";
pub const SETUP_ID_METADATA_KEY: &str = "setup_id";
/// Ours, whatever they are on.
pub const RESERVED_METADATA_KEYS: [&str; 6] = [
    PAYMENT_ID_METADATA_KEY,
    REFUND_ID_METADATA_KEY,
    SUBSCRIPTION_ID_METADATA_KEY,
    SETUP_ID_METADATA_KEY,
    "customer_id",
    "user_id",
];
/// Stripe takes fifty; up to two are ours.
pub const METADATA_KEYS_MAX: usize = 48;

/// Text that Postgres can store and a person can read: no NUL and no other control character but tab and line breaks.
///
/// # Errors
/// The sentence that says what is wrong.
pub fn check_text(text: &str, chars_max: usize) -> Result<(), String> {
    if text.chars().count() > chars_max {
        return Err(format!("must be at most {chars_max} characters long"));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(())
}

/// A statement descriptor as card networks take it.
///
/// # Errors
/// The sentence that says what is wrong.
pub fn check_statement_descriptor(text: &str) -> Result<(), String> {
    if !(5..=22).contains(&text.chars().count()) {
        return Err("must be 5 to 22 characters long".to_owned());
    }
    if !text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return Err("must consist of printable ASCII characters".to_owned());
    }
    if text.contains(['<', '>', '\\', '\'', '"', '*']) {
        return Err("must not contain any of < > \\ ' \" *".to_owned());
    }
    if !text.chars().any(|c| c.is_ascii_alphabetic()) {
        return Err("must contain a letter".to_owned());
    }
    Ok(())
}

/// # Errors
/// Says why it can be no key of metadata.
pub fn check_metadata_key(key: &str) -> Result<(), String> {
    if !(1..=40).contains(&key.chars().count()) || key.contains(['[', ']']) {
        return Err("a key must be 1 to 40 characters long, without [ and ]".to_owned());
    }
    Ok(())
}

/// Metadata as Stripe takes it. Gives each wrong entry's key with what is wrong, or an empty key for the whole.
#[must_use]
pub fn metadata_faults(metadata: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    if metadata.len() > METADATA_KEYS_MAX {
        faults.push((String::new(), format!("must have at most {METADATA_KEYS_MAX} keys")));
    }
    for (key, value) in metadata {
        if let Err(fault) = check_metadata_key(key).and_then(|()| check_text(key, 40)) {
            faults.push((key.clone(), fault));
        } else if RESERVED_METADATA_KEYS.contains(&key.as_str()) {
            faults.push((key.clone(), "this key is reserved".to_owned()));
        } else if value.is_empty() {
            faults.push((key.clone(), "must not be empty".to_owned()));
        } else if let Err(fault) = check_text(value, 500) {
            faults.push((key.clone(), fault));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statement_descriptors() {
        assert_eq!(check_statement_descriptor("ACME 12345"), Ok(()));
        for bad in ["", "ACME", "12345", "ACME*12345", "ACMÉ 12345", "ACME 12345 and much more text"] {
            assert!(check_statement_descriptor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn metadata() {
        let one = |key: &str, value: &str| metadata_faults(&BTreeMap::from([(key.to_owned(), value.to_owned())])).len();
        assert_eq!(one("order", "17"), 0);
        assert_eq!(one("order", "a 💳 is fine"), 0);
        assert_eq!(one("", "17"), 1);
        assert_eq!(one("a[b]", "17"), 1);
        assert_eq!(one("payment_id", "17"), 1);
        assert_eq!(one("order", ""), 1);
        assert_eq!(one("order", "nul\0"), 1);
        assert_eq!(one("order", &"x".repeat(501)), 1);
        let many = (0..49).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        assert_eq!(metadata_faults(&many).len(), 1);
    }
}
