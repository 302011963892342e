//! Form bodies and queries, with brackets.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::error::StripeError;

/// Parameters by their bracketed names: `metadata[order]`. `expand[]` is read as `expand[0]`, `expand[1]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form {
    values: BTreeMap<String, String>,
}

impl Form {
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let values = url::form_urlencoded::parse(text).into_owned().map(|(name, value)| {
            let Some((before, after)) = name.split_once("[]") else { return (name, value) };
            let (before, after) = (before.to_owned(), after.to_owned());
            let place = seen.entry(name).or_default();
            let numbered = format!("{before}[{place}]{after}");
            *place += 1;
            (numbered, value)
        });
        Self { values: values.collect() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// What was given; an empty text, which clears a field, counts as nothing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The items of `name[0]`, `name[1]`, …
    pub(crate) fn items(&self, name: &str) -> Vec<&str> {
        let prefix = format!("{name}[");
        self.iter().filter(|(given, _)| given.starts_with(&prefix)).map(|(_, value)| value).collect()
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|text| text.parse().ok())
    }

    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        self.get(name).map(|text| text == "true")
    }

    /// Puts the given ones of `fields` into an object: a text, or null for an empty one.
    pub(crate) fn fill(&self, object: &mut Value, fields: &[&str]) {
        for field in fields {
            if self.has(field) {
                object[*field] = self.get(field).into();
            }
        }
    }

    /// The metadata of a new object.
    pub(crate) fn metadata(&self) -> Result<Value, StripeError> {
        self.merged_metadata(&Value::Null)
    }

    /// `metadata[…]` over what is there: an empty value deletes its key, an empty `metadata` deletes all.
    pub(crate) fn merged_metadata(&self, known: &Value) -> Result<Value, StripeError> {
        let mut metadata = known.as_object().cloned().unwrap_or_default();
        if self.values.get("metadata").is_some_and(String::is_empty) {
            metadata = Map::new();
        }
        for (name, value) in self.iter() {
            let Some(key) = name.strip_prefix("metadata[").and_then(|rest| rest.strip_suffix(']')) else { continue };
            if value.is_empty() {
                metadata.remove(key);
            } else {
                metadata.insert(key.to_owned(), value.into());
            }
        }
        if metadata.len() > 50 {
            let message = "Metadata can have up to 50 keys";
            return Err(StripeError::invalid("parameter_invalid", Some("metadata"), message));
        }
        Ok(metadata.into())
    }
}
