//! The OpenAPI document against the running service: its examples work, its answers look as it says, its codes are all.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::{TestApp, token};

fn document() -> Value {
    serde_json::from_str(&api::openapi()).expect("the document")
}

/// The operation with an id: its method, its path, and itself.
fn operation<'a>(document: &'a Value, id: &str) -> (Method, &'a str, &'a Value) {
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            if operation["operationId"] == id {
                return (method.to_uppercase().parse().expect("a method"), path, operation);
            }
        }
    }
    panic!("there is no operation {id}")
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("what is referred to"),
        None => value,
    }
}

/// Where two JSON values differ in shape: in their fields or their types. Null fits everything, and so does `metadata`.
fn differences(example: &Value, real: &Value, at: &str, found: &mut Vec<String>) {
    match (example, real) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(_), Value::Object(_)) if at.ends_with("/metadata") || at.ends_with("/body") => {}
        (Value::Object(example), Value::Object(real)) => {
            let names: BTreeSet<&String> = example.keys().chain(real.keys()).collect();
            for name in names {
                match (example.get(name), real.get(name)) {
                    (Some(example), Some(real)) => differences(example, real, &format!("{at}/{name}"), found),
                    (Some(_), None) => found.push(format!("{at}/{name} is only in the example")),
                    (None, _) => found.push(format!("{at}/{name} is not in the example")),
                }
            }
        }
        (Value::Array(example), Value::Array(real)) => {
            if let Some(example) = example.first() {
                real.iter().for_each(|real| differences(example, real, &format!("{at}/0"), found));
            }
        }
        (example, real) if std::mem::discriminant(example) == std::mem::discriminant(real) => {}
        _ => found.push(format!("{at} is {example} in the example, but {real}")),
    }
}

/// Calls operations by their ids and compares what comes with what the document says.
struct Caller<'a> {
    app: &'a TestApp,
    document: Value,
    /// The statuses that came, by operation.
    seen: BTreeMap<String, BTreeSet<u16>>,
}

impl Caller<'_> {
    /// With the document's own example as its body, over which `more` is put.
    async fn call(&mut self, id: &str, thing: &str, more: Value) -> Value {
        let (method, path, operation) = operation(&self.document, id);
        let path = path.replace("{id}", thing).replace("{lane}", thing);
        let mut body = operation.pointer("/requestBody/content/application~1json/example").cloned();
        if operation.get("requestBody").is_some() {
            let body = body.as_mut().unwrap_or_else(|| panic!("{id} has no example of its body"));
            for (key, value) in more.as_object().expect("an object") {
                body[key] = value.clone();
            }
        }
        let user = if path.starts_with("/api/admin/") { "root" } else { "anna" };
        let answer = self.app.call(method, &path, user, body).await;
        assert!(answer.status.is_success(), "{id}: {answer:?}");
        self.compare(id, answer.status, &answer.headers, &answer.json());
        answer.json()
    }

    fn compare(&mut self, id: &str, status: StatusCode, headers: &reqwest::header::HeaderMap, body: &Value) {
        let (_, _, operation) = operation(&self.document, id);
        let answer = &operation["responses"][status.as_str()];
        assert!(answer.is_object(), "{id}: {status} is not documented: {body}");
        let answer = resolved(&self.document, answer);
        let media_type = if status.is_success() { "application/json" } else { "application/problem+json" };
        let content = &answer["content"][media_type];
        let examples = content["examples"].as_object().unwrap_or_else(|| panic!("{id} {status} has no example"));
        let name = body["code"].as_str().filter(|_| !status.is_success());
        let example = match name {
            Some(code) => examples.get(code).unwrap_or_else(|| panic!("{id}: no example of {code}")),
            None => examples.values().next().expect("an example"),
        };
        let mut found = Vec::new();
        differences(&resolved(&self.document, example)["value"], body, "", &mut found);
        assert!(found.is_empty(), "{id} {status}: {found:?}");
        for header in ["location", "etag", "preference-applied", "www-authenticate", "retry-after", "x-request-id"] {
            let documented = answer["headers"].as_object().expect("headers");
            let documented = documented.keys().any(|name| name.eq_ignore_ascii_case(header));
            assert!(documented || !headers.contains_key(header), "{id} {status}: {header} is not documented");
        }
        self.seen.entry(id.to_owned()).or_default().insert(status.as_u16());
    }

    async fn refuse(&mut self, id: &str, thing: &str, user: Option<&str>, body: &str, code: &str) {
        let (method, path, _) = operation(&self.document, id);
        let path = path.replace("{id}", thing);
        let mut headers = vec![("content-type", "application/json".to_owned())];
        headers.extend(user.map(|user| ("authorization", format!("Bearer {}", token(user)))));
        let answer = self.app.raw(method, &path, &headers, body.as_bytes().to_vec()).await;
        assert_eq!(answer.json()["code"], code, "{id}: {answer:?}");
        self.compare(id, answer.status, &answer.headers, &answer.json());
        let (page, anchor) = answer.json()["type"]
            .as_str()
            .expect("a type")
            .split_once('#')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("a link");
        let page = self.app.raw(Method::GET, &page, &[], Vec::new()).await;
        assert!(page.text.contains(&format!("id=\"{anchor}\"")), "{anchor} is not on the page");
    }
}

fn id(body: &Value) -> String {
    body["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn every_example_works_and_every_answer_looks_like_its_example() {
    let app = TestApp::start().await;
    let mut caller = Caller { app: &app, document: document(), seen: BTreeMap::new() };
    let none = json!({});

    let payment = id(&caller.call("create_payment", "", none.clone()).await);
    let held = id(&caller.call("create_payment", "", json!({ "capture_method": "manual" })).await);
    let given_up = json!({ "capture_method": "manual", "provider": "stripe" });
    let given_up = id(&caller.call("create_payment", "", given_up).await);
    let disputed = json!({ "payment_method": "pm_card_createDispute" });
    caller.call("create_payment", "", disputed).await;
    app.settle().await;
    for name in ["get_payment", "get_payment_timeline"] {
        caller.call(name, &payment, none.clone()).await;
    }
    caller.call("list_payments", "", none.clone()).await;
    caller.call("capture_payment", &held, none.clone()).await;
    caller.call("cancel_payment", &given_up, none.clone()).await;
    let refund = id(&caller.call("create_refund", "", json!({ "payment_id": payment })).await);
    app.settle().await;
    caller.call("get_refund", &refund, none.clone()).await;
    caller.call("list_refunds", "", none.clone()).await;
    caller.call("list_payment_refunds", &payment, none.clone()).await;

    caller.call("get_my_customer", "", none.clone()).await;
    caller.call("update_my_customer", "", none.clone()).await;
    let setup = id(&caller.call("create_setup", "", none.clone()).await);
    app.settle().await;
    let begun = caller.call("get_setup", &setup, none.clone()).await;
    app.confirm_in_browser(&begun, "pm_card_visa").await;
    app.settle().await;
    let card = id(&caller.call("list_payment_methods", "", none.clone()).await["data"][0]);
    let subscription = json!({ "payment_method": card, "trial_period_days": null });
    let subscription = id(&caller.call("create_subscription", "", subscription).await);
    caller.call("create_subscription", "", none.clone()).await;
    app.settle().await;
    for name in ["get_subscription", "update_subscription"] {
        caller.call(name, &subscription, none.clone()).await;
    }
    caller.call("list_subscriptions", "", none.clone()).await;
    for name in ["cancel_subscription", "resume_subscription", "cancel_subscription"] {
        app.settle().await;
        caller.call(name, &subscription, none.clone()).await;
    }
    caller.call("remove_payment_method", &card, none.clone()).await;
    disputes_and_the_inbox(&mut caller).await;
    jobs_and_queues(&mut caller).await;
    first_event(&mut caller, &payment).await;
    caller.call("get_health", "", none.clone()).await;
    caller.call("get_readiness", "", none).await;
    refusals(&mut caller, &payment).await;

    let ids = caller.document["paths"].as_object().expect("paths").values().flat_map(|methods| {
        methods
            .as_object()
            .expect("methods")
            .values()
            .map(|operation| operation["operationId"].as_str().expect("an id"))
    });
    // The first two answer in other types than JSON; signatures and identifiers are made by the tests of the webhooks.
    let elsewhere = ["get_payment_qr", "get_metrics", "receive_stripe_event", "receive_swish_callback"];
    let missing: Vec<&str> = ids.filter(|id| !caller.seen.contains_key(*id) && !elsewhere.contains(id)).collect();
    assert!(missing.is_empty(), "never called: {missing:?}");
}

async fn disputes_and_the_inbox(caller: &mut Caller<'_>) {
    let none = json!({});
    let dispute = id(&caller.call("list_disputes", "", none.clone()).await["data"][0]);
    caller.call("get_dispute", &dispute, none.clone()).await;
    caller.call("admin_get_dispute", &dispute, none.clone()).await;
    caller.call("admin_list_disputes", "", none.clone()).await;
    caller.call("submit_dispute_evidence", &dispute, none.clone()).await;
    caller.app.settle().await;
    caller.call("create_payment", "", json!({ "payment_method": "pm_card_createDispute" })).await;
    caller.app.settle().await;
    let another = id(&caller.call("list_disputes", "", none.clone()).await["data"][0]);
    caller.call("accept_dispute", &another, none.clone()).await;
    let newest = id(&caller.call("admin_list_payments", "", none.clone()).await["data"][0]);
    caller.call("admin_get_payment", &newest, none.clone()).await;
    caller.call("list_unknown_outcomes", "", none.clone()).await;
    let event = id(&caller.call("list_provider_events", "", none.clone()).await["data"][0]);
    caller.call("get_provider_event", &event, none.clone()).await;
    caller.call("replay_provider_event", &event, none.clone()).await;
    caller.call("replay_provider_events", "", none).await;
    let from = (chrono::Utc::now() - chrono::TimeDelta::hours(1)).to_rfc3339();
    caller.call("sweep_provider_events", "", json!({ "from": from })).await;
    caller.app.execute("DELETE FROM jobs WHERE kind = 'sweep_stripe_events'").await;
}

async fn jobs_and_queues(caller: &mut Caller<'_>) {
    let none = json!({});
    for name in ["admin_list_queues", "admin_pause_queue", "admin_resume_queue"] {
        caller.call(name, "stripe_payments", none.clone()).await;
    }
    caller.call("create_payment", "", none.clone()).await;
    caller.app.execute("UPDATE jobs SET state = 'dead', finished_at = now() WHERE state = 'queued'").await;
    caller.app.execute("INSERT INTO job_errors (job_id, attempt, error) SELECT id, 1, 'x' FROM jobs").await;
    let job = id(&caller.call("admin_list_jobs", "", none.clone()).await["data"][0]);
    caller.call("admin_get_job", &job, none.clone()).await;
    caller.call("admin_retry_job", &job, none.clone()).await;
    caller.app.execute("UPDATE jobs SET state = 'dead', finished_at = now() WHERE state = 'queued'").await;
    caller.call("admin_discard_job", &job, none.clone()).await;
    caller.call("admin_redrive_jobs", "", none.clone()).await;
    caller.app.settle().await;
    let unknown = caller.call("create_payment", "", none.clone()).await;
    caller.app.fault("payment_intents.create", "drop_before", 30);
    caller.app.settle().await;
    let long_ago = "UPDATE attempts SET created_at = created_at - interval '24 hours', updated_at = updated_at - interval '1 hour'";
    caller.app.execute(long_ago).await;
    caller.call("list_unknown_outcomes", "", none.clone()).await;
    caller.call("settle_unknown_outcome", &id(&unknown), none.clone()).await;
    caller.call("admin_list_actions", "", none).await;
}

/// The stream's example is an event like those that come.
async fn first_event(caller: &mut Caller<'_>, payment: &str) {
    let example = &operation(&caller.document, "watch_payment").2["responses"]["200"]["content"]["text/event-stream"];
    let data_of = |text: &str| -> Value {
        let [event, id, data, "", ""] = text.split('\n').collect::<Vec<_>>()[..] else {
            panic!("not one event: {text}")
        };
        assert_eq!(event, "event: payment");
        assert!(id.strip_prefix("id: ").is_some_and(|id| id.parse::<u32>().is_ok()), "{id}");
        serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON")
    };
    let url = format!("{}/api/payments/{payment}/events", caller.app.api_url);
    let answer = reqwest::Client::new().get(url).bearer_auth(token("anna")).send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let real = { answer }.chunk().await.expect("an event").expect("an event");
    let mut found = Vec::new();
    let example = &example["example"];
    assert_eq!(example["event"], "payment");
    let example: Value = serde_json::from_str(example["data"].as_str().expect("data")).expect("JSON");
    differences(&example, &data_of(str::from_utf8(&real).expect("text")), "", &mut found);
    assert!(found.is_empty(), "{found:?}");
    caller.seen.entry("watch_payment".to_owned()).or_default().insert(200);
}

async fn refusals(caller: &mut Caller<'_>, payment: &str) {
    let anna = Some("anna");
    let unknown = "01920000-0000-7000-8000-000000000000";
    caller.refuse("create_payment", "", None, "{}", "unauthorized").await;
    caller.refuse("create_payment", "", anna, "{", "invalid_json").await;
    let bad = json!({ "provider": "stripe", "amount": -1, "currency": "nope" }).to_string();
    caller.refuse("create_payment", "", anna, &bad, "invalid_body").await;
    let beyond = json!({ "provider": "swish", "amount": 100, "currency": "eur" }).to_string();
    caller.refuse("create_payment", "", anna, &beyond, "not_supported_by_provider").await;
    let long = format!("\"{}\"", "x".repeat(70_000));
    caller.refuse("create_payment", "", anna, &long, "body_too_large").await;
    caller.refuse("get_payment", "no-uuid", anna, "", "invalid_parameter").await;
    caller.refuse("get_payment", unknown, anna, "", "payment_not_found").await;
    caller.refuse("capture_payment", payment, anna, "{}", "invalid_status").await;
    let more = json!({ "payment_id": payment, "amount": 999_999 }).to_string();
    caller.refuse("create_refund", "", anna, &more, "refund_exceeds_captured").await;
    caller.refuse("admin_list_disputes", "", anna, "", "forbidden").await;
}

/// The codes that the API's sources make problems with.
fn codes_in(text: &str, found: &mut BTreeSet<String>) {
    let literal = |rest: &str| Some(rest.trim_start().strip_prefix('"')?.split('"').next()?.to_owned());
    for rest in text.split("StatusCode::").skip(1).chain(text.split("::new(status").skip(1)) {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == '_');
        found.extend(rest.strip_prefix(',').and_then(literal));
    }
    for rest in text.split("not_found(").skip(1) {
        found.extend(literal(rest).map(|what| format!("{what}_not_found")));
    }
}

#[test]
fn every_code_of_an_error_is_documented() {
    fn walk(dir: &std::path::Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
            match entry.path() {
                path if path.is_dir() => walk(&path, found),
                path if path.extension().is_some_and(|extension| extension == "rs") => {
                    codes_in(&std::fs::read_to_string(path).expect("a file"), found);
                }
                _ => {}
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../api/src")), &mut found);
    assert!(found.len() >= 25, "{found:?}");
    let documented: BTreeSet<&str> = api::document::codes::CODES.iter().map(|(code, _, _)| *code).collect();
    let missing: Vec<&String> = found.iter().filter(|code| !documented.contains(code.as_str())).collect();
    assert!(missing.is_empty(), "add to api/src/document/codes.rs: {missing:?}");
}
