//! Examples of requests by operation, of answers by schema, of errors by code: `examples.json`.

use serde_json::{Map, Value, json};

use super::{each_operation, referred};

pub(super) fn add(document: &mut Value) {
    let examples: Value = serde_json::from_str(include_str!("examples.json")).unwrap_or_default();
    let mut used = Map::new();
    each_operation(document, |_, _, operation| {
        let request = &examples["requests"][operation["operationId"].as_str().unwrap_or_default()];
        if let (false, Some(content)) =
            (request.is_null(), operation.pointer_mut("/requestBody/content/application~1json"))
        {
            content["example"] = request.clone();
        }
        for response in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            if let Some(stream) = response.pointer_mut("/content/text~1event-stream") {
                *stream = event(&examples["responses"]["Payment"]);
            }
            let Some(content) = response.pointer_mut("/content/application~1json") else { continue };
            let Some(name) = referred(&content["schema"]).map(str::to_owned) else { continue };
            content["examples"] = json!({ name.as_str(): { "$ref": format!("#/components/examples/{name}") } });
            used.entry(name).or_insert(Value::Null);
        }
    });
    for (name, example) in &mut used {
        *example = json!({ "value": of_schema(name, &examples["responses"]) });
    }
    document["components"]["examples"] = used.into();
    let responses = document["components"]["responses"].as_object_mut();
    for response in responses.into_iter().flat_map(Map::values_mut) {
        let description = response["description"].as_str().unwrap_or_default().to_owned();
        let of_status = examples["problems"].as_object().into_iter().flatten();
        let of_status = of_status.filter(|(code, _)| description.contains(&format!("`{code}`")));
        let named: Map<String, Value> =
            of_status.map(|(code, example)| (code.clone(), json!({ "value": example }))).collect();
        response["content"]["application/problem+json"]["examples"] = named.into();
    }
}

/// What a stream is made of. (The generator has an array of payments there, which is not what comes.)
fn event(payment: &Value) -> Value {
    json!({
        "schema": {
            "type": "object",
            "title": "PaymentEvent",
            "description": "One of the stream's events (WHATWG, server-sent events), with its fields.",
            "required": ["event", "id", "data"],
            "properties": {
                "event": { "const": "payment" },
                "id": { "type": "string", "description": "The payment's version: what `Last-Event-ID` names." },
                "data": {
                    "type": "string",
                    "description": "A `Payment`.",
                    "contentMediaType": "application/json",
                    "contentSchema": { "$ref": "#/components/schemas/Payment" },
                },
            },
        },
        "example": { "event": "payment", "id": "4", "data": payment.to_string() },
    })
}

/// A page is made of the example of what it lists.
fn of_schema(name: &str, examples: &Value) -> Value {
    match (examples.get(name), name.strip_suffix("List")) {
        (Some(example), _) => example.clone(),
        (None, Some(item)) => json!({ "data": [examples[item]], "has_more": false, "next_cursor": null }),
        (None, None) => Value::Null,
    }
}
