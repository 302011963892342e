//! How a PaymentIntent comes to be.

use serde_json::{Value, json};

use super::super::error::StripeError;
use super::super::form::Form;
use super::super::gate::Call;
use super::super::store::{Kind, OURS};
use super::super::world::{Actor, random_id, random_text};
use super::super::{money, payment_methods};
use super::{may_confirm, pay};

pub(super) fn create(call: &Call<'_>) -> Result<Value, StripeError> {
    let (form, actor) = (&call.form, call.actor());
    let amount = form.integer("amount").unwrap_or_default();
    let currency = form.get("currency").unwrap_or_default().to_ascii_lowercase();
    money::chargeable(amount, &currency, "amount")?;
    texts(form)?;
    call.named(Kind::Customer, "customer")?;
    let customer = form.get("customer");
    let (confirm, off_session) = (form.boolean("confirm") == Some(true), form.boolean("off_session") == Some(true));
    together(form, confirm, off_session)?;
    if confirm {
        let redirects = form.get("automatic_payment_methods[allow_redirects]") != Some("never");
        may_confirm(form.has("payment_method"), redirects && !off_session && !form.has("return_url"))?;
    }
    let metadata = form.metadata()?;
    let method = form.get("payment_method").map(|given| payment_methods::take(actor, given, customer)).transpose()?;
    let mut intent = new(actor, amount, &currency);
    intent["automatic_payment_methods"] = json!({
        "enabled": true,
        "allow_redirects": form.get("automatic_payment_methods[allow_redirects]").unwrap_or("always"),
    });
    intent["capture_method"] = form.get("capture_method").unwrap_or("automatic_async").into();
    intent["metadata"] = metadata;
    intent["status"] = if method.is_some() { "requires_confirmation" } else { "requires_payment_method" }.into();
    intent["payment_method"] = method.into();
    let texts =
        ["customer", "description", "receipt_email", "return_url", "setup_future_usage", "statement_descriptor_suffix"];
    form.fill(&mut intent, &texts);
    actor.save(Kind::PaymentIntent, &intent, "payment_intent.created");
    if confirm {
        pay::attempt(actor, &mut intent, !off_session)?;
    }
    Ok(intent)
}

/// A PaymentIntent of which only the amount is known.
pub(crate) fn new(actor: Actor<'_>, amount: i64, currency: &str) -> Value {
    let id = random_id("pi");
    json!({
        "id": id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": { "tip": {} },
        "amount_received": 0,
        "application": null,
        "application_fee_amount": null,
        "automatic_payment_methods": null,
        "canceled_at": null,
        "cancellation_reason": null,
        "capture_method": "automatic",
        "client_secret": format!("{id}_secret_{}", random_text()),
        "confirmation_method": "automatic",
        "created": actor.now(),
        "currency": currency,
        "customer": null,
        "description": null,
        "last_payment_error": null,
        "latest_charge": null,
        "livemode": false,
        "metadata": {},
        "next_action": null,
        "on_behalf_of": null,
        "payment_method": null,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": null,
        "receipt_email": null,
        "return_url": null,
        "review": null,
        "setup_future_usage": null,
        "shipping": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": "requires_payment_method",
        "transfer_data": null,
        "transfer_group": null,
        OURS: {},
    })
}

/// Parameters that only go with others, or not with them.
fn together(form: &Form, confirm: bool, off_session: bool) -> Result<(), StripeError> {
    if !confirm && form.has("return_url") {
        let message = "return_url can only be used with confirm=true";
        return Err(StripeError::invalid("parameter_unknown", Some("return_url"), message));
    }
    if !confirm && form.has("off_session") {
        let message = "off_session can only be used with confirm=true";
        return Err(StripeError::bad(Some("off_session"), message));
    }
    if off_session && form.has("setup_future_usage") {
        let message = "You cannot set off_session to true and use setup_future_usage.";
        return Err(StripeError::bad(Some("setup_future_usage"), message));
    }
    Ok(())
}

fn texts(form: &Form) -> Result<(), StripeError> {
    if form.has("statement_descriptor") {
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
