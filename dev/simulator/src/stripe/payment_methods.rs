//! `/v1/payment_methods`. A test token such as `pm_card_visa` makes a new one each time it is used, as at Stripe.

use serde_json::{Value, json};

use super::cards::{Card, Outcome, card, decline};
use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::list::{self, like};
use super::params::{METADATA, PAGE, Type, may, need};
use super::store::{Kind, OURS, id_of, text};
use super::world::{Actor, random_id};

const TYPES: Type = Type::OneOf(&["card"]);

pub(crate) const RETRIEVE: Operation =
    Operation::get("payment_methods.retrieve", "/payment_methods/:id", &[], Gives::One(Kind::PaymentMethod), retrieve);

pub(crate) const UPDATE: Operation = Operation::post(
    "payment_methods.update",
    "/payment_methods/:id",
    &[METADATA, &[may("card[exp_month]", Type::Integer), may("card[exp_year]", Type::Integer)]],
    Gives::One(Kind::PaymentMethod),
    update,
);

pub(crate) const ATTACH: Operation = Operation::post(
    "payment_methods.attach",
    "/payment_methods/:id/attach",
    &[&[need("customer", Type::Id)]],
    Gives::One(Kind::PaymentMethod),
    attach,
);

pub(crate) const DETACH: Operation = Operation::post(
    "payment_methods.detach",
    "/payment_methods/:id/detach",
    &[],
    Gives::One(Kind::PaymentMethod),
    detach,
);

pub(crate) const LIST: Operation = Operation::get(
    "payment_methods.list",
    "/payment_methods",
    &[PAGE, &[may("customer", Type::Id), may("type", TYPES)]],
    Gives::List(Kind::PaymentMethod),
    |call| {
        call.named(Kind::Customer, "customer")?;
        list::page(call, |method| call.form.has("customer") && like(&call.form, method, "customer"))
    },
);

pub(crate) const LIST_OF_CUSTOMER: Operation = Operation::get(
    "customers.payment_methods",
    "/customers/:id/payment_methods",
    &[PAGE, &[may("type", TYPES)]],
    Gives::List(Kind::PaymentMethod),
    |call| {
        let customer = call.world.get(Kind::Customer, &call.id).filter(|customer| customer["deleted"] != true);
        customer.ok_or_else(|| StripeError::missing(Kind::Customer, &call.id))?;
        list::page(call, |method| text(method, "customer") == call.id)
    },
);

fn retrieve(call: &Call<'_>) -> Result<Value, StripeError> {
    match card(&call.id) {
        Some(card) => Ok(make(call.actor(), &call.id, card)),
        None => call.object(),
    }
}

fn update(call: &Call<'_>) -> Result<Value, StripeError> {
    let mut method = call.object()?;
    if text(&method, "customer").is_empty() {
        let message = "You must save this PaymentMethod to a customer before you can update it.";
        return Err(StripeError::bad(None, message));
    }
    method["metadata"] = call.form.merged_metadata(&method["metadata"])?;
    expiry(&mut method, call.form.integer("card[exp_month]"), call.form.integer("card[exp_year]"))?;
    call.actor().change(Kind::PaymentMethod, &method, "payment_method.updated");
    Ok(method)
}

/// Changes when the card expires.
pub(crate) fn expiry(method: &mut Value, month: Option<i64>, year: Option<i64>) -> Result<(), StripeError> {
    if month.is_some_and(|month| !(1..=12).contains(&month)) {
        let message = "Your card's expiration month is invalid.";
        return Err(StripeError::invalid("invalid_expiry_month", Some("card[exp_month]"), message));
    }
    if year.is_some_and(|year| !(1_970..=2_100).contains(&year)) {
        let message = "Your card's expiration year is invalid.";
        return Err(StripeError::invalid("invalid_expiry_year", Some("card[exp_year]"), message));
    }
    if let Some(month) = month {
        method["card"]["exp_month"] = month.into();
    }
    if let Some(year) = year {
        method["card"]["exp_year"] = year.into();
    }
    Ok(())
}

fn attach(call: &Call<'_>) -> Result<Value, StripeError> {
    let customer = call.form.get("customer").unwrap_or_default();
    call.named(Kind::Customer, "customer")?;
    if card(&call.id).is_none() && call.world.get(Kind::PaymentMethod, &call.id).is_none() {
        return Err(StripeError::missing(Kind::PaymentMethod, &call.id));
    }
    let id = take(call.actor(), &call.id, Some(customer))?;
    let method = call.world.get(Kind::PaymentMethod, &id).unwrap_or_default();
    if let Outcome::Declines(code, decline_code) = card_of(&method).outcome {
        return Err(StripeError::declined(&decline(code, decline_code, None), &method));
    }
    attach_to(call.actor(), &id, customer)
}

fn detach(call: &Call<'_>) -> Result<Value, StripeError> {
    let method = call.object()?;
    if text(&method, "customer").is_empty() {
        let message = "The payment method you provided is not attached to a customer so detachment is impossible.";
        return Err(StripeError::bad(None, message).after_it_began());
    }
    Ok(detach_from(call.actor(), method))
}

/// A new PaymentMethod with the behaviour of a test card.
pub(crate) fn make(actor: Actor<'_>, token: &str, card: Card) -> Value {
    let method = json!({
        "id": random_id("pm"),
        "object": "payment_method",
        "type": "card",
        "allow_redisplay": "unspecified",
        "billing_details": { "address": null, "email": null, "name": null, "phone": null, "tax_id": null },
        "card": {
            "brand": card.brand,
            "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
            "country": "US",
            "display_brand": card.brand,
            "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": format!("simulated{}", card.last4),
            "funding": if token == "pm_card_visa_debit" { "debit" } else { "credit" },
            "generated_from": null,
            "last4": card.last4,
            "networks": { "available": [card.brand], "preferred": null },
            "three_d_secure_usage": { "supported": true },
            "wallet": null,
        },
        "created": actor.now(),
        "customer": null,
        "livemode": false,
        "metadata": {},
        OURS: { "card": token, "spent": false, "set_up": false },
    });
    actor.put(Kind::PaymentMethod, &method);
    method
}

/// How a PaymentMethod behaves.
pub(crate) fn card_of(method: &Value) -> Card {
    let token = method[OURS]["card"].as_str().unwrap_or("pm_card_visa");
    card(token).unwrap_or(Card {
        outcome: Outcome::Pays,
        refunds: super::cards::Refunds::Succeed,
        disputed: false,
        brand: "visa",
        last4: "4242",
    })
}

/// The id of the PaymentMethod that a parameter names, fit to be used for the customer: a token makes a new one.
pub(crate) fn take(actor: Actor<'_>, given: &str, customer: Option<&str>) -> Result<String, StripeError> {
    if let Some(card) = card(given) {
        return Ok(id_of(&make(actor, given, card)).to_owned());
    }
    let method = actor.get(Kind::PaymentMethod, given);
    let method = method.ok_or_else(|| StripeError::missing_param(Kind::PaymentMethod, given, "payment_method"))?;
    let owner = text(&method, "customer");
    match customer {
        _ if owner.is_empty() && method[OURS]["spent"] == true => {
            let message = "The provided PaymentMethod was previously used with a PaymentIntent without Customer \
                           attachment, shared with a connected account without Customer attachment, or was detached \
                           from a Customer. It may not be used again. To use a PaymentMethod multiple times, you must \
                           attach it to a Customer first.";
            Err(StripeError::bad(Some("payment_method"), message))
        }
        None if !owner.is_empty() => {
            let message = format!(
                "The provided PaymentMethod ({given}) belongs to a Customer ({owner}). Please include the Customer in \
                 the `customer` parameter."
            );
            Err(StripeError::bad(Some("payment_method"), message))
        }
        Some(customer) if !owner.is_empty() && owner != customer => {
            Err(must_belong(&method, customer, "payment_method").err().unwrap_or_else(|| not_theirs(given, "")))
        }
        _ => Ok(given.to_owned()),
    }
}

fn not_theirs(id: &str, param: &str) -> StripeError {
    let message = format!(
        "The customer does not have a payment method with the ID {id}. The payment method must be attached to the \
         customer."
    );
    StripeError::invalid("resource_missing", Some(param), message)
}

/// A default payment method must be attached to the customer.
pub(crate) fn must_belong(method: &Value, customer: &str, param: &str) -> Result<(), StripeError> {
    if text(method, "customer") == customer { Ok(()) } else { Err(not_theirs(id_of(method), param)) }
}

/// Attaches it, unless it is attached.
pub(crate) fn attach_to(actor: Actor<'_>, id: &str, customer: &str) -> Result<Value, StripeError> {
    let method = actor.get(Kind::PaymentMethod, id);
    let mut method = method.ok_or_else(|| StripeError::missing_param(Kind::PaymentMethod, id, "payment_method"))?;
    if text(&method, "customer") != customer {
        method["customer"] = customer.into();
        method[OURS]["spent"] = false.into();
        actor.save(Kind::PaymentMethod, &method, "payment_method.attached");
    }
    Ok(method)
}

/// Takes it from its customer, for ever, and from whatever would be paid with it.
pub(crate) fn detach_from(actor: Actor<'_>, mut method: Value) -> Value {
    let (id, before) = (id_of(&method).to_owned(), method.clone());
    let customer = text(&method, "customer").to_owned();
    method["customer"] = Value::Null;
    method[OURS]["spent"] = true.into();
    actor.put(Kind::PaymentMethod, &method);
    if let Some(mut owner) = actor.get(Kind::Customer, &customer)
        && owner["invoice_settings"]["default_payment_method"] == id.as_str()
    {
        owner["invoice_settings"]["default_payment_method"] = Value::Null;
        actor.change(Kind::Customer, &owner, "customer.updated");
    }
    let with = |subscription: &Value| text(subscription, "default_payment_method") == id;
    for mut subscription in actor.world.select(Kind::Subscription, with) {
        subscription["default_payment_method"] = Value::Null;
        actor.change(Kind::Subscription, &subscription, "customer.subscription.updated");
    }
    actor.changed("payment_method.detached", &before, &method);
    method
}

/// It was used: set up for later, or spent if nobody keeps it.
pub(crate) fn used(actor: Actor<'_>, id: &str, keep_for: Option<&str>) {
    if let Some(customer) = keep_for {
        let _ = attach_to(actor, id, customer);
    }
    let Some(mut method) = actor.get(Kind::PaymentMethod, id) else { return };
    if keep_for.is_some() {
        method[OURS]["set_up"] = true.into();
    }
    if text(&method, "customer").is_empty() {
        method[OURS]["spent"] = true.into();
    }
    actor.put(Kind::PaymentMethod, &method);
}
