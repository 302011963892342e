//! Tokens for development, signed with the stack's own secret.

use anyhow::Result;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

/// A token of a user, good for thirty days.
///
/// # Errors
/// It cannot be signed.
pub fn token(secret: &str, user_id: &str, role: &str) -> Result<String> {
    let now = chrono::Utc::now().timestamp();
    let claims = json!({
        "sub": user_id,
        "email": format!("{user_id}@example.com"),
        "name": user_id,
        "role": role,
        "is_super_admin": role == "admin",
        "iat": now,
        "exp": now + 30 * 24 * 60 * 60,
    });
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()))?)
}
