//! Callbacks: unsigned, so that they are only a reason to ask. What makes one worth that is the identifier that only
//! Swish and we know: it is made of a secret and the instruction, and needs no storing.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use crate::domain::provider_event::EventLabel;

/// Half a SHA-256: 32 hexadecimal digits.
const LENGTH: usize = 16;

/// What Swish is to send along with the callbacks of an instruction.
#[must_use]
pub fn identifier(secret: &SecretString, instruction: &str) -> String {
    let code = code(secret, instruction).finalize().into_bytes();
    hex::encode_upper(code.split_at(LENGTH).0)
}

/// Whether the identifier is the instruction's, under one of the secrets. Takes as long however wrong it is.
#[must_use]
pub fn is_genuine(secrets: &[SecretString], instruction: &str, identifier: &str) -> bool {
    let Ok(bytes) = hex::decode(identifier) else { return false };
    let matches = |secret: &SecretString| code(secret, instruction).verify_truncated_left(&bytes).is_ok();
    bytes.len() == LENGTH && secrets.iter().filter(|secret| matches(secret)).count() > 0
}

fn code(secret: &SecretString, instruction: &str) -> Hmac<Sha256> {
    let mut code = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("a key of any length");
    code.update(b"swish callback ");
    code.update(instruction.as_bytes());
    code
}

/// What of a callback is used: never its amounts.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Callback {
    /// The instruction.
    pub id: String,
    pub status: Option<String>,
    pub callback_identifier: Option<String>,
    original_payment_reference: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("not a callback of Swish's: {0}")]
pub struct UnreadableCallback(&'static str);

impl Callback {
    /// # Errors
    /// It is no JSON object with the id of an instruction.
    pub fn parse(body: &[u8]) -> Result<Self, UnreadableCallback> {
        // The parser's own words would repeat what anybody may send.
        let callback: Self = serde_json::from_slice(body).map_err(|_| UnreadableCallback("no object with an id"))?;
        let hex = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        if callback.id.len() == 32 && callback.id.bytes().all(hex) {
            Ok(callback)
        } else {
            Err(UnreadableCallback("the id is no instruction"))
        }
    }

    /// Whether it says that the object has ended.
    #[must_use]
    pub fn says_final(&self) -> bool {
        matches!(self.status.as_deref(), Some("PAID" | "DECLINED" | "ERROR" | "CANCELLED"))
    }

    /// For the inbox. Callbacks have no id: one of each status of a request is enough, as each only says *ask*.
    #[must_use]
    pub fn label(&self) -> EventLabel {
        let known = ["CREATED", "DEBITED", "PAID", "DECLINED", "ERROR", "CANCELLED"];
        let status = self.status.as_deref().filter(|status| known.contains(status)).unwrap_or("OTHER");
        let what = if self.original_payment_reference.is_some() { "refund" } else { "payment" };
        EventLabel {
            provider_event_id: format!("{}:{status}", self.id),
            event_type: Some(format!("{what}.{}", status.to_ascii_lowercase())),
            api_version: None,
            used: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_of_its_secret_and_its_instruction() {
        let (old, new) = (SecretString::from("old"), SecretString::from("new"));
        let instruction = "0".repeat(32);
        let identifier = identifier(&new, &instruction);
        assert!(identifier.len() == 32 && identifier.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_lowercase()));
        assert!(is_genuine(&[old.clone(), new.clone()], &instruction, &identifier));
        assert!(!is_genuine(std::slice::from_ref(&old), &instruction, &identifier));
        assert!(!is_genuine(std::slice::from_ref(&new), &"1".repeat(32), &identifier));
        for wrong in ["", "x", identifier.split_at(30).0, &format!("{identifier}00")] {
            assert!(!is_genuine(std::slice::from_ref(&new), &instruction, wrong), "{wrong}");
        }
        assert!(!is_genuine(&[], &instruction, &identifier));
    }

    #[test]
    fn what_is_no_callback_is_not_read_as_one() {
        let id = "0123456789ABCDEF0123456789ABCDEF";
        let paid = format!(r#"{{"id":"{id}","status":"PAID","amount":1.00}}"#);
        let label = Callback::parse(paid.as_bytes()).expect("a callback").label();
        assert_eq!(
            (label.provider_event_id, label.event_type),
            (format!("{id}:PAID"), Some("payment.paid".to_owned()))
        );
        let refund = format!(r#"{{"id":"{id}","status":"DEBITED","originalPaymentReference":"X"}}"#);
        let label = Callback::parse(refund.as_bytes()).expect("a callback").label();
        assert_eq!(label.event_type.as_deref(), Some("refund.debited"));
        for body in ["", "[]", "{}", r#"{"id":"../../etc"}"#, r#"{"id":5}"#, &paid.to_lowercase()] {
            assert!(Callback::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
