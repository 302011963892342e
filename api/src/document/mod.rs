//! The OpenAPI document: what poem-openapi generates from the code, completed in one pass.
//!
//! The generator writes OpenAPI 3.0 and knows one error for all operations; it does not say that optional fields of
//! answers are there as `null`. The document is 3.1 because that can say it: in 3.0 a `$ref` cannot be null.
//!
//! - [`schemas`]: null, what is required, 3.1.
//! - [`operations`]: parameters, headers, the statuses of each operation.
//! - [`examples`]: of each request and answer. A test sends the requests and compares the answers.
//! - [`codes`]: all codes of errors. A test finds those of the code.

pub mod codes;
mod examples;
mod operations;
mod schemas;

use serde_json::{Value, json};

/// The document of `generated`. The same text is checked in and served.
pub(crate) fn complete(generated: &str) -> String {
    let mut document: Value = serde_json::from_str(generated).unwrap_or_default();
    document["openapi"] = json!("3.1.0");
    document["tags"] = in_order_of_use(&document["tags"]);
    schemas::complete(&mut document);
    operations::complete(&mut document);
    examples::add(&mut document);
    let mut text = format!("{document:#}");
    text.push('\n');
    text
}

/// As a newcomer meets them; the generator has them by name.
fn in_order_of_use(tags: &Value) -> Value {
    const ORDER: [&str; 8] =
        ["Payments", "Refunds", "Subscriptions", "Customers", "Disputes", "Admin", "Provider webhooks", "Operations"];
    let place = |tag: &Value| ORDER.iter().position(|name| tag["name"] == *name);
    let mut tags = tags.as_array().cloned().unwrap_or_default();
    tags.sort_by_key(place);
    tags.into()
}

/// Calls `change` with the path and the method of each operation.
fn each_operation(document: &mut Value, mut change: impl FnMut(&str, &str, &mut Value)) {
    for (path, methods) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            change(path, method, operation);
        }
    }
}

/// The name of the schema that a reference names.
fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let document: Value = serde_json::from_str(&crate::openapi()).expect("JSON");
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100, "{} references", found.len());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
