//! Money that is held for a manual capture, and let go when nobody captures it in time.

use serde_json::Value;

use super::clock::Due;
use super::payment_intents::call_off;
use super::store::{Kind, id_of, text};
use super::world::Actor;

/// The window of online card payments.
pub(crate) const HOLD_SECONDS: i64 = 7 * 86_400;

pub(crate) fn watch(actor: Actor<'_>, intent: &Value, charge: &Value) {
    let until = charge["payment_method_details"]["card"]["capture_before"].as_i64();
    actor
        .world
        .schedule(until.unwrap_or_else(|| actor.now() + HOLD_SECONDS), Due::HoldExpires(id_of(intent).to_owned()));
}

pub(crate) fn expire(actor: Actor<'_>, id: &str) {
    let Some(mut intent) = actor.get(Kind::PaymentIntent, id) else { return };
    if intent["status"] != "requires_capture" {
        return;
    }
    if let Some(charge) = actor.get(Kind::Charge, text(&intent, "latest_charge")) {
        actor.emit("charge.expired", &charge);
    }
    call_off(actor, &mut intent, Some("automatic"));
}
