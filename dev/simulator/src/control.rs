//! `/_control`: what only a simulator can show and do.

use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::web::{Data, Json, Path};
use poem::{Route, get, handler, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::stripe::OPERATIONS;
use crate::stripe::error::StripeError;
use crate::stripe::events::Order;
use crate::stripe::store::Kind;
use crate::stripe::world::{AfterRetries, World};

pub(crate) fn routes() -> Route {
    Route::new()
        .at("/ledger", get(ledger))
        .at("/requests", get(requests))
        .at("/events", get(events))
        .at("/events/age", post(age_events))
        .at("/objects/:kind", get(objects))
        .at("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .at("/reset", post(reset))
        .at("/clock", get(time).post(advance))
        .at("/rate_limit", post(rate_limit))
        .at("/webhooks", post(webhooks))
        .at("/after_retries", post(after_retries))
        .at("/refund", post(refund))
        .at("/:kind/:id/:action", post(act))
}

type Answer = (StatusCode, Json<Value>);

fn refused(message: impl std::fmt::Display) -> Answer {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": message.to_string() })))
}

fn answer(done: Result<Value, StripeError>) -> Answer {
    match done {
        Ok(object) => (StatusCode::OK, Json(object)),
        Err(error) => (error.status, Json(error.body())),
    }
}

#[handler]
fn ledger(Data(world): Data<&Arc<World>>) -> Json<Value> {
    Json(json!({ "data": world.ledger() }))
}

#[handler]
fn requests(Data(world): Data<&Arc<World>>) -> Json<Value> {
    Json(json!({ "data": world.requests() }))
}

#[handler]
fn events(Data(world): Data<&Arc<World>>) -> Json<Value> {
    Json(json!({
        "data": world.events(),
        "deliveries_pending": world.deliveries_pending(),
        "held": world.webhooks_held(),
    }))
}

#[handler]
fn objects(Data(world): Data<&Arc<World>>, Path(kind): Path<String>) -> Answer {
    match Kind::from_plural(&kind) {
        Some(kind) => (StatusCode::OK, Json(json!({ "data": world.objects(kind) }))),
        None => {
            let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.plural()).collect();
            refused(format!("`{kind}` is none of {}", kinds.join(", ")))
        }
    }
}

#[handler]
fn list_faults(Data(world): Data<&Arc<World>>) -> Json<Value> {
    Json(json!({ "data": world.lock().faults.pending(), "operations": OPERATIONS.names }))
}

#[handler]
fn add_fault(Data(world): Data<&Arc<World>>, body: poem::Result<Json<Fault>>) -> Answer {
    let added =
        body.map_err(|error| error.to_string()).and_then(|Json(fault)| world.lock().faults.add(fault, &OPERATIONS));
    match added {
        Ok(()) => (StatusCode::CREATED, Json(json!({ "data": world.lock().faults.pending() }))),
        Err(message) => refused(message),
    }
}

#[handler]
fn clear_faults(Data(world): Data<&Arc<World>>) -> Json<Value> {
    world.lock().faults.clear();
    Json(json!({ "data": [] }))
}

#[handler]
fn reset(Data(world): Data<&Arc<World>>) -> Json<Value> {
    world.reset();
    Json(json!({ "reset": true }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u64,
}

#[handler]
fn time(Data(world): Data<&Arc<World>>) -> Json<Value> {
    Json(json!({ "now": world.now() }))
}

#[handler]
fn advance(Data(world): Data<&Arc<World>>, body: poem::Result<Json<Advance>>) -> Answer {
    match body {
        Ok(Json(body)) => {
            let done = world.advance(Duration::from_secs(body.advance_seconds));
            (StatusCode::OK, Json(json!({ "now": world.now(), "fell_due": done })))
        }
        Err(error) => refused(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Age {
    to_seconds: u64,
}

#[handler]
fn age_events(Data(world): Data<&Arc<World>>, body: poem::Result<Json<Age>>) -> Answer {
    match body {
        Ok(Json(body)) => {
            world.age_events(Duration::from_secs(body.to_seconds));
            (StatusCode::OK, Json(json!({ "aged": true })))
        }
        Err(error) => refused(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimit {
    per_second: Option<u32>,
}

#[handler]
fn rate_limit(Data(world): Data<&Arc<World>>, body: poem::Result<Json<RateLimit>>) -> Answer {
    match body {
        Ok(Json(body)) => {
            world.set_rate_limit(body.per_second);
            (StatusCode::OK, Json(json!({ "per_second": body.per_second })))
        }
        Err(error) => refused(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhooks {
    hold: Option<bool>,
    order: Option<String>,
    #[serde(default)]
    seed: u64,
    api_version: Option<String>,
}

#[handler]
fn webhooks(Data(world): Data<&Arc<World>>, body: poem::Result<Json<Webhooks>>) -> Answer {
    let body = match body {
        Ok(Json(body)) => body,
        Err(error) => return refused(error),
    };
    let order = match body.order.as_deref() {
        None | Some("in_order") => Order::InOrder,
        Some("shuffled") => Order::Shuffled(body.seed),
        Some(other) => return refused(format!("`{other}` is no order: in_order, shuffled")),
    };
    if let Some(version) = &body.api_version {
        world.set_webhook_api_version(version);
    }
    match body.hold {
        Some(true) => world.hold_webhooks(true),
        Some(false) => world.release_webhooks(order),
        None => {}
    }
    (StatusCode::OK, Json(json!({ "held": world.webhooks_held(), "deliveries_pending": world.deliveries_pending() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retries {
    status: AfterRetries,
}

#[handler]
fn after_retries(Data(world): Data<&Arc<World>>, body: poem::Result<Json<Retries>>) -> Answer {
    match body {
        Ok(Json(body)) => {
            world.set_after_retries(body.status);
            (StatusCode::OK, Json(json!({ "status": body.status })))
        }
        Err(error) => refused(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refund {
    payment_intent: String,
    amount: Option<i64>,
}

#[handler]
fn refund(Data(world): Data<&Arc<World>>, body: poem::Result<Json<Refund>>) -> Answer {
    match body {
        Ok(Json(body)) => answer(world.refund_in_dashboard(&body.payment_intent, body.amount)),
        Err(error) => refused(error),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Attempt {
    Success,
    Failure,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempted {
    result: Attempt,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Won,
    Lost,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    result: Verdict,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disputed {
    reason: Option<String>,
    amount: Option<i64>,
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failed {
    failure_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expiry {
    exp_month: Option<i64>,
    exp_year: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCard {
    payment_method: String,
}

/// What is done to one object: `/_control/refunds/re_…/fail`.
#[handler]
async fn act(
    Data(world): Data<&Arc<World>>,
    Path((kind, id, action)): Path<(String, String, String)>,
    body: String,
) -> Answer {
    match perform(world, (kind.as_str(), action.as_str()), &id, &body) {
        Ok(answer) => answer,
        Err(error) => refused(format!("the body of {kind}/{action} is not right: {error}")),
    }
}

fn perform(world: &World, what: (&str, &str), id: &str, body: &str) -> serde_json::Result<Answer> {
    let succeeds = || read::<Attempted>(body).map(|body| matches!(body.result, Attempt::Success));
    let done = match what {
        ("payment_intents", "authenticate") => world.authenticate_payment_intent(id, succeeds()?),
        ("payment_intents", "settle") => world.settle_payment_intent(id, succeeds()?),
        ("payment_intents", "dispute") => {
            let body: Disputed = read(body)?;
            world.dispute_payment_intent(id, body.reason.as_deref(), body.amount, body.status.as_deref())
        }
        ("disputes", "close") => world.close_dispute(id, matches!(read::<Decided>(body)?.result, Verdict::Won)),
        ("disputes", "escalate") => world.escalate_dispute(id),
        ("refunds", "fail") => world.fail_refund(id, read::<Failed>(body)?.failure_reason.as_deref()),
        ("refunds", "succeed") => world.succeed_refund(id),
        ("setup_intents", "authenticate") => world.authenticate_setup_intent(id, succeeds()?),
        ("subscriptions", "pause") => world.pause_subscription(id),
        ("subscriptions", "resume") => world.resume_subscription(id),
        ("subscriptions", "mark_unpaid") => world.mark_subscription_unpaid(id),
        ("customers", "card") => world.set_customer_card(id, &read::<NewCard>(body)?.payment_method),
        ("payment_methods", "update") => {
            let body: Expiry = read(body)?;
            world.update_payment_method(id, body.exp_month, body.exp_year)
        }
        (kind, action) => {
            let message = format!("there is nothing like {kind}/{action}");
            return Ok((StatusCode::NOT_FOUND, Json(json!({ "error": message }))));
        }
    };
    Ok(answer(done))
}

/// An empty body is an empty object.
fn read<T: DeserializeOwned>(body: &str) -> serde_json::Result<T> {
    serde_json::from_str(if body.trim().is_empty() { "{}" } else { body })
}
