//! What the generator does not know of an operation: its errors, and what every request goes through.

use serde_json::{Map, Value, json};

use super::{codes, each_operation};
use crate::auth::scope_of;

/// `(name, description, schema)`. Those that every answer may have stand in `components`.
const HEADERS: [(&str, &str, &str); 10] = [
    ("X-Request-Id", "The id of this request, as it stands in our logs. Yours, if you sent one.", "string"),
    ("Location", "Where it is.", "string"),
    ("ETag", "Names this version of it: for `If-None-Match`, or `If-Match`.", "string"),
    ("Cache-Control", "`private, no-store`: what is in the answer is the payer's, and not to be kept.", "string"),
    ("Preference-Applied", "The preference that was honoured, for example `wait=10`.", "string"),
    (
        "Idempotent-Replayed",
        "`true`: this is the answer that the first request with this `Idempotency-Key` got.",
        "string",
    ),
    (
        "RateLimit",
        "How much is left, and in how many seconds there is more: `\"write\";r=99;t=1`. Classes are `write`, `read`, and `anonymous` without a good token.",
        "string",
    ),
    ("RateLimit-Policy", "How much is allowed in how many seconds: `\"write\";q=100;w=60`.", "string"),
    ("Retry-After", "In how many seconds to try again.", "integer"),
    ("WWW-Authenticate", "What is asked for: `Bearer`.", "string"),
];

/// `(status, name in components, what it means)`.
const ERRORS: [(u16, &str, &str); 12] = [
    (400, "BadRequest", "The request cannot be read."),
    (401, "Unauthorized", "There is no token, or none that is good."),
    (403, "Forbidden", "The token is good, but not for this."),
    (404, "NotFound", "There is no such thing, or it belongs to somebody else."),
    (409, "Conflict", "The thing, or the key, is not in a state for this now."),
    (412, "PreconditionFailed", "The thing has changed since it was read."),
    (413, "BodyTooLarge", "The body is too long."),
    (415, "UnsupportedMediaType", "The body is not sent as JSON."),
    (422, "Unprocessable", "The request can be read but not accepted. Sending it again does not help."),
    (429, "TooManyRequests", "Too many requests."),
    (500, "InternalError", "The fault is ours. Whether anything was done is not known: read it again."),
    (503, "Unavailable", "Something that we need is away. Nothing was done: send it again."),
];

const BEARER: &str = "A token of the organisation's auth service (JWT). Claims: `sub`, the user; `exp`; for administrators \
                      `role` `admin` or `is_super_admin` true; for back ends `role` `service` and `scope`, one text with \
                      spaces between; `email` and `name`, if they are to be the customer's. After `make run`, \
                      `.dev/stack.json` has one of a user (`token`) and one of an administrator (`admin_token`).";

pub(super) fn complete(document: &mut Value) {
    each_operation(document, |path, method, operation| {
        let writes = method != "get" && path.starts_with("/api/") && !path.starts_with("/api/webhooks/");
        if operation.get("security").is_some() {
            needs(path, method, operation);
            if !path.starts_with("/api/admin/") {
                push_parameter(operation, json!({ "$ref": "#/components/parameters/OnBehalfOf" }));
            }
        }
        parameters(path, writes, operation);
        answers(writes, operation);
        for (status, name, _) in ERRORS {
            if can_answer(status, path, writes, operation) {
                operation["responses"][status.to_string()] =
                    json!({ "$ref": format!("#/components/responses/{name}") });
            }
        }
        if operation.get("security").is_none() {
            operation["security"] = json!([]);
        }
    });
    let components = &mut document["components"];
    components["securitySchemes"]["bearer"]["description"] = json!(BEARER);
    components["parameters"] = json!({ "IdempotencyKey": idempotency_key(), "OnBehalfOf": on_behalf_of() });
    components["headers"] = HEADERS.iter().map(|(name, text, of)| ((*name).to_owned(), header(text, of))).collect();
    components["responses"] = ERRORS.iter().map(|error| (error.1.to_owned(), problem(*error))).collect();
}

/// Whose token it takes, in words: a list of scopes has a meaning for linters with OAuth only.
fn needs(path: &str, method: &str, operation: &mut Value) {
    let method = method.to_uppercase().parse().unwrap_or_default();
    let scope = scope_of(&method, path);
    let who = if scope == "admin" { "Takes an administrator's token" } else { "Takes a user's token" };
    let whose = format!("{who}, or a back end's with the scope `{scope}`.");
    let text = operation["description"].as_str().map_or_else(|| whose.clone(), |text| format!("{text}\n\n{whose}"));
    operation["description"] = json!(text);
}

/// Whether an operation may answer with the status.
fn can_answer(status: u16, path: &str, writes: bool, operation: &Value) -> bool {
    let is_api = path.starts_with("/api/");
    let with_token = operation["security"].as_array().is_some_and(|security| !security.is_empty());
    let with_body = operation.get("requestBody").is_some();
    let draws = operation["operationId"] == "get_payment_qr";
    match status {
        400 => with_body || operation["parameters"].as_array().is_some_and(|parameters| !parameters.is_empty()),
        401 | 429 => with_token,
        403 => with_token || path == "/api/webhooks/swish",
        404 => path.contains("{id}"),
        409 => writes || draws,
        412 => operation["parameters"].as_array().is_some_and(|of| of.iter().any(|one| one["name"] == "If-Match")),
        413 => with_body,
        415 => with_body && with_token,
        422 => writes || draws,
        500 => is_api || path == "/metrics",
        503 => is_api,
        _ => false,
    }
}

fn parameters(path: &str, writes: bool, operation: &mut Value) {
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    for parameter in &mut parameters {
        if let Value::Object(fields) = parameter {
            fields.retain(|name, value| name != "explode" && !(name == "deprecated" && value == false));
        }
        if parameter["name"] == "Prefer" {
            parameter["example"] = json!("wait=10");
        }
        if parameter["in"] == "path" && parameter.get("description").is_none() {
            let what = path.split("/{id}").next().and_then(|start| start.rsplit('/').next()).unwrap_or_default();
            let what = what.strip_suffix('s').unwrap_or(what).replace('-', " ");
            let what = if parameter["name"] == "lane" { "lane" } else { &what };
            let whose =
                if what == "lane" { "The name of the lane.".to_owned() } else { format!("The id of the {what}.") };
            parameter["description"] = json!(whose);
        }
    }
    if writes && !parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key") {
        parameters.push(json!({ "$ref": "#/components/parameters/IdempotencyKey" }));
    }
    if operation["operationId"] == "list_payments" {
        parameters.push(json!({
            "name": "metadata",
            "in": "query",
            "description": "Only those with these pairs, all of them: `metadata[order]=1042`.",
            "style": "deepObject",
            "explode": true,
            "example": {},
            "schema": { "type": "object", "additionalProperties": { "type": "string" } },
        }));
    }
    operation["parameters"] = parameters.into();
}

fn push_parameter(operation: &mut Value, parameter: Value) {
    let mut parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    parameters.push(parameter);
    operation["parameters"] = parameters.into();
}

fn on_behalf_of() -> Value {
    json!({
        "name": "On-Behalf-Of",
        "in": "header",
        "description": "The user that a back end acts for (its token has the role `service`): it must say. A user's token \
                        needs none, and can name nobody else.",
        "required": false,
        "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
    })
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes it safe to send the request again: what is sent twice with the same key within 24 hours is \
                        done once, and answered with the first answer (`Idempotent-Replayed: true`). It counts for one user, \
                        method and path. A UUID will do; take a new one for each thing that you want.",
        "required": false,
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": 255,
            // Printable ASCII, in quotes (a structured field, as the draft has it) or, as most send it, without.
            "pattern": "^([!#-~]([ !#-~]*[!#-~])?|\"[ !#-~]+\")$",
        },
    })
}

/// What the generator says of an operation's answers, in better words.
fn answers(writes: bool, operation: &mut Value) {
    let with_token = operation["security"].as_array().is_some_and(|security| !security.is_empty());
    let draws = operation["operationId"] == "get_payment_qr";
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    responses.remove("default");
    for response in responses.values_mut() {
        if let Some(content) = response.get_mut("content") {
            let plain: Map<String, Value> = content.as_object().into_iter().flatten().map(plain).collect();
            *content = plain.into();
        }
        if draws {
            response["description"] = json!("The code as a picture.");
            response["content"]["image/svg+xml"] = json!({ "schema": { "type": "string" } });
        }
        let generated = response.get_mut("headers").map(Value::take).unwrap_or_default();
        let mut headers: Map<String, Value> = generated.as_object().into_iter().flatten().map(shared).collect();
        let more: &[&str] = match (with_token, writes) {
            (true, true) => &["RateLimit", "RateLimit-Policy", "Idempotent-Replayed"],
            (true, false) => &["RateLimit", "RateLimit-Policy"],
            _ => &[],
        };
        headers.extend(more.iter().map(|name| ((*name).to_owned(), reference(name))));
        response["headers"] = headers.into();
    }
}

/// The media type without its parameters, which clients need not compare.
fn plain((media_type, content): (&String, &Value)) -> (String, Value) {
    (media_type.split(';').next().unwrap_or(media_type).to_owned(), content.clone())
}

/// A header of the generator's, as one of those in `components`.
fn shared((name, generated): (&String, &Value)) -> (String, Value) {
    match HEADERS.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(name)) {
        Some((known, _, _)) => ((*known).to_owned(), reference(known)),
        None => (name.to_lowercase(), generated.clone()),
    }
}

fn reference(header: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{header}") })
}

fn header(text: &str, of: &str) -> Value {
    json!({ "description": text, "schema": { "type": of } })
}

fn problem((status, _, meaning): (u16, &str, &str)) -> Value {
    let mut headers = json!({ "X-Request-Id": reference("X-Request-Id") });
    for (of, name) in [
        (401, "WWW-Authenticate"),
        (429, "Retry-After"),
        (429, "RateLimit"),
        (429, "RateLimit-Policy"),
        (503, "Retry-After"),
    ] {
        if of == status {
            headers[name] = reference(name);
        }
    }
    json!({
        "description": format!("{meaning} Codes: {}.", codes::of(status)),
        "headers": headers,
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    })
}
