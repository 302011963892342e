//! `/v1/payment_intents`: the life of a PaymentIntent.
//!
//! Source: <https://docs.stripe.com/payments/paymentintents/lifecycle>.

mod create;
pub(crate) mod pay;

use serde_json::{Value, json};

use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::list::{self, like};
use super::params::{CREATED, METADATA, PAGE, Param, Type, may, need};
use super::store::{Kind, OURS, number, text};
use super::world::Actor;
use super::{charges, payment_methods};

const CANCELLATION_REASONS: Type = Type::OneOf(&["duplicate", "fraudulent", "requested_by_customer", "abandoned"]);
const FUTURE_USAGE: Type = Type::OneOf(&["on_session", "off_session"]);
const NO_TYPES: &[Param] = &[
    may("payment_method_types", Type::NoPaymentMethodTypes),
    may("payment_method_types[]", Type::NoPaymentMethodTypes),
];

pub(crate) const CREATE: Operation = Operation::post(
    "payment_intents.create",
    "/payment_intents",
    &[
        NO_TYPES,
        METADATA,
        &[
            need("amount", Type::Integer),
            need("currency", Type::Currency),
            may("automatic_payment_methods[enabled]", Type::Boolean),
            may("automatic_payment_methods[allow_redirects]", Type::OneOf(&["always", "never"])),
            may("capture_method", Type::OneOf(&["automatic", "automatic_async", "manual"])),
            may("confirm", Type::Boolean),
            may("customer", Type::Id),
            may("description", Type::Text),
            may("off_session", Type::Boolean),
            may("payment_method", Type::Id),
            may("receipt_email", Type::Email),
            may("return_url", Type::Url),
            may("setup_future_usage", FUTURE_USAGE),
            may("statement_descriptor", Type::Text),
            may("statement_descriptor_suffix", Type::Text),
            may("use_stripe_sdk", Type::Boolean),
        ],
    ],
    Gives::One(Kind::PaymentIntent),
    create::create,
);

pub(crate) const RETRIEVE: Operation = Operation::get(
    "payment_intents.retrieve",
    "/payment_intents/:id",
    &[&[may("client_secret", Type::Text)]],
    Gives::One(Kind::PaymentIntent),
    retrieve,
)
.for_browsers();

pub(crate) const LIST: Operation = Operation::get(
    "payment_intents.list",
    "/payment_intents",
    &[PAGE, CREATED, &[may("customer", Type::Id)]],
    Gives::List(Kind::PaymentIntent),
    |call| list::page(call, |intent| like(&call.form, intent, "customer")),
);

pub(crate) const CONFIRM: Operation = Operation::post(
    "payment_intents.confirm",
    "/payment_intents/:id/confirm",
    &[
        NO_TYPES,
        &[
            may("payment_method", Type::Id),
            may("return_url", Type::Url),
            may("client_secret", Type::Text),
            may("off_session", Type::Boolean),
            may("setup_future_usage", FUTURE_USAGE),
            may("use_stripe_sdk", Type::Boolean),
        ],
    ],
    Gives::One(Kind::PaymentIntent),
    confirm,
)
.for_browsers();

pub(crate) const CANCEL: Operation = Operation::post(
    "payment_intents.cancel",
    "/payment_intents/:id/cancel",
    &[&[may("cancellation_reason", CANCELLATION_REASONS)]],
    Gives::One(Kind::PaymentIntent),
    cancel,
);

pub(crate) const CAPTURE: Operation = Operation::post(
    "payment_intents.capture",
    "/payment_intents/:id/capture",
    &[&[may("amount_to_capture", Type::Integer)]],
    Gives::One(Kind::PaymentIntent),
    capture,
);

fn retrieve(call: &Call<'_>) -> Result<Value, StripeError> {
    let intent = call.object()?;
    allowed(call, &intent, "payment_intent_invalid_parameter")?;
    Ok(intent)
}

fn confirm(call: &Call<'_>) -> Result<Value, StripeError> {
    let (form, actor) = (&call.form, call.actor());
    let mut intent = call.object()?;
    allowed(call, &intent, "payment_intent_invalid_parameter")?;
    if !matches!(text(&intent, "status"), "requires_payment_method" | "requires_confirmation" | "requires_action") {
        return Err(unexpected_state(&intent, "confirm"));
    }
    let off_session = form.boolean("off_session") == Some(true);
    let redirects = intent["automatic_payment_methods"].is_object()
        && intent["automatic_payment_methods"]["allow_redirects"] != "never";
    let lacks_return_url =
        redirects && !off_session && !form.has("return_url") && text(&intent, "return_url").is_empty();
    may_confirm(form.has("payment_method") || intent["payment_method"].is_string(), lacks_return_url)?;
    if let Some(method) = form.get("payment_method") {
        intent["payment_method"] = payment_methods::take(actor, method, intent["customer"].as_str())?.into();
    }
    form.fill(&mut intent, &["return_url", "setup_future_usage"]);
    pay::attempt(actor, &mut intent, !off_session)?;
    Ok(intent)
}

fn cancel(call: &Call<'_>) -> Result<Value, StripeError> {
    let mut intent = call.object()?;
    if matches!(text(&intent, "status"), "succeeded" | "canceled" | "processing") {
        return Err(unexpected_state(&intent, "cancel"));
    }
    if intent[OURS]["invoice"].is_string() {
        let message = "You cannot cancel this PaymentIntent because it belongs to an invoice. Void the invoice.";
        return Err(StripeError::invalid("payment_intent_unexpected_state", None, message).after_it_began());
    }
    call_off(call.actor(), &mut intent, call.form.get("cancellation_reason"));
    Ok(intent)
}

/// Cancels it; money that was held is free again.
pub(crate) fn call_off(actor: Actor<'_>, intent: &mut Value, reason: Option<&str>) {
    intent["status"] = "canceled".into();
    intent["canceled_at"] = actor.now().into();
    intent["cancellation_reason"] = reason.into();
    intent["amount_capturable"] = 0.into();
    intent["next_action"] = Value::Null;
    actor.save(Kind::PaymentIntent, intent, "payment_intent.canceled");
}

fn capture(call: &Call<'_>) -> Result<Value, StripeError> {
    let mut intent = call.object()?;
    if intent["status"] != "requires_capture" {
        return Err(unexpected_state(&intent, "capture"));
    }
    let capturable = number(&intent, "amount_capturable");
    let amount = call.form.integer("amount_to_capture").unwrap_or(capturable);
    if !(1..=capturable).contains(&amount) {
        let message = format!("amount_to_capture must be between 1 and {capturable}");
        return Err(StripeError::invalid("amount_too_large", Some("amount_to_capture"), message));
    }
    super::money::whole(amount, text(&intent, "currency"), "amount_to_capture")?;
    let actor = call.actor();
    charges::capture(actor, text(&intent, "latest_charge"), amount);
    intent["status"] = "succeeded".into();
    intent["amount_received"] = amount.into();
    intent["amount_capturable"] = 0.into();
    actor.save(Kind::PaymentIntent, &intent, "payment_intent.succeeded");
    Ok(intent)
}

/// The payer's part of 3-D Secure, done elsewhere and told to Stripe by the bank.
pub(crate) fn authenticate(actor: Actor<'_>, id: &str, success: bool) -> Result<Value, StripeError> {
    let mut intent = find(actor, id)?;
    if intent["status"] != "requires_action" {
        return Err(unexpected_state(&intent, "authenticate"));
    }
    intent["next_action"] = Value::Null;
    if success {
        pay::authorise(actor, &mut intent);
    } else {
        let error = json!({
            "type": "card_error",
            "code": "payment_intent_authentication_failure",
            "message": "The provided payment method has failed authentication.",
        });
        pay::refuse(actor, &mut intent, error);
    }
    Ok(intent)
}

/// What the bank says in the end about a payment that is `processing`.
pub(crate) fn settle(actor: Actor<'_>, id: &str, success: bool) -> Result<Value, StripeError> {
    let mut intent = find(actor, id)?;
    if intent["status"] != "processing" {
        return Err(unexpected_state(&intent, "settle"));
    }
    if success {
        pay::authorise(actor, &mut intent);
    } else {
        let _ = pay::decline(actor, &mut intent, "payment_intent_payment_attempt_failed", "generic_decline");
    }
    Ok(intent)
}

pub(crate) fn find(actor: Actor<'_>, id: &str) -> Result<Value, StripeError> {
    actor.get(Kind::PaymentIntent, id).ok_or_else(|| StripeError::missing(Kind::PaymentIntent, id))
}

/// A browser needs the client secret.
pub(crate) fn allowed(call: &Call<'_>, object: &Value, code: &str) -> Result<(), StripeError> {
    let given = call.form.get("client_secret");
    if (call.publishable || given.is_some()) && object["client_secret"].as_str() != given {
        let message = "The client_secret provided does not match any associated object.";
        return Err(StripeError::invalid(code, Some("client_secret"), message));
    }
    Ok(())
}

fn unexpected_state(intent: &Value, action: &str) -> StripeError {
    let message =
        format!("You cannot {action} this PaymentIntent because it has a status of {}.", text(intent, "status"));
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
