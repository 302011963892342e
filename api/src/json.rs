//! Reads JSON strictly: a key that an object has twice is told, where serde would let the last one win.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A key as a part of a JSON pointer (RFC 6901).
#[must_use]
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The value, and the pointers of the fields that are given more than once.
///
/// # Errors
/// It is no JSON.
pub fn read(bytes: &[u8]) -> Result<(Value, Vec<String>), serde_json::Error> {
    let twice = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { pointer: String::new(), twice: &twice }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, twice.into_inner()))
}

struct Strict<'a> {
    pointer: String,
    twice: &'a RefCell<Vec<String>>,
}

impl Strict<'_> {
    fn below(&self, key: &str) -> Strict<'_> {
        Strict { pointer: format!("{}/{}", self.pointer, escape(key)), twice: self.twice }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.below(&list.len().to_string()))? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let below = self.below(&key);
            let pointer = below.pointer.clone();
            if object.insert(key, entries.next_value_seed(below)?).is_some() {
                self.twice.borrow_mut().push(pointer);
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_twice_is_told_wherever_it_is() {
        let (value, twice) = read(br#"{"a":1,"b":{"c/d":[{"e":1,"e":2}],"f":null},"a":2.5}"#).expect("JSON");
        assert_eq!(value, serde_json::json!({ "a": 2.5, "b": { "c/d": [{ "e": 2 }], "f": null } }));
        assert_eq!(twice, ["/b/c~1d/0/e", "/a"]);
    }

    #[test]
    fn it_reads_what_serde_reads() {
        for text in
            ["", "{", "[1,]", "{} {}", "nul", "\"\u{1}\"", "1e999", "-0", "12345678901234567890", "[[],{}]", " 1 "]
        {
            let strict = read(text.as_bytes()).map(|(value, _)| value);
            assert_eq!(strict.ok(), serde_json::from_str::<Value>(text).ok(), "{text}");
        }
        assert!(read("[".repeat(10_000).as_bytes()).is_err(), "no stack for it");
    }
}
