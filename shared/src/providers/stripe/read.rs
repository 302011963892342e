//! Reading Stripe's answers: only the fields that we use, so that a change elsewhere cannot make an answer about money
//! unreadable.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::transport::unreadable;
use crate::domain::money::Money;
use crate::providers::ProviderError;

pub(super) fn text(object: &Value, field: &str) -> Option<String> {
    object.get(field).and_then(Value::as_str).map(str::to_owned)
}

/// A text that must be there.
pub(super) fn required(object: &Value, field: &str) -> Result<String, ProviderError> {
    text(object, field).ok_or_else(|| unreadable(format!("an object without {field}")))
}

pub(super) fn integer(object: &Value, field: &str) -> Option<i64> {
    object.get(field).and_then(Value::as_i64)
}

/// Seconds since 1970.
pub(super) fn time(object: &Value, field: &str) -> Option<DateTime<Utc>> {
    integer(object, field).and_then(|seconds| DateTime::from_timestamp(seconds, 0))
}

/// The id of another object, which may be there whole.
pub(super) fn id_of(object: &Value, field: &str) -> Option<String> {
    let value = object.get(field)?;
    value.as_str().map(str::to_owned).or_else(|| text(value, "id"))
}

/// An id of ours, from the metadata.
pub(super) fn metadata_id<T: std::str::FromStr>(object: &Value, key: &str) -> Option<T> {
    object.get("metadata").and_then(|metadata| text(metadata, key)).and_then(|id| id.parse().ok())
}

/// Texts by their keys.
pub(super) fn texts(object: &Value, field: &str) -> BTreeMap<String, String> {
    let pairs = object.get(field).and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// `amount_field` and `currency`.
pub(super) fn money(object: &Value, amount_field: &str) -> Result<Money, ProviderError> {
    let minor = integer(object, amount_field).ok_or_else(|| unreadable(format!("an object without {amount_field}")))?;
    let currency = required(object, "currency")?.parse().map_err(|_| unreadable("an unknown currency"))?;
    Ok(Money { minor, currency })
}

/// A page of a list.
pub(super) struct Page {
    data: Vec<Value>,
    has_more: bool,
}

impl Page {
    pub(super) fn read(mut list: Value) -> Result<Self, ProviderError> {
        let has_more = list.get("has_more").and_then(Value::as_bool).unwrap_or(false);
        match list.get_mut("data").map(Value::take) {
            Some(Value::Array(data)) => Ok(Self { data, has_more }),
            _ => Err(unreadable("a list without data")),
        }
    }

    pub(super) fn first(&self) -> Option<&Value> {
        self.data.first()
    }

    pub(super) fn into_objects(self) -> Vec<Value> {
        self.data
    }

    /// The object whose metadata has this pair.
    pub(super) fn with_metadata(&self, key: &str, value: &str) -> Option<&Value> {
        self.data.iter().find(|object| object["metadata"][key] == value)
    }

    /// What the next page starts after, if there is one.
    pub(super) fn next(&self) -> Option<String> {
        if self.has_more { self.data.last().and_then(|object| text(object, "id")) } else { None }
    }
}
