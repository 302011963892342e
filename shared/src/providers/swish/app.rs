//! The payer's app: what opens it with a payment that has a token.

/// What the QR code of a token says. Source: the QR API manual.
#[must_use]
pub fn qr_text(token: &str) -> String {
    format!("D{token}")
}

/// What opens the app on the payer's phone. Coming back to `return_url` proves nothing.
#[must_use]
pub fn link(token: &str, return_url: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("token", token);
    if let Some(url) = return_url {
        query.append_pair("callbackurl", url);
    }
    // Apps take `%20` where forms have `+`.
    format!("swish://paymentrequest?{}", query.finish().replace('+', "%20"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_return_url_is_encoded_once() {
        assert_eq!(link("abc", None), "swish://paymentrequest?token=abc");
        assert_eq!(
            link("abc", Some("https://shop.example/o?id=1&a=b c")),
            "swish://paymentrequest?token=abc&callbackurl=https%3A%2F%2Fshop.example%2Fo%3Fid%3D1%26a%3Db%20c"
        );
        assert_eq!(qr_text("abc"), "Dabc");
    }
}
