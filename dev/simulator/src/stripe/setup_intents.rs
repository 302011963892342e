//! `/v1/setup_intents`: a payment method is kept for later.

use serde_json::{Value, json};

use super::cards::{Outcome, decline};
use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::list::{self, like};
use super::params::{CREATED, METADATA, PAGE, Param, Type, may};
use super::payment_intents::{allowed, pay::next_action};
use super::payment_methods::{self, card_of};
use super::store::{Kind, OURS, text};
use super::subscriptions;
use super::world::{Actor, random_id, random_text};

const NO_TYPES: &[Param] = &[
    may("payment_method_types", Type::NoPaymentMethodTypes),
    may("payment_method_types[]", Type::NoPaymentMethodTypes),
];

pub(crate) const CREATE: Operation = Operation::post(
    "setup_intents.create",
    "/setup_intents",
    &[
        NO_TYPES,
        METADATA,
        &[
            may("automatic_payment_methods[enabled]", Type::Boolean),
            may("automatic_payment_methods[allow_redirects]", Type::OneOf(&["always", "never"])),
            may("confirm", Type::Boolean),
            may("customer", Type::Id),
            may("description", Type::Text),
            may("payment_method", Type::Id),
            may("return_url", Type::Url),
            may("usage", Type::OneOf(&["on_session", "off_session"])),
            may("use_stripe_sdk", Type::Boolean),
        ],
    ],
    Gives::One(Kind::SetupIntent),
    create,
);

pub(crate) const RETRIEVE: Operation = Operation::get(
    "setup_intents.retrieve",
    "/setup_intents/:id",
    &[&[may("client_secret", Type::Text)]],
    Gives::One(Kind::SetupIntent),
    |call| {
        let intent = call.object()?;
        allowed(call, &intent, "setup_intent_invalid_parameter")?;
        Ok(intent)
    },
)
.for_browsers();

pub(crate) const LIST: Operation = Operation::get(
    "setup_intents.list",
    "/setup_intents",
    &[PAGE, CREATED, &[may("customer", Type::Id), may("payment_method", Type::Id)]],
    Gives::List(Kind::SetupIntent),
    |call| {
        list::page(call, |intent| like(&call.form, intent, "customer") && like(&call.form, intent, "payment_method"))
    },
);

pub(crate) const CONFIRM: Operation = Operation::post(
    "setup_intents.confirm",
    "/setup_intents/:id/confirm",
    &[
        NO_TYPES,
        &[
            may("payment_method", Type::Id),
            may("return_url", Type::Url),
            may("client_secret", Type::Text),
            may("use_stripe_sdk", Type::Boolean),
        ],
    ],
    Gives::One(Kind::SetupIntent),
    confirm,
)
.for_browsers();

pub(crate) const CANCEL: Operation = Operation::post(
    "setup_intents.cancel",
    "/setup_intents/:id/cancel",
    &[&[may("cancellation_reason", Type::OneOf(&["abandoned", "duplicate", "requested_by_customer"]))]],
    Gives::One(Kind::SetupIntent),
    |call| {
        let mut intent = call.object()?;
        if matches!(text(&intent, "status"), "succeeded" | "canceled") {
            return Err(unexpected_state(&intent, "cancel"));
        }
        intent["status"] = "canceled".into();
        intent["cancellation_reason"] = call.form.get("cancellation_reason").into();
        intent["next_action"] = Value::Null;
        call.actor().save(Kind::SetupIntent, &intent, "setup_intent.canceled");
        Ok(intent)
    },
);

fn create(call: &Call<'_>) -> Result<Value, StripeError> {
    let (form, actor) = (&call.form, call.actor());
    call.named(Kind::Customer, "customer")?;
    let confirm = form.boolean("confirm") == Some(true);
    if !confirm && form.has("return_url") {
        let message = "return_url can only be used with confirm=true";
        return Err(StripeError::invalid("parameter_unknown", Some("return_url"), message));
    }
    let redirects = form.get("automatic_payment_methods[allow_redirects]") != Some("never");
    if confirm {
        may_confirm(form.has("payment_method"), redirects && !form.has("return_url"))?;
    }
    let metadata = form.metadata()?;
    let customer = form.get("customer");
    let method = form.get("payment_method").map(|given| payment_methods::take(actor, given, customer)).transpose()?;
    let mut intent = new(actor, customer);
    intent["automatic_payment_methods"] = json!({
        "enabled": true,
        "allow_redirects": form.get("automatic_payment_methods[allow_redirects]").unwrap_or("always"),
    });
    intent["metadata"] = metadata;
    intent["usage"] = form.get("usage").unwrap_or("off_session").into();
    intent["status"] = if method.is_some() { "requires_confirmation" } else { "requires_payment_method" }.into();
    intent["payment_method"] = method.into();
    intent[OURS] = json!({ "return_url": form.get("return_url") });
    form.fill(&mut intent, &["description"]);
    actor.save(Kind::SetupIntent, &intent, "setup_intent.created");
    if confirm {
        attempt(actor, &mut intent)?;
    }
    Ok(intent)
}

/// A SetupIntent without a payment method. It is not stored yet.
pub(crate) fn new(actor: Actor<'_>, customer: Option<&str>) -> Value {
    let id = random_id("seti");
    json!({
        "id": id,
        "object": "setup_intent",
        "application": null,
        "automatic_payment_methods": null,
        "cancellation_reason": null,
        "client_secret": format!("{id}_secret_{}", random_text()),
        "created": actor.now(),
        "customer": customer,
        "description": null,
        "flow_directions": null,
        "last_setup_error": null,
        "latest_attempt": null,
        "livemode": false,
        "mandate": null,
        "metadata": {},
        "next_action": null,
        "on_behalf_of": null,
        "payment_method": null,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "single_use_mandate": null,
        "status": "requires_payment_method",
        "usage": "off_session",
        OURS: {},
    })
}

fn confirm(call: &Call<'_>) -> Result<Value, StripeError> {
    let form = &call.form;
    let mut intent = call.object()?;
    allowed(call, &intent, "setup_intent_invalid_parameter")?;
    if !matches!(text(&intent, "status"), "requires_payment_method" | "requires_confirmation" | "requires_action") {
        return Err(unexpected_state(&intent, "confirm"));
    }
    let redirects = intent["automatic_payment_methods"].is_object()
        && intent["automatic_payment_methods"]["allow_redirects"] != "never";
    may_confirm(
        form.has("payment_method") || intent["payment_method"].is_string(),
        redirects && !form.has("return_url"),
    )?;
    if let Some(method) = form.get("payment_method") {
        intent["payment_method"] = payment_methods::take(call.actor(), method, intent["customer"].as_str())?.into();
    }
    if form.has("return_url") {
        intent[OURS]["return_url"] = form.get("return_url").into();
    }
    attempt(call.actor(), &mut intent)?;
    Ok(intent)
}

fn attempt(actor: Actor<'_>, intent: &mut Value) -> Result<(), StripeError> {
    let method = actor.get(Kind::PaymentMethod, text(intent, "payment_method")).unwrap_or_default();
    match card_of(&method).outcome {
        Outcome::Authenticates | Outcome::AuthenticatesUnlessSetUp => {
            intent["status"] = "requires_action".into();
            intent["next_action"] = next_action(&intent[OURS]);
            actor.save(Kind::SetupIntent, intent, "setup_intent.requires_action");
        }
        Outcome::Declines(code, decline_code) => {
            let mut error = decline(code, decline_code, None);
            error["payment_method"] = method;
            refuse(actor, intent, error.clone());
            return Err(StripeError::declined(&error, intent));
        }
        Outcome::Pays | Outcome::DeclinesLater | Outcome::Processes => succeed(actor, intent),
    }
    Ok(())
}

fn succeed(actor: Actor<'_>, intent: &mut Value) {
    intent["status"] = "succeeded".into();
    intent["next_action"] = Value::Null;
    intent["last_setup_error"] = Value::Null;
    payment_methods::used(actor, text(intent, "payment_method"), intent["customer"].as_str());
    actor.save(Kind::SetupIntent, intent, "setup_intent.succeeded");
    subscriptions::set_up_by(actor, intent);
}

fn refuse(actor: Actor<'_>, intent: &mut Value, error: Value) {
    intent["status"] = "requires_payment_method".into();
    intent["payment_method"] = Value::Null;
    intent["next_action"] = Value::Null;
    intent["last_setup_error"] = error;
    actor.save(Kind::SetupIntent, intent, "setup_intent.setup_failed");
}

/// The payer's part of 3-D Secure.
pub(crate) fn authenticate(actor: Actor<'_>, id: &str, success: bool) -> Result<Value, StripeError> {
    let intent = actor.get(Kind::SetupIntent, id);
    let mut intent = intent.ok_or_else(|| StripeError::missing(Kind::SetupIntent, id))?;
    if intent["status"] != "requires_action" {
        return Err(unexpected_state(&intent, "authenticate"));
    }
    if success {
        succeed(actor, &mut intent);
    } else {
        let error = json!({
            "type": "card_error",
            "code": "setup_intent_authentication_failure",
            "message": "The provided payment method has failed authentication.",
        });
        refuse(actor, &mut intent, error);
    }
    Ok(intent)
}

fn unexpected_state(intent: &Value, action: &str) -> StripeError {
    let message =
        format!("You cannot {action} this SetupIntent because it has a status of {}.", text(intent, "status"));
    StripeError::invalid("setup_intent_unexpected_state", None, message).after_it_began()
}

fn may_confirm(has_method: bool, lacks_return_url: bool) -> Result<(), StripeError> {
    if !has_method {
        let message = "You cannot confirm this SetupIntent because it's missing a payment method.";
        return Err(StripeError::invalid("setup_intent_unexpected_state", None, message));
    }
    if lacks_return_url {
        let message = "This SetupIntent accepts payment methods that redirect: provide a return_url, or set \
                       automatic_payment_methods[allow_redirects]=never.";
        return Err(StripeError::invalid("parameter_missing", Some("return_url"), message));
    }
    Ok(())
}
