//! `/v1/customers`.

use serde_json::{Value, json};

use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::list::{self, like};
use super::params::{CREATED, METADATA, PAGE, Param, Type, may};
use super::store::{Kind, id_of, text};
use super::world::random_id;
use super::{payment_methods, subscriptions};

const GIVEN: &[Param] = &[
    may("email", Type::Clearable),
    may("name", Type::Clearable),
    may("description", Type::Clearable),
    may("phone", Type::Clearable),
    may("invoice_settings[default_payment_method]", Type::ClearableId),
];

pub(crate) const CREATE: Operation = Operation::post(
    "customers.create",
    "/customers",
    &[GIVEN, METADATA, &[may("payment_method", Type::Id)]],
    Gives::One(Kind::Customer),
    create,
);

pub(crate) const RETRIEVE: Operation =
    Operation::get("customers.retrieve", "/customers/:id", &[], Gives::One(Kind::Customer), |call| call.object());

pub(crate) const UPDATE: Operation =
    Operation::post("customers.update", "/customers/:id", &[GIVEN, METADATA], Gives::One(Kind::Customer), update);

pub(crate) const DELETE: Operation =
    Operation::delete("customers.delete", "/customers/:id", &[], Gives::One(Kind::Customer), delete);

pub(crate) const LIST: Operation = Operation::get(
    "customers.list",
    "/customers",
    &[PAGE, CREATED, &[may("email", Type::Email)]],
    Gives::List(Kind::Customer),
    |call| list::page(call, |customer| customer["deleted"] != true && like(&call.form, customer, "email")),
);

fn create(call: &Call<'_>) -> Result<Value, StripeError> {
    email(call)?;
    let mut customer = json!({
        "id": random_id("cus"),
        "object": "customer",
        "created": call.world.now(),
        "email": null,
        "name": null,
        "description": null,
        "phone": null,
        "address": null,
        "metadata": call.form.metadata()?,
        "livemode": false,
        "delinquent": false,
        "balance": 0,
        "currency": null,
        "default_source": null,
        "discount": null,
        "invoice_prefix": "SIMULATE",
        "invoice_settings": { "custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null },
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "shipping": null,
        "tax_exempt": "none",
        "test_clock": null,
    });
    call.form.fill(&mut customer, &["email", "name", "description", "phone"]);
    if call.form.has("invoice_settings[default_payment_method]") && !call.form.has("payment_method") {
        let message = "The customer does not have a payment method yet; give it as payment_method too.";
        return Err(StripeError::bad(Some("invoice_settings[default_payment_method]"), message));
    }
    let method = match call.form.get("payment_method") {
        Some(given) => Some(payment_methods::take(call.actor(), given, None)?),
        None => None,
    };
    call.actor().save(Kind::Customer, &customer, "customer.created");
    if let Some(method) = method {
        let method = payment_methods::attach_to(call.actor(), &method, id_of(&customer))?;
        if call.form.has("invoice_settings[default_payment_method]") {
            customer["invoice_settings"]["default_payment_method"] = method["id"].clone();
            call.actor().put(Kind::Customer, &customer);
        }
    }
    Ok(customer)
}

fn update(call: &Call<'_>) -> Result<Value, StripeError> {
    email(call)?;
    let mut customer = living(call)?;
    customer["metadata"] = call.form.merged_metadata(&customer["metadata"])?;
    call.form.fill(&mut customer, &["email", "name", "description", "phone"]);
    let param = "invoice_settings[default_payment_method]";
    if call.form.has(param) {
        if let Some(method) = call.named(Kind::PaymentMethod, param)? {
            payment_methods::must_belong(&method, id_of(&customer), param)?;
        }
        customer["invoice_settings"]["default_payment_method"] = call.form.get(param).into();
    }
    call.actor().change(Kind::Customer, &customer, "customer.updated");
    Ok(customer)
}

/// For ever: subscriptions end, payment methods are detached, and what is left says that it was deleted.
fn delete(call: &Call<'_>) -> Result<Value, StripeError> {
    let customer = living(call)?;
    let (actor, id) = (call.actor(), id_of(&customer));
    for subscription in call.world.select(Kind::Subscription, |subscription| text(subscription, "customer") == id) {
        subscriptions::end(actor, subscription);
    }
    for method in call.world.select(Kind::PaymentMethod, |method| text(method, "customer") == id) {
        payment_methods::detach_from(actor, method);
    }
    let left = json!({ "id": id, "object": "customer", "deleted": true });
    actor.put(Kind::Customer, &left);
    actor.emit("customer.deleted", &customer);
    Ok(left)
}

/// The customer of the path, unless it was deleted.
fn living(call: &Call<'_>) -> Result<Value, StripeError> {
    let customer = call.object()?;
    if customer["deleted"] == true {
        return Err(StripeError::missing(Kind::Customer, &call.id));
    }
    Ok(customer)
}

fn email(call: &Call<'_>) -> Result<(), StripeError> {
    match call.form.get("email") {
        Some(email) if !email.contains('@') || email.chars().count() > 512 => {
            Err(StripeError::invalid("email_invalid", Some("email"), format!("Invalid email address: {email}")))
        }
        _ => Ok(()),
    }
}
