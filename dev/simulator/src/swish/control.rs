//! `/_control` of Swish: what only a simulator can show and do.

use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem::web::{Data, Json, Path};
use poem::{IntoResponse as _, Response, Route, get, handler, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::forged::Forgery;
use super::gate::OPERATIONS;
use super::model::{Payment, Refund, Status};
use super::world::SwishWorld;
use crate::Order;
use crate::faults::Fault;

pub(super) fn routes() -> Route {
    Route::new()
        .at("/ledger", get(ledger))
        .at("/requests", get(requests))
        .at("/callbacks", get(callbacks))
        .at("/objects/:kind", get(objects))
        .at("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .at("/reset", post(reset))
        .at("/clock", get(time).post(advance))
        .at("/rate_limit", post(rate_limit))
        .at("/auto_pay", post(auto_pay))
        .at("/webhooks", post(webhooks))
        .at("/pay/:id", post(pay))
        .at("/decline/:id", post(decline))
        .at("/fail/:id", post(fail))
        .at("/forge/:id", post(forge))
        .at("/callback/:id", post(callback_again))
}

type World<'a> = Data<&'a Arc<SwishWorld>>;
type Body<T> = poem::Result<Json<T>>;

fn refused(message: impl std::fmt::Display) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": message.to_string() }))).into_response()
}

fn text(json: String) -> Response {
    Response::builder().content_type("application/json").body(json)
}

/// The object that was acted on.
fn acted(world: &SwishWorld, id: &str, done: Result<Status, String>) -> Response {
    if let Err(message) = done {
        return refused(message);
    }
    match (world.payment(id), world.refund(id)) {
        (Some(payment), _) => text(payment.to_control()),
        (None, Some(refund)) => text(refund.to_json()),
        (None, None) => refused("it is gone"),
    }
}

#[handler]
fn ledger(Data(world): World<'_>) -> Json<Value> {
    Json(json!({ "data": world.ledger() }))
}

#[handler]
fn requests(Data(world): World<'_>) -> Json<Value> {
    Json(json!({ "data": world.requests() }))
}

#[handler]
fn callbacks(Data(world): World<'_>) -> Json<Value> {
    let callbacks = world.callbacks();
    let shown = callbacks.iter().map(|callback| {
        json!({
            "kind": callback.kind,
            "id": callback.id,
            "status": callback.status,
            "sent": callback.sent,
            "taken": callback.taken,
        })
    });
    Json(json!({
        "data": shown.collect::<Vec<_>>(),
        "deliveries_pending": world.deliveries_pending(),
        "held": world.callbacks_held(),
    }))
}

#[handler]
fn objects(Data(world): World<'_>, Path(kind): Path<String>) -> Response {
    let objects: Vec<String> = match kind.as_str() {
        "payments" => world.payments().iter().map(Payment::to_control).collect(),
        "refunds" => world.refunds().iter().map(Refund::to_json).collect(),
        _ => return refused(format!("`{kind}` is none of payments, refunds")),
    };
    text(format!("{{\"data\":[{}]}}", objects.join(",")))
}

#[handler]
fn list_faults(Data(world): World<'_>) -> Json<Value> {
    Json(json!({ "data": world.lock().faults.pending(), "operations": OPERATIONS.names }))
}

#[handler]
fn add_fault(Data(world): World<'_>, body: Body<Fault>) -> Response {
    let added = body.map_err(|error| error.to_string());
    match added.and_then(|Json(fault)| world.lock().faults.add(fault, &OPERATIONS)) {
        Ok(()) => (StatusCode::CREATED, Json(json!({ "data": world.lock().faults.pending() }))).into_response(),
        Err(message) => refused(message),
    }
}

#[handler]
fn clear_faults(Data(world): World<'_>) -> Json<Value> {
    world.lock().faults.clear();
    Json(json!({ "data": [] }))
}

#[handler]
fn reset(Data(world): World<'_>) -> Json<Value> {
    world.reset();
    Json(json!({ "reset": true }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u64,
}

#[handler]
fn time(Data(world): World<'_>) -> Json<Value> {
    Json(json!({ "now": world.now() }))
}

#[handler]
fn advance(Data(world): World<'_>, body: Body<Advance>) -> Response {
    match body {
        Ok(Json(body)) => {
            let done = world.advance(Duration::from_secs(body.advance_seconds));
            Json(json!({ "now": world.now(), "fell_due": done })).into_response()
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
fn rate_limit(Data(world): World<'_>, body: Body<RateLimit>) -> Response {
    match body {
        Ok(Json(body)) => {
            world.set_rate_limit(body.per_second);
            Json(json!({ "per_second": body.per_second })).into_response()
        }
        Err(error) => refused(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoPay {
    after_ms: Option<u64>,
}

#[handler]
fn auto_pay(Data(world): World<'_>, body: Body<AutoPay>) -> Response {
    match body {
        Ok(Json(body)) => {
            world.set_auto_pay(body.after_ms);
            Json(json!({ "after_ms": body.after_ms })).into_response()
        }
        Err(error) => refused(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhooks {
    hold: bool,
    order: Option<String>,
    #[serde(default)]
    seed: u64,
}

#[handler]
fn webhooks(Data(world): World<'_>, body: Body<Webhooks>) -> Response {
    let body = match body {
        Ok(Json(body)) => body,
        Err(error) => return refused(error),
    };
    let order = match body.order.as_deref() {
        None | Some("in_order") => Order::InOrder,
        Some("shuffled") => Order::Shuffled(body.seed),
        Some(other) => return refused(format!("`{other}` is no order: in_order, shuffled")),
    };
    if body.hold {
        world.hold_callbacks(true);
    } else {
        world.release_callbacks(order);
    }
    Json(json!({ "hold": body.hold, "held": world.callbacks_held() })).into_response()
}

#[handler]
fn pay(Data(world): World<'_>, Path(id): Path<String>) -> Response {
    acted(world, &id, world.pay(&id))
}

#[handler]
fn decline(Data(world): World<'_>, Path(id): Path<String>) -> Response {
    acted(world, &id, world.decline(&id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fail {
    code: String,
    #[serde(default)]
    moved: bool,
}

#[handler]
fn fail(Data(world): World<'_>, Path(id): Path<String>, body: Body<Fail>) -> Response {
    match body {
        Ok(Json(body)) => acted(world, &id, world.fail(&id, &body.code, body.moved)),
        Err(error) => refused(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forge {
    status: Status,
    callback_identifier: Option<String>,
    url: Option<String>,
}

#[handler]
async fn forge(Data(world): World<'_>, Path(id): Path<String>, body: Body<Forge>) -> Response {
    let body = match body {
        Ok(Json(body)) => body,
        Err(error) => return refused(error),
    };
    let Forge { status, callback_identifier, url } = body;
    match world.forge(&id, Forgery { status, callback_identifier, url }).await {
        Ok(answered) => Json(json!({ "answered": answered })).into_response(),
        Err(message) => refused(message),
    }
}

#[handler]
fn callback_again(Data(world): World<'_>, Path(id): Path<String>) -> Response {
    match world.send_again(&id) {
        Ok(()) => Json(json!({ "deliveries_pending": world.deliveries_pending() })).into_response(),
        Err(message) => refused(message),
    }
}
