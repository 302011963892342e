//! `expand[]`: ids become the objects they name.

use serde_json::{Value, json};

use super::error::StripeError;
use super::form::Form;
use super::gate::Gives;
use super::invoices;
use super::store::{Kind, id_of, text};
use super::world::World;

const DEPTH_MAX: usize = 4;

/// What stands at an expandable field.
#[derive(Clone, Copy)]
enum Link {
    To(Kind),
    /// An invoice's list of its payments, which is left out unless it is asked for.
    Payments,
    /// An invoice's client secret, likewise.
    Secret,
}

/// The fields that can be expanded.
fn fields(kind: Kind) -> &'static [(&'static str, Link)] {
    use Link::{Payments, Secret, To};
    match kind {
        Kind::Charge | Kind::Refund | Kind::Dispute | Kind::PaymentIntent => &[
            ("charge", To(Kind::Charge)),
            ("payment_intent", To(Kind::PaymentIntent)),
            ("customer", To(Kind::Customer)),
            ("payment_method", To(Kind::PaymentMethod)),
            ("latest_charge", To(Kind::Charge)),
        ],
        Kind::Customer => &[("invoice_settings.default_payment_method", To(Kind::PaymentMethod))],
        Kind::Event | Kind::Product | Kind::WebhookEndpoint => &[],
        Kind::Invoice => &[
            ("customer", To(Kind::Customer)),
            ("default_payment_method", To(Kind::PaymentMethod)),
            ("parent.subscription_details.subscription", To(Kind::Subscription)),
            ("payments", Payments),
            ("confirmation_secret", Secret),
        ],
        Kind::InvoicePayment => &[("invoice", To(Kind::Invoice)), ("payment.payment_intent", To(Kind::PaymentIntent))],
        Kind::PaymentMethod => &[("customer", To(Kind::Customer))],
        Kind::Price => &[("product", To(Kind::Product))],
        Kind::SetupIntent => &[("customer", To(Kind::Customer)), ("payment_method", To(Kind::PaymentMethod))],
        Kind::Subscription => &[
            ("customer", To(Kind::Customer)),
            ("default_payment_method", To(Kind::PaymentMethod)),
            ("latest_invoice", To(Kind::Invoice)),
            ("pending_setup_intent", To(Kind::SetupIntent)),
            ("items.data.price.product", To(Kind::Product)),
        ],
    }
}

/// Fields of the shared table above that a kind does not have.
fn lacks(kind: Kind, field: &str) -> bool {
    match kind {
        Kind::Charge => matches!(field, "charge" | "payment_method" | "latest_charge"),
        Kind::Refund | Kind::Dispute => !matches!(field, "charge" | "payment_intent"),
        Kind::PaymentIntent => matches!(field, "charge" | "payment_intent"),
        _ => false,
    }
}

/// The first step of a path, and what is left of it.
fn step(kind: Kind, path: &str) -> Option<(&'static str, Link, &str)> {
    fields(kind).iter().filter(|(field, _)| !lacks(kind, field)).find_map(|(field, link)| {
        let rest = path.strip_prefix(field)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| (*field, *link, rest.trim_start_matches('.')))
    })
}

/// Refuses paths that do not exist.
pub(crate) fn check(gives: Gives, form: &Form) -> Result<(), StripeError> {
    for path in form.items("expand") {
        let found = match gives {
            Gives::One(kind) => exists(kind, path),
            Gives::List(kind) => path.strip_prefix("data.").is_some_and(|path| exists(kind, path)),
        };
        if !found {
            let message = format!("This property cannot be expanded ({path}).");
            return Err(StripeError::bad(Some("expand"), message));
        }
        if path.split('.').filter(|part| *part != "data").count() > DEPTH_MAX + 2 {
            let message = format!("You cannot expand more than {DEPTH_MAX} levels of a property. Property: {path}");
            return Err(StripeError::bad(Some("expand"), message));
        }
    }
    Ok(())
}

fn exists(kind: Kind, path: &str) -> bool {
    match step(kind, path) {
        None => false,
        Some((_, _, "")) => true,
        Some((_, Link::To(next), rest)) => exists(next, rest),
        Some((_, Link::Payments, rest)) => {
            rest.strip_prefix("data.").is_some_and(|rest| exists(Kind::InvoicePayment, rest))
        }
        Some((_, Link::Secret, _)) => false,
    }
}

/// Puts the objects where the paths point. They were checked.
pub(crate) fn apply(world: &World, gives: Gives, form: &Form, answer: &mut Value) {
    for path in form.items("expand") {
        match gives {
            Gives::One(kind) => expand(world, kind, answer, path),
            Gives::List(kind) => {
                each(answer, "data", &mut |object| expand(world, kind, object, path.trim_start_matches("data.")));
            }
        }
    }
}

fn expand(world: &World, kind: Kind, object: &mut Value, path: &str) {
    let Some((field, link, rest)) = step(kind, path) else { return };
    match link {
        Link::To(next) => each(object, field, &mut |leaf| {
            if let Some(found) = leaf.as_str().and_then(|id| world.get(next, id)) {
                *leaf = found;
            }
            if leaf.is_object() {
                expand(world, next, leaf, rest);
            }
        }),
        Link::Secret => object["confirmation_secret"] = invoices::confirmation_secret(world, object),
        Link::Payments => {
            if object["payments"].is_null() {
                let id = id_of(object);
                let made = world.select(Kind::InvoicePayment, |payment| text(payment, "invoice") == id);
                let url = format!("/v1/invoices/{id}/payments");
                object["payments"] = json!({ "object": "list", "url": url, "has_more": false, "data": made });
            }
            let rest = rest.trim_start_matches("data").trim_start_matches('.');
            each(object, "payments.data", &mut |payment| expand(world, Kind::InvoicePayment, payment, rest));
        }
    }
}

/// What stands at a path of fields, item by item where it leads through arrays.
fn each(value: &mut Value, path: &str, visit: &mut dyn FnMut(&mut Value)) {
    if let Value::Array(items) = value {
        items.iter_mut().for_each(|item| each(item, path, visit));
        return;
    }
    if path.is_empty() {
        visit(value);
        return;
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    if let Some(field) = value.get_mut(first) {
        each(field, rest, visit);
    }
}
