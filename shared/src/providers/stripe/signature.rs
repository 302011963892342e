//! `Stripe-Signature`, checked over the raw bytes of the body.
//!
//! Source: <https://docs.stripe.com/webhooks#verify-manually>.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// How old a signature may be, and how far in the future: Stripe's own default.
pub const TOLERANCE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignature {
    #[error("the Stripe-Signature header has no readable `t=` or no `v1=`")]
    Malformed,
    #[error("no signature matches: the body was changed, or it was signed with another secret")]
    Mismatch,
    #[error("the signature's timestamp is more than five minutes away")]
    OutsideTolerance,
}

/// Checks `header` against `body`: any `v1` under any of the `secrets` (a rolled secret has two), in constant time.
///
/// # Errors
/// Why the body must not be believed.
pub fn verify(body: &[u8], header: &str, secrets: &[SecretString], now: DateTime<Utc>) -> Result<(), InvalidSignature> {
    let mut timestamp = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) => timestamp = Some(value),
            Some(("v1", value)) => signatures.extend(hex::decode(value)),
            // Other schemes (`v0` is for tests) must not count.
            Some(_) | None => {}
        }
    }
    let timestamp = timestamp.ok_or(InvalidSignature::Malformed)?;
    let signed_at: i64 = timestamp.parse().map_err(|_| InvalidSignature::Malformed)?;
    if signatures.is_empty() {
        return Err(InvalidSignature::Malformed);
    }
    let genuine = secrets.iter().any(|secret| {
        let mac = mac(secret, timestamp, body);
        signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok())
    });
    if !genuine {
        return Err(InvalidSignature::Mismatch);
    }
    if now.timestamp().abs_diff(signed_at) > TOLERANCE.as_secs() {
        return Err(InvalidSignature::OutsideTolerance);
    }
    Ok(())
}

/// The header that `secret` gives `body` at `now`.
#[must_use]
pub fn sign(body: &[u8], secret: &SecretString, now: DateTime<Utc>) -> String {
    let timestamp = now.timestamp().to_string();
    let signature = hex::encode(mac(secret, &timestamp, body).finalize().into_bytes());
    format!("t={timestamp},v1={signature}")
}

fn mac(secret: &SecretString, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1","object":"event"}"#;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    fn check(header: &str, secrets: &[&str], now: i64) -> Result<(), InvalidSignature> {
        let secrets: Vec<SecretString> = secrets.iter().map(|secret| (*secret).into()).collect();
        verify(BODY, header, &secrets, at(now))
    }

    #[test]
    fn the_known_vector_verifies() {
        let header = "t=1760000000,v1=bc14e9a21a378c262752699d40e5b6e79924522129817ee4c7365e4c7198c9e5";
        let secret = "whsec_test_0123456789abcdef";
        assert_eq!(check(header, &[secret], 1_760_000_000), Ok(()));
        assert_eq!(check(header, &["other", secret], 1_760_000_300), Ok(()));
        assert_eq!(check(header, &[secret], 1_760_000_301), Err(InvalidSignature::OutsideTolerance));
        assert_eq!(check(header, &[secret], 1_759_999_699), Err(InvalidSignature::OutsideTolerance));
        assert_eq!(check(header, &["other"], 1_760_000_000), Err(InvalidSignature::Mismatch));
        assert_eq!(check(header, &[], 1_760_000_000), Err(InvalidSignature::Mismatch));
    }

    #[test]
    fn any_v1_counts_and_no_other_scheme_does() {
        let good = sign(BODY, &"new".into(), at(1_000));
        let (t, v1) = good.split_once(',').expect("two parts");
        assert_eq!(check(&format!("{t},v1=00ff,{v1}"), &["old", "new"], 1_000), Ok(()));
        let as_v0 = v1.replace("v1", "v0");
        assert_eq!(check(&format!("{t},{as_v0}"), &["new"], 1_000), Err(InvalidSignature::Malformed));
        assert_eq!(check(&format!("{t},v1=00,{as_v0}"), &["new"], 1_000), Err(InvalidSignature::Mismatch));
        for malformed in ["", "t=", "t=x,v1=00", v1, "v1", "t=1"] {
            assert_eq!(check(malformed, &["new"], 1_000), Err(InvalidSignature::Malformed), "{malformed}");
        }
    }
}
