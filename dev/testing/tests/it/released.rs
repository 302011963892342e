//! What the document promises against what the last release promised (`api/released/openapi.json`): more is fine, less is
//! not. A release copies `api/openapi.json` there.
//!
//! Written out here because it is short, runs with the other tests, and needs no other toolchain.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// What clients send: nothing that they send may be refused.
    Request,
    /// What clients read: nothing that they read may go away.
    Answer,
}

struct Documents<'a> {
    released: &'a Value,
    current: &'a Value,
    breaks: Vec<String>,
    /// Pairs of references that were compared already: schemas may refer to themselves.
    seen: BTreeSet<String>,
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"].as_str().and_then(|reference| document.pointer(reference.trim_start_matches('#'))).unwrap_or(value)
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn texts(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::String(text) => BTreeSet::from([text.as_str()]),
        _ => value.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    }
}

/// The schema itself, without the null beside it, and whether there is one.
fn without_null<'a>(document: &'a Value, schema: &'a Value) -> (&'a Value, bool) {
    let mut inner = schema;
    let mut null = texts(&schema["type"]).contains("null");
    for alternative in schema["anyOf"].as_array().or(schema["allOf"].as_array()).into_iter().flatten() {
        if alternative["type"] == "null" {
            null = true;
        } else {
            inner = alternative;
        }
    }
    (resolved(document, inner), null)
}

impl Documents<'_> {
    fn compare(&mut self) {
        for (path, methods) in fields(&self.released["paths"]) {
            for (method, old) in fields(methods) {
                let at = old["operationId"].as_str().unwrap_or_default();
                let new = &self.current["paths"][path][method];
                if new["operationId"] != old["operationId"] {
                    self.breaks.push(format!("{at}: {method} {path} is gone, or has another name"));
                } else {
                    self.operation(at, old, new);
                }
            }
        }
    }

    fn operation(&mut self, at: &str, old: &Value, new: &Value) {
        let (released, current) = (self.released, self.current);
        let parameters = |document, operation: &Value| -> Vec<Value> {
            let all = operation["parameters"].as_array().into_iter().flatten();
            all.map(|parameter| resolved(document, parameter).clone()).collect()
        };
        let (before, after) = (parameters(released, old), parameters(current, new));
        let same = |a: &Value, b: &Value| a["name"] == b["name"] && a["in"] == b["in"];
        for parameter in &before {
            match after.iter().find(|other| same(parameter, other)) {
                Some(other) => {
                    self.schema(
                        &format!("{at} {}", parameter["name"]),
                        Side::Request,
                        &parameter["schema"],
                        &other["schema"],
                    );
                }
                None => self.breaks.push(format!("{at}: the parameter {} is gone", parameter["name"])),
            }
        }
        for parameter in after.iter().filter(|parameter| parameter["required"] == true) {
            if !before.iter().any(|other| same(parameter, other) && other["required"] == true) {
                self.breaks.push(format!("{at}: the parameter {} is required now", parameter["name"]));
            }
        }
        let body = |operation: &Value| operation.pointer("/requestBody/content/application~1json/schema").cloned();
        match (body(old), body(new)) {
            (Some(old), Some(new)) => self.schema(&format!("{at} body"), Side::Request, &old, &new),
            (None, Some(_)) => self.breaks.push(format!("{at}: a body is required now")),
            (_, None) => {}
        }
        for (status, old) in fields(&old["responses"]) {
            let (old, new) = (resolved(released, old), resolved(current, &new["responses"][status]));
            if new.is_null() && status.starts_with('2') {
                self.breaks.push(format!("{at}: the answer {status} is gone"));
            }
            for (media_type, content) in fields(&old["content"]).filter(|_| !new.is_null()) {
                self.schema(
                    &format!("{at} {status}"),
                    Side::Answer,
                    &content["schema"],
                    &new["content"][media_type]["schema"],
                );
            }
        }
    }

    fn schema(&mut self, at: &str, side: Side, old: &Value, new: &Value) {
        let ((old, old_null), (new, new_null)) = (without_null(self.released, old), without_null(self.current, new));
        let mut broken = |what: String| self.breaks.push(format!("{at}: {what}"));
        match side {
            Side::Request if old_null && !new_null => broken("null is refused now".to_owned()),
            Side::Answer if new_null && !old_null => broken("may be null now".to_owned()),
            _ => {}
        }
        let kinds = |schema: &Value| -> BTreeSet<String> {
            texts(&schema["type"]).into_iter().filter(|kind| *kind != "null").map(str::to_owned).collect()
        };
        if kinds(old) != kinds(new) {
            broken(format!("was {}, is {}", old["type"], new["type"]));
        }
        for gone in texts(&old["enum"]).difference(&texts(&new["enum"])).filter(|_| side == Side::Request) {
            broken(format!("{gone} is refused now"));
        }
        let (before, after) = (texts(&old["required"]), texts(&new["required"]));
        let (more, less) = if side == Side::Request { (&after, &before) } else { (&before, &after) };
        for name in more.difference(less) {
            let what = if side == Side::Request { "is required now" } else { "may be left out now" };
            broken(format!("{name} {what}"));
        }
        if !self.seen.insert(format!("{} {old} {new}", side == Side::Request)) {
            return;
        }
        for (name, property) in fields(&old["properties"]) {
            match new["properties"].get(name) {
                Some(other) => self.schema(&format!("{at}/{name}"), side, property, other),
                None => self.breaks.push(format!("{at}: {name} is gone")),
            }
        }
        if old["items"].is_object() {
            self.schema(&format!("{at}/0"), side, &old["items"], &new["items"]);
        }
    }
}

fn breaks(released: &Value, current: &Value) -> Vec<String> {
    let mut documents = Documents { released, current, breaks: Vec::new(), seen: BTreeSet::new() };
    documents.compare();
    documents.breaks
}

#[test]
fn nothing_that_was_released_is_broken() {
    let released: Value = serde_json::from_str(include_str!("../../../../api/released/openapi.json")).expect("JSON");
    let current: Value = serde_json::from_str(&api::openapi()).expect("JSON");
    assert_eq!(breaks(&released, &current), Vec::<String>::new());
}

#[test]
fn a_break_is_seen() {
    let released: Value = serde_json::from_str(&api::openapi()).expect("JSON");
    let check = |pointer: &str, becomes: Value, expected: &str| {
        let mut current = released.clone();
        *current.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = becomes;
        let found = breaks(&released, &current);
        assert!(found.iter().any(|found| found.contains(expected)), "{pointer}: {found:?}");
    };
    check("/paths/~1api~1refunds/post", Value::Null, "is gone");
    check("/components/schemas/Payment/properties", json!({}), "amount is gone");
    check("/components/schemas/Payment/required", json!(["id"]), "amount may be left out now");
    check("/components/schemas/CreateRefund/required", json!(["payment_id", "amount"]), "amount is required now");
    check("/components/schemas/Provider/enum", json!(["stripe"]), "swish is refused now");
    check("/components/schemas/Refund/properties/amount/type", json!("string"), "was \"integer\"");
    check("/components/schemas/Refund/properties/amount/type", json!(["integer", "null"]), "may be null now");
    check("/components/parameters/IdempotencyKey/required", json!(true), "is required now");
}
