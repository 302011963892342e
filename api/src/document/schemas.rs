//! What the generator's schemas do not say: which fields may be null, which are always there, what else is refused.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{codes, each_operation, referred};
use crate::admin::disputes::{EVIDENCE, EVIDENCE_CHARS_MAX};

pub(super) fn complete(document: &mut Value) {
    let requests = requests(document);
    let schemas = document["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.into_iter().flatten() {
        let is_request = requests.contains(name);
        tidy(schema);
        // The only shape that leaves out what it has not.
        if name != "Problem" {
            with_null(schema, is_request);
        }
        if is_request && schema["type"] == "object" {
            schema["additionalProperties"] = json!(false);
            limit_metadata(schema, name.starts_with("Update"));
        }
    }
    let schemas = &mut document["components"]["schemas"];
    schemas["Problem"]["properties"]["code"] = codes::schema();
    schemas["Problem"]["required"] = json!(["type", "title", "status", "code", "detail"]);
    evidence(&mut schemas["SubmitEvidence"]["properties"]["evidence"]);
    schemas["NextAction"] = next_action();
    let action = &mut schemas["Payment"]["properties"]["next_action"];
    *action = nullable(json!({ "$ref": "#/components/schemas/NextAction", "description": action["description"] }));
    each_operation(document, |_, _, operation| {
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            tidy(&mut parameter["schema"]);
        }
    });
}

/// The schemas that bodies of requests are made of.
fn requests(document: &mut Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each_operation(document, |_, _, operation| {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        found.extend(referred(schema).map(str::to_owned));
    });
    let mut todo: Vec<String> = found.iter().cloned().collect();
    while let Some(name) = todo.pop() {
        let properties = document["components"]["schemas"][&name]["properties"].as_object();
        for property in properties.into_iter().flat_map(Map::values) {
            if let Some(inner) = referred(property).or_else(|| referred(&property["allOf"][0]))
                && found.insert(inner.to_owned())
            {
                todo.push(inner.to_owned());
            }
        }
    }
    found
}

/// Numbers without `.0`, and a reference with a remark as one `allOf`.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Array(parts)) = fields.get_mut("allOf") {
                parts.retain(|part| part.get("$ref").is_some());
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        Value::Number(number) => {
            let whole = number.to_string().strip_suffix(".0").and_then(|whole| whole.parse::<i64>().ok());
            if let Some(whole) = whole {
                *schema = whole.into();
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// What may be left out of a request may be null too, unless it has a default. In an answer it is there, as null.
fn with_null(schema: &mut Value, is_request: bool) {
    let mut required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        if required.iter().any(|required| required == name) || property.get("default").is_some() {
            continue;
        }
        *property = nullable(property.take());
        if !is_request {
            required.push(name.clone().into());
        }
    }
    if !required.is_empty() {
        schema["required"] = required.into();
    }
}

fn nullable(mut schema: Value) -> Value {
    let reference = referred(&schema).or_else(|| referred(&schema["allOf"][0])).map(str::to_owned);
    if let Some(name) = reference {
        let mut either = json!({ "anyOf": [{ "$ref": format!("#/components/schemas/{name}") }, { "type": "null" }] });
        if schema["description"].is_string() {
            either["description"] = schema["description"].take();
        }
        return either;
    }
    if schema["type"].is_string() {
        schema["type"] = json!([schema["type"], "null"]);
    }
    schema
}

/// Of a request. `null` in a patch removes a key.
fn limit_metadata(schema: &mut Value, is_patch: bool) {
    let Some(metadata) = schema.pointer_mut("/properties/metadata") else { return };
    metadata["maxProperties"] = json!(48);
    metadata["propertyNames"] = json!({ "type": "string", "pattern": "^[^\\[\\]]{1,40}$" });
    let text = if is_patch { json!(["string", "null"]) } else { json!("string") };
    metadata["additionalProperties"] = json!({ "type": text, "minLength": 1, "maxLength": 500 });
}

/// The texts that Stripe takes.
fn evidence(schema: &mut Value) {
    let text = json!({ "type": "string", "maxLength": EVIDENCE_CHARS_MAX });
    let texts: Map<String, Value> = EVIDENCE.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
    schema["properties"] = texts.into();
    schema["additionalProperties"] = json!(false);
}

/// The code passes on what the provider said; this is what of it a client can rely on.
fn next_action() -> Value {
    json!({
        "type": "object",
        "description": "What the payer has to do.",
        "required": ["type"],
        "properties": {
            "type": {
                "type": "string",
                "description": "`provide_payment_method`, `confirm`, `redirect_to_url`, `use_stripe_sdk`; with Swish \
                                `approve_in_swish_app`, `open_swish_app`. Others may come.",
            },
            "redirect_to_url": {
                "type": "object",
                "description": "Where to send the payer's browser.",
                "required": ["url"],
                "properties": {
                    "url": { "type": "string" },
                    "return_url": { "type": ["string", "null"] },
                },
            },
            "use_stripe_sdk": { "type": "object", "description": "For Stripe.js; its content is Stripe's." },
            "swish": {
                "type": "object",
                "description": "What opens the payer's app.",
                "required": ["app_url", "qr_text", "qr_url", "expires_at"],
                "properties": {
                    "app_url": { "type": "string", "description": "A link that opens the app on the same phone." },
                    "qr_text": { "type": "string", "description": "What a QR code of your own has to say." },
                    "qr_url": { "type": "string", "description": "Where the QR code is, as a picture." },
                    "expires_at": { "type": ["string", "null"], "format": "date-time" },
                },
            },
        },
    })
}
