//! Form bodies and queries, with brackets, and what may stand in them.

use std::collections::BTreeMap;

use super::error::StripeError;

/// Parameters by their bracketed names: `metadata[order]`, `expand[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form {
    values: BTreeMap<String, String>,
}

impl Form {
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self { values: url::form_urlencoded::parse(text).into_owned().collect() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Refuses every parameter that is not in `known`; a name there that ends in `[]` allows any key.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), StripeError> {
        for name in self.values.keys() {
            let group = name.split_once('[').map(|(group, _)| format!("{group}[]"));
            if !known.contains(&name.as_str()) && !group.is_some_and(|group| known.contains(&group.as_str())) {
                let message = format!("Received unknown parameter: {name}");
                return Err(StripeError::invalid("parameter_unknown", Some(name), message));
            }
        }
        Ok(())
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, StripeError> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    StripeError::invalid("parameter_invalid_integer", Some(name), format!("Invalid integer: {text}"))
                })
            })
            .transpose()
    }

    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, StripeError> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => {
                let message = format!("Invalid boolean: {other}");
                Err(StripeError::new(
                    poem::http::StatusCode::BAD_REQUEST,
                    "invalid_request_error",
                    None,
                    Some(name),
                    message,
                ))
            }
        }
    }

    /// `metadata[…]`, by Stripe's rules.
    pub(crate) fn metadata(&self) -> Result<BTreeMap<String, String>, StripeError> {
        let mut metadata = BTreeMap::new();
        for (name, value) in &self.values {
            let Some(key) = name.strip_prefix("metadata[").and_then(|rest| rest.strip_suffix(']')) else { continue };
            if key.is_empty() || key.chars().count() > 40 || key.contains(['[', ']']) {
                let message = "Metadata keys have 1 to 40 characters and no square brackets";
                return Err(StripeError::invalid("parameter_invalid_string_key", Some(name), message));
            }
            if value.chars().count() > 500 {
                let message = "Metadata values can have up to 500 characters";
                return Err(StripeError::invalid("parameter_invalid_string_length", Some(name), message));
            }
            if !value.is_empty() {
                metadata.insert(key.to_owned(), value.clone());
            }
        }
        if metadata.len() > 50 {
            let message = "Metadata can have up to 50 keys";
            return Err(StripeError::invalid("parameter_invalid", Some("metadata"), message));
        }
        Ok(metadata)
    }
}
