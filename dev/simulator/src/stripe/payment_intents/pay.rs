//! A payment is tried: what the card does, and what follows from it.

use serde_json::{Value, json};

use super::super::cards::{self, Outcome};
use super::super::error::StripeError;
use super::super::payment_methods::{self, card_of};
use super::super::store::{Kind, OURS, id_of, number, text};
use super::super::world::Actor;
use super::super::{charges, disputes, holds, invoices};

pub(crate) use super::create::new;

/// What trying a payment method comes to.
pub(crate) enum Trial {
    Pays,
    Authenticates,
    Processes,
    /// `code`, `decline_code`.
    Declines(&'static str, &'static str),
}

/// What would happen if the payment method were charged now. `present`: the payer can authenticate.
pub(crate) fn foresee(method: &Value, present: bool) -> Trial {
    let set_up = method[OURS]["set_up"] == true;
    match card_of(method).outcome {
        Outcome::Pays => Trial::Pays,
        Outcome::AuthenticatesUnlessSetUp if set_up && !present => Trial::Pays,
        Outcome::Authenticates | Outcome::AuthenticatesUnlessSetUp if present => Trial::Authenticates,
        Outcome::Authenticates | Outcome::AuthenticatesUnlessSetUp => {
            Trial::Declines("authentication_required", "authentication_required")
        }
        Outcome::Declines(code, decline_code) => Trial::Declines(code, decline_code),
        Outcome::DeclinesLater => Trial::Declines("card_declined", "generic_decline"),
        Outcome::Processes => Trial::Processes,
    }
}

/// Tries the payment method of the PaymentIntent.
pub(crate) fn attempt(actor: Actor<'_>, intent: &mut Value, present: bool) -> Result<(), StripeError> {
    let id = text(intent, "payment_method").to_owned();
    let method = actor.get(Kind::PaymentMethod, &id);
    let method = method.ok_or_else(|| StripeError::missing_param(Kind::PaymentMethod, &id, "payment_method"))?;
    match foresee(&method, present) {
        Trial::Pays => {
            authorise(actor, intent);
            Ok(())
        }
        Trial::Authenticates => {
            ask_the_payer(actor, intent);
            Ok(())
        }
        Trial::Processes => {
            intent["status"] = "processing".into();
            intent["last_payment_error"] = Value::Null;
            let charge = charges::make(actor, intent, "pending");
            intent["latest_charge"] = charge["id"].clone();
            actor.save(Kind::Charge, &charge, "charge.pending");
            actor.save(Kind::PaymentIntent, intent, "payment_intent.processing");
            Ok(())
        }
        Trial::Declines(code, decline_code) => Err(decline(actor, intent, code, decline_code)),
    }
}

pub(crate) fn ask_the_payer(actor: Actor<'_>, intent: &mut Value) {
    intent["status"] = "requires_action".into();
    intent["last_payment_error"] = Value::Null;
    intent["next_action"] = next_action(intent);
    actor.save(Kind::PaymentIntent, intent, "payment_intent.requires_action");
    invoices::payer_must_act(actor, intent);
}

pub(crate) fn next_action(intent: &Value) -> Value {
    match intent["return_url"].as_str() {
        Some(url) => json!({
            "type": "redirect_to_url",
            "redirect_to_url": { "url": "https://hooks.stripe.com/3d_secure_2/simulated", "return_url": url },
        }),
        None => json!({ "type": "use_stripe_sdk", "use_stripe_sdk": {} }),
    }
}

/// The bank agrees: the money is taken, or held for a manual capture.
pub(crate) fn authorise(actor: Actor<'_>, intent: &mut Value) {
    let amount = number(intent, "amount");
    let manual = intent["capture_method"] == "manual";
    intent["last_payment_error"] = Value::Null;
    intent["next_action"] = Value::Null;
    let charge = match actor.get(Kind::Charge, text(intent, "latest_charge")) {
        Some(mut pending) if pending["status"] == "pending" => {
            charges::succeed(actor, &mut pending, manual);
            pending
        }
        _ => {
            let mut charge = charges::make(actor, intent, "pending");
            charges::succeed(actor, &mut charge, manual);
            charge
        }
    };
    intent["latest_charge"] = charge["id"].clone();
    let method = text(intent, "payment_method").to_owned();
    let keep_for = intent["customer"].as_str().filter(|_| intent["setup_future_usage"].is_string());
    payment_methods::used(actor, &method, keep_for);
    if manual {
        intent["status"] = "requires_capture".into();
        intent["amount_capturable"] = amount.into();
        actor.save(Kind::PaymentIntent, intent, "payment_intent.amount_capturable_updated");
        holds::watch(actor, intent, &charge);
    } else {
        intent["status"] = "succeeded".into();
        intent["amount_received"] = amount.into();
        actor.save(Kind::PaymentIntent, intent, "payment_intent.succeeded");
        invoices::paid_by(actor, intent);
    }
    let card = actor.get(Kind::PaymentMethod, &method).map(|method| card_of(&method));
    if card.is_some_and(|card| card.disputed) {
        let _ = disputes::open(actor, id_of(&charge), &disputes::Opening::default());
    }
}

/// The bank refuses.
pub(crate) fn decline(actor: Actor<'_>, intent: &mut Value, code: &str, decline_code: &str) -> StripeError {
    let mut charge = match actor.get(Kind::Charge, text(intent, "latest_charge")) {
        Some(pending) if pending["status"] == "pending" => pending,
        _ => charges::make(actor, intent, "failed"),
    };
    let mut error = cards::decline(code, decline_code, Some(id_of(&charge)));
    charges::fail(actor, &mut charge, &error);
    intent["latest_charge"] = charge["id"].clone();
    if let Some(method) = actor.get(Kind::PaymentMethod, text(intent, "payment_method")) {
        error["payment_method"] = method;
    }
    refuse(actor, intent, error.clone());
    StripeError::declined(&error, intent)
}

/// The attempt came to nothing; another payment method may be tried.
pub(crate) fn refuse(actor: Actor<'_>, intent: &mut Value, error: Value) {
    intent["status"] = "requires_payment_method".into();
    intent["last_payment_error"] = error;
    intent["payment_method"] = Value::Null;
    intent["next_action"] = Value::Null;
    actor.save(Kind::PaymentIntent, intent, "payment_intent.payment_failed");
    invoices::not_paid_by(actor, intent);
}
