//! `/v1/payment_intents`: the life of a PaymentIntent.
//!
//! Source: <https://docs.stripe.com/payments/paymentintents/lifecycle>.

use std::collections::BTreeMap;

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::cards::{Card, card, decline};
use super::error::StripeError;
use super::form::Form;
use super::gate::Call;
use super::world::{LedgerEntry, World, random_id};

const CREATE: [&str; 18] = [
    "amount",
    "currency",
    "automatic_payment_methods[enabled]",
    "automatic_payment_methods[allow_redirects]",
    "capture_method",
    "confirm",
    "customer",
    "description",
    "expand[]",
    "metadata[]",
    "off_session",
    "payment_method",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "use_stripe_sdk",
];

/// The least that can be charged, of some currencies. Source: <https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts>.
const AMOUNT_MIN: [(&str, i64); 8] =
    [("sek", 300), ("nok", 300), ("dkk", 250), ("usd", 50), ("eur", 50), ("gbp", 30), ("jpy", 50), ("chf", 50)];

pub(crate) fn create(call: &Call<'_>) -> Result<Value, StripeError> {
    let form = &call.form;
    if form.get("payment_method_types[0]").is_some() || form.get("payment_method_types[]").is_some() {
        let message = "payment_method_types is no longer supported; use automatic_payment_methods";
        let code = "payment_method_types_no_longer_supported";
        return Err(StripeError::invalid(code, Some("payment_method_types"), message));
    }
    form.only(&CREATE)?;
    secret_key_only(call)?;
    let (amount, currency) = amount(form)?;
    texts(form)?;
    if let Some(customer) = form.get("customer")
        && call.world.customer(customer).is_none()
    {
        return Err(StripeError::missing("customer", customer));
    }
    let confirm = form.boolean("confirm")?.unwrap_or(false);
    if !confirm && form.get("return_url").is_some() {
        let message = "return_url can only be used with confirm=true";
        return Err(StripeError::invalid("parameter_unknown", Some("return_url"), message));
    }
    let method = payment_method(form)?;
    if confirm {
        let redirects = form.get("automatic_payment_methods[allow_redirects]") != Some("never");
        may_confirm(method.is_some(), redirects && form.get("return_url").is_none())?;
    }
    let capture_method = capture_method(form)?;
    let id = random_id("pi");
    let mut intent = json!({
        "id": id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "automatic_payment_methods": {
            "enabled": true,
            "allow_redirects": form.get("automatic_payment_methods[allow_redirects]").unwrap_or("always"),
        },
        "canceled_at": null,
        "cancellation_reason": null,
        "capture_method": capture_method,
        "client_secret": format!("{id}_secret_{}", random_id("s").trim_start_matches("s_")),
        "confirmation_method": "automatic",
        "created": call.world.now(),
        "currency": currency,
        "customer": form.get("customer"),
        "description": form.get("description"),
        "last_payment_error": null,
        "latest_charge": null,
        "livemode": false,
        "metadata": form.metadata()?,
        "next_action": null,
        "payment_method": method,
        "payment_method_types": ["card"],
        "receipt_email": form.get("receipt_email"),
        "return_url": form.get("return_url"),
        "statement_descriptor_suffix": form.get("statement_descriptor_suffix"),
        "status": if method.is_some() { "requires_confirmation" } else { "requires_payment_method" },
    });
    call.world.put_intent(&intent);
    call.world.emit("payment_intent.created", &intent, call);
    if confirm {
        pay(call, &mut intent)?;
    }
    Ok(intent)
}

pub(crate) fn retrieve(call: &Call<'_>) -> Result<Value, StripeError> {
    call.form.only(&["client_secret", "expand[]"])?;
    let intent = find(call)?;
    allowed(call, &intent)?;
    Ok(intent)
}

pub(crate) fn list(call: &Call<'_>) -> Result<Value, StripeError> {
    call.form.only(&["customer", "limit", "starting_after", "created[]", "expand[]"])?;
    secret_key_only(call)?;
    let limit = call.form.integer("limit")?.unwrap_or(10);
    let limit = usize::try_from(limit).ok().filter(|limit| (1..=100).contains(limit)).ok_or_else(|| {
        StripeError::invalid("parameter_invalid_integer", Some("limit"), "limit must be between 1 and 100")
    })?;
    let mut found: Vec<Value> = call
        .world
        .intents()
        .into_iter()
        .filter(|intent| call.form.get("customer").is_none_or(|customer| intent["customer"] == customer))
        .collect();
    if let Some(after) = call.form.get("starting_after") {
        let position = found.iter().position(|intent| intent["id"] == after);
        let position = position.ok_or_else(|| StripeError::missing("payment_intent", after))?;
        found.drain(..=position);
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok(json!({ "object": "list", "url": "/v1/payment_intents", "has_more": has_more, "data": found }))
}

pub(crate) fn confirm(call: &Call<'_>) -> Result<Value, StripeError> {
    let known = ["payment_method", "return_url", "client_secret", "expand[]", "off_session", "use_stripe_sdk"];
    call.form.only(&known)?;
    let mut intent = find(call)?;
    allowed(call, &intent)?;
    let status = intent["status"].as_str().unwrap_or_default().to_owned();
    if !matches!(status.as_str(), "requires_payment_method" | "requires_confirmation" | "requires_action") {
        return Err(unexpected_state(&intent, "confirm"));
    }
    if let Some(method) = payment_method(&call.form)? {
        intent["payment_method"] = method.into();
    }
    let redirects = intent["automatic_payment_methods"]["allow_redirects"] != "never";
    may_confirm(intent["payment_method"].is_string(), redirects && call.form.get("return_url").is_none())?;
    if let Some(url) = call.form.get("return_url") {
        intent["return_url"] = url.into();
    }
    pay(call, &mut intent)?;
    Ok(intent)
}

pub(crate) fn cancel(call: &Call<'_>) -> Result<Value, StripeError> {
    call.form.only(&["cancellation_reason", "expand[]"])?;
    secret_key_only(call)?;
    let mut intent = find(call)?;
    if matches!(intent["status"].as_str(), Some("succeeded" | "canceled" | "processing")) {
        return Err(unexpected_state(&intent, "cancel"));
    }
    intent["status"] = "canceled".into();
    intent["canceled_at"] = call.world.now().into();
    intent["cancellation_reason"] = call.form.get("cancellation_reason").into();
    intent["amount_capturable"] = 0.into();
    intent["next_action"] = Value::Null;
    call.world.put_intent(&intent);
    call.world.emit("payment_intent.canceled", &intent, call);
    Ok(intent)
}

pub(crate) fn capture(call: &Call<'_>) -> Result<Value, StripeError> {
    call.form.only(&["amount_to_capture", "expand[]"])?;
    secret_key_only(call)?;
    let mut intent = find(call)?;
    if intent["status"] != "requires_capture" {
        return Err(unexpected_state(&intent, "capture"));
    }
    let capturable = intent["amount_capturable"].as_i64().unwrap_or_default();
    let amount = call.form.integer("amount_to_capture")?.unwrap_or(capturable);
    if !(1..=capturable).contains(&amount) {
        let message = format!("amount_to_capture must be between 1 and {capturable}");
        return Err(StripeError::invalid("amount_too_large", Some("amount_to_capture"), message));
    }
    collect(call.world, &mut intent, amount, call.idempotency_key.as_deref());
    call.world.put_intent(&intent);
    call.world.emit("payment_intent.succeeded", &intent, call);
    Ok(intent)
}

/// The payer's part of 3-D Secure, done elsewhere and told to Stripe by the bank.
pub(crate) fn authenticate(world: &World, id: &str, success: bool) -> Result<Value, StripeError> {
    let _serial = world.one_at_a_time();
    let mut intent = world.intent(id).ok_or_else(|| StripeError::missing("payment_intent", id))?;
    if intent["status"] != "requires_action" {
        return Err(unexpected_state(&intent, "authenticate"));
    }
    intent["next_action"] = Value::Null;
    if success {
        authorise(world, &mut intent, None);
        world.put_intent(&intent);
        let event = if intent["status"] == "succeeded" { "succeeded" } else { "amount_capturable_updated" };
        world.emit_for(&format!("payment_intent.{event}"), &intent, None, None);
    } else {
        intent["status"] = "requires_payment_method".into();
        intent["payment_method"] = Value::Null;
        intent["last_payment_error"] = json!({
            "type": "card_error",
            "code": "payment_intent_authentication_failure",
            "message": "The provided payment method has failed authentication.",
        });
        world.put_intent(&intent);
        world.emit_for("payment_intent.payment_failed", &intent, None, None);
    }
    Ok(intent)
}

/// Tries the payment method.
fn pay(call: &Call<'_>, intent: &mut Value) -> Result<(), StripeError> {
    let method = intent["payment_method"].as_str().unwrap_or_default().to_owned();
    match card(&method) {
        Some(Card::Pays) => {
            intent["last_payment_error"] = Value::Null;
            authorise(call.world, intent, call.idempotency_key.as_deref());
            call.world.put_intent(intent);
            let event = if intent["status"] == "succeeded" { "succeeded" } else { "amount_capturable_updated" };
            call.world.emit(&format!("payment_intent.{event}"), intent, call);
            Ok(())
        }
        Some(Card::Authenticates) => {
            intent["status"] = "requires_action".into();
            intent["next_action"] = match intent["return_url"].as_str() {
                Some(url) => json!({
                    "type": "redirect_to_url",
                    "redirect_to_url": { "url": "https://hooks.stripe.com/3d_secure_2/simulated", "return_url": url },
                }),
                None => json!({ "type": "use_stripe_sdk", "use_stripe_sdk": {} }),
            };
            call.world.put_intent(intent);
            call.world.emit("payment_intent.requires_action", intent, call);
            Ok(())
        }
        Some(Card::Declines(code, decline_code)) => {
            let charge = random_id("ch");
            let error = decline(code, decline_code, Some(&charge));
            intent["status"] = "requires_payment_method".into();
            intent["latest_charge"] = charge.into();
            intent["last_payment_error"] = error.clone();
            intent["payment_method"] = Value::Null;
            call.world.put_intent(intent);
            call.world.emit("payment_intent.payment_failed", intent, call);
            Err(StripeError::declined(&error, intent))
        }
        None => Err(StripeError::missing("PaymentMethod", &method).after_it_began()),
    }
}

/// The bank agrees: the money is taken, or held for a manual capture.
fn authorise(world: &World, intent: &mut Value, key: Option<&str>) {
    let amount = intent["amount"].as_i64().unwrap_or_default();
    if intent["capture_method"] == "manual" {
        intent["status"] = "requires_capture".into();
        intent["amount_capturable"] = amount.into();
    } else {
        collect(world, intent, amount, key);
    }
}

fn collect(world: &World, intent: &mut Value, amount: i64, key: Option<&str>) {
    let charge = random_id("ch");
    intent["status"] = "succeeded".into();
    intent["amount_received"] = amount.into();
    intent["amount_capturable"] = 0.into();
    intent["latest_charge"] = charge.as_str().into();
    let metadata: BTreeMap<String, String> = serde_json::from_value(intent["metadata"].clone()).unwrap_or_default();
    world.move_money(LedgerEntry {
        id: charge,
        kind: "charge".to_owned(),
        payment_intent: intent["id"].as_str().unwrap_or_default().to_owned(),
        amount,
        currency: intent["currency"].as_str().unwrap_or_default().to_owned(),
        status: "succeeded".to_owned(),
        idempotency_key: key.map(str::to_owned),
        metadata,
        created: world.now(),
    });
}

fn find(call: &Call<'_>) -> Result<Value, StripeError> {
    call.world.intent(&call.id).ok_or_else(|| StripeError::missing("payment_intent", &call.id))
}

/// A browser needs the client secret.
fn allowed(call: &Call<'_>, intent: &Value) -> Result<(), StripeError> {
    let given = call.form.get("client_secret");
    if (call.publishable || given.is_some()) && intent["client_secret"].as_str() != given {
        let message = "The client_secret provided does not match this PaymentIntent.";
        return Err(StripeError::invalid("payment_intent_invalid_parameter", Some("client_secret"), message));
    }
    Ok(())
}

fn secret_key_only(call: &Call<'_>) -> Result<(), StripeError> {
    if call.publishable {
        let message = "This API call cannot be made with a publishable API key.";
        return Err(StripeError::new(
            StatusCode::UNAUTHORIZED,
            "invalid_request_error",
            Some("secret_key_required"),
            None,
            message,
        ));
    }
    Ok(())
}

fn unexpected_state(intent: &Value, action: &str) -> StripeError {
    let status = intent["status"].as_str().unwrap_or_default();
    let message = format!("You cannot {action} this PaymentIntent because it has a status of {status}.");
    StripeError::invalid("payment_intent_unexpected_state", None, message).after_it_began()
}

fn may_confirm(has_method: bool, lacks_return_url: bool) -> Result<(), StripeError> {
    if !has_method {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method.";
        return Err(StripeError::invalid("payment_intent_unexpected_state", None, message));
    }
    if lacks_return_url {
        let message = "This PaymentIntent accepts payment methods that redirect: provide a return_url, or set \
                       automatic_payment_methods[allow_redirects]=never.";
        return Err(StripeError::invalid("parameter_missing", Some("return_url"), message));
    }
    Ok(())
}

fn payment_method(form: &Form) -> Result<Option<String>, StripeError> {
    match form.get("payment_method") {
        Some(method) if card(method).is_none() => Err(StripeError::missing("PaymentMethod", method)),
        method => Ok(method.map(str::to_owned)),
    }
}

fn capture_method(form: &Form) -> Result<&str, StripeError> {
    match form.get("capture_method") {
        None => Ok("automatic_async"),
        Some(known @ ("automatic" | "automatic_async" | "manual")) => Ok(known),
        Some(other) => {
            let message = format!("Invalid capture_method: {other}");
            Err(StripeError::invalid("parameter_invalid", Some("capture_method"), message))
        }
    }
}

fn amount(form: &Form) -> Result<(i64, String), StripeError> {
    let missing =
        |name: &str| StripeError::invalid("parameter_missing", Some(name), format!("Missing required param: {name}."));
    let currency = form.get("currency").ok_or_else(|| missing("currency"))?.to_ascii_lowercase();
    let amount = form.integer("amount")?.ok_or_else(|| missing("amount"))?;
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_lowercase()) {
        let message = format!("Invalid currency: {currency}");
        return Err(StripeError::invalid("parameter_invalid", Some("currency"), message));
    }
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.";
        return Err(StripeError::invalid("parameter_invalid_integer", Some("amount"), message));
    }
    if matches!(currency.as_str(), "isk" | "ugx") && amount % 100 != 0 {
        let code = "invalid_charge_amount_no_decimal_compatible";
        return Err(StripeError::invalid(code, Some("amount"), "The amount must be divisible by 100."));
    }
    if AMOUNT_MIN.iter().any(|(code, least)| *code == currency && amount < *least) {
        let message = "The amount must be greater than or equal to the minimum charge amount.";
        return Err(StripeError::invalid("amount_too_small", Some("amount"), message));
    }
    if amount > 99_999_999_999 {
        let message = "The amount is too large.";
        return Err(StripeError::invalid("amount_too_large", Some("amount"), message));
    }
    Ok((amount, currency))
}

fn texts(form: &Form) -> Result<(), StripeError> {
    if form.get("statement_descriptor").is_some() {
        let message = "For cards use statement_descriptor_suffix.";
        return Err(StripeError::invalid("parameter_invalid", Some("statement_descriptor"), message));
    }
    if let Some(suffix) = form.get("statement_descriptor_suffix") {
        let letters = suffix.chars().any(|c| c.is_ascii_alphabetic());
        if suffix.chars().count() > 22 || !letters || suffix.contains(['<', '>', '\\', '\'', '"', '*']) {
            let message = "The statement descriptor suffix is not valid.";
            return Err(StripeError::invalid("parameter_invalid", Some("statement_descriptor_suffix"), message));
        }
    }
    if form.get("description").is_some_and(|text| text.chars().count() > 1_000) {
        let message = "The description is too long.";
        return Err(StripeError::invalid("parameter_invalid_string_length", Some("description"), message));
    }
    Ok(())
}
