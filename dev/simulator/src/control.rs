//! `/_control`: what only a simulator can show and do.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::web::{Data, Json, Path};
use poem::{Route, get, handler, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::{Fault, OPERATIONS};
use crate::stripe::payment_intents;
use crate::stripe::world::World;

pub(crate) fn routes() -> Route {
    Route::new()
        .at("/ledger", get(ledger))
        .at("/requests", get(requests))
        .at("/events", get(events))
        .at("/faults", get(list_faults).post(add_fault))
        .at("/reset", post(reset))
        .at("/payment_intents/:id/authenticate", post(authenticate))
}

type Answer = (StatusCode, Json<Value>);

fn refused(message: impl std::fmt::Display) -> Answer {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": message.to_string() })))
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
    Json(json!({ "data": world.events(), "deliveries_pending": world.deliveries_pending() }))
}

#[handler]
fn list_faults(Data(world): Data<&Arc<World>>) -> Json<Value> {
    Json(json!({ "data": world.lock().faults.pending(), "operations": OPERATIONS }))
}

#[handler]
fn add_fault(Data(world): Data<&Arc<World>>, body: poem::Result<Json<Fault>>) -> Answer {
    let added = body.map_err(|error| error.to_string()).and_then(|Json(fault)| world.lock().faults.add(fault));
    match added {
        Ok(()) => (StatusCode::CREATED, Json(json!({ "data": world.lock().faults.pending() }))),
        Err(message) => refused(message),
    }
}

#[handler]
fn reset(Data(world): Data<&Arc<World>>) -> Json<Value> {
    world.reset();
    Json(json!({ "reset": true }))
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Authentication {
    Success,
    Failure,
}

#[derive(Deserialize)]
struct Authenticate {
    result: Authentication,
}

/// The payer's part of 3-D Secure.
#[handler]
fn authenticate(
    Data(world): Data<&Arc<World>>,
    Path(id): Path<String>,
    body: poem::Result<Json<Authenticate>>,
) -> Answer {
    let Ok(Json(body)) = body else {
        return refused("the body must be {\"result\": \"success\"} or {\"result\": \"failure\"}");
    };
    match payment_intents::authenticate(world, &id, matches!(body.result, Authentication::Success)) {
        Ok(intent) => (StatusCode::OK, Json(intent)),
        Err(error) => (error.status, Json(error.body())),
    }
}
