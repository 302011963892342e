//! `/v1/invoices`: what a subscription asks for, and whether it was paid.

pub(crate) mod issue;

use serde_json::{Value, json};

use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::list::{self, like};
use super::params::{CREATED, PAGE, Type, may};
use super::payment_intents::{self, pay};
use super::payment_methods;
use super::store::{Kind, OURS, id_of, number, text};
use super::subscriptions;
use super::world::{Actor, World};

pub(crate) const RETRIEVE: Operation =
    Operation::get("invoices.retrieve", "/invoices/:id", &[], Gives::One(Kind::Invoice), |call| call.object());

pub(crate) const LIST: Operation = Operation::get(
    "invoices.list",
    "/invoices",
    &[
        PAGE,
        CREATED,
        &[
            may("subscription", Type::Id),
            may("customer", Type::Id),
            may("status", Type::OneOf(&["draft", "open", "paid", "uncollectible", "void"])),
        ],
    ],
    Gives::List(Kind::Invoice),
    |call| {
        list::page(call, |invoice| {
            let of = call.form.get("subscription").is_none_or(|wanted| subscription_of(invoice) == wanted);
            of && like(&call.form, invoice, "customer") && like(&call.form, invoice, "status")
        })
    },
);

pub(crate) const PAY: Operation = Operation::post(
    "invoices.pay",
    "/invoices/:id/pay",
    &[&[may("payment_method", Type::Id), may("off_session", Type::Boolean), may("paid_out_of_band", Type::Boolean)]],
    Gives::One(Kind::Invoice),
    pay_now,
);

pub(crate) const VOID: Operation =
    Operation::post("invoices.void", "/invoices/:id/void", &[], Gives::One(Kind::Invoice), |call| {
        let invoice = call.object()?;
        must_be_open(&invoice, "void")?;
        void(call.actor(), invoice);
        call.object()
    });

pub(crate) fn subscription_of(invoice: &Value) -> &str {
    text(&invoice["parent"]["subscription_details"], "subscription")
}

fn must_be_open(invoice: &Value, action: &str) -> Result<(), StripeError> {
    match text(invoice, "status") {
        "open" => Ok(()),
        "paid" => Err(StripeError::invalid("invoice_already_paid", None, "Invoice is already paid").after_it_began()),
        status => {
            let message = format!("You cannot {action} this invoice because its status is {status}.");
            Err(StripeError::bad(None, message).after_it_began())
        }
    }
}

fn pay_now(call: &Call<'_>) -> Result<Value, StripeError> {
    let invoice = call.object()?;
    must_be_open(&invoice, "pay")?;
    let actor = call.actor();
    if call.form.boolean("paid_out_of_band") == Some(true) {
        if let Some(mut intent) = intent_of(actor, &invoice) {
            payment_intents::call_off(actor, &mut intent, Some("void_invoice"));
        }
        settle(actor, invoice, None);
        return call.object();
    }
    let given = call.form.get("payment_method");
    let method = given.map(|given| payment_methods::take(actor, given, invoice["customer"].as_str())).transpose()?;
    let present = call.form.boolean("off_session") != Some(true);
    collect(actor, &invoice, method, present)?;
    let invoice = call.object()?;
    if invoice["status"] == "open" && present {
        let message = "Payment for this invoice requires additional user action before it can be completed.";
        let code = Some("invoice_payment_intent_requires_action");
        let status = poem::http::StatusCode::PAYMENT_REQUIRED;
        return Err(StripeError::new(status, "card_error", code, None, message).after_it_began());
    }
    Ok(invoice)
}

pub(crate) fn intent_of(actor: Actor<'_>, invoice: &Value) -> Option<Value> {
    actor.get(Kind::PaymentIntent, invoice[OURS]["intent"].as_str()?)
}

/// `confirmation_secret`, for those who ask for it.
pub(crate) fn confirmation_secret(world: &World, invoice: &Value) -> Value {
    match intent_of(Actor::nobody(world), invoice) {
        Some(intent) => json!({ "client_secret": intent["client_secret"], "type": "payment_intent" }),
        None => Value::Null,
    }
}

/// Tries to have an open invoice paid: with the given method, or with the default one.
pub(crate) fn collect(
    actor: Actor<'_>,
    invoice: &Value,
    method: Option<String>,
    present: bool,
) -> Result<(), StripeError> {
    let subscription = actor.get(Kind::Subscription, subscription_of(invoice)).unwrap_or_default();
    let Some(mut intent) = intent_of(actor, invoice) else { return Ok(()) };
    let Some(method) = method.or_else(|| subscriptions::default_method(actor, &subscription)) else {
        attempted(actor, invoice.clone());
        let message = "This customer has no attached payment source or default payment method.";
        return Err(StripeError::invalid("resource_missing", None, message).after_it_began());
    };
    intent["payment_method"] = method.into();
    pay::attempt(actor, &mut intent, present)
}

/// The same at a renewal: the payer is away, but may be called.
pub(crate) fn collect_renewal(actor: Actor<'_>, invoice: &Value) {
    let subscription = actor.get(Kind::Subscription, subscription_of(invoice)).unwrap_or_default();
    let method = subscriptions::default_method(actor, &subscription)
        .and_then(|method| actor.get(Kind::PaymentMethod, &method))
        .unwrap_or_default();
    match pay::foresee(&method, false) {
        pay::Trial::Declines("authentication_required", _) => {
            let Some(mut intent) = intent_of(actor, invoice) else { return };
            intent["payment_method"] = method["id"].clone();
            pay::ask_the_payer(actor, &mut intent);
            attempted(actor, actor.get(Kind::Invoice, id_of(invoice)).unwrap_or_default());
        }
        _ => {
            let _ = collect(actor, invoice, None, false);
        }
    }
}

/// One of our PaymentIntents succeeded.
pub(crate) fn paid_by(actor: Actor<'_>, intent: &Value) {
    let Some(invoice) = invoice_of(actor, intent) else { return };
    if invoice["status"] == "open" {
        settle(actor, invoice, intent["payment_method"].as_str());
    }
}

pub(crate) fn not_paid_by(actor: Actor<'_>, intent: &Value) {
    if let Some(invoice) = invoice_of(actor, intent) {
        attempted(actor, invoice);
    }
}

pub(crate) fn payer_must_act(actor: Actor<'_>, intent: &Value) {
    if let Some(invoice) = invoice_of(actor, intent) {
        actor.emit("invoice.payment_action_required", &invoice);
    }
}

fn invoice_of(actor: Actor<'_>, intent: &Value) -> Option<Value> {
    actor.get(Kind::Invoice, intent[OURS]["invoice"].as_str()?)
}

/// An attempt failed.
fn attempted(actor: Actor<'_>, mut invoice: Value) {
    invoice["attempted"] = true.into();
    invoice["attempt_count"] = (number(&invoice, "attempt_count") + 1).into();
    actor.change(Kind::Invoice, &invoice, "invoice.updated");
    actor.emit("invoice.payment_failed", &invoice);
    subscriptions::cycle::invoice_failed(actor, &invoice);
}

/// The invoice is paid, by whatever means.
pub(crate) fn settle(actor: Actor<'_>, mut invoice: Value, method: Option<&str>) {
    let due = number(&invoice, "amount_due");
    invoice["status"] = "paid".into();
    invoice["amount_paid"] = due.into();
    invoice["amount_remaining"] = 0.into();
    invoice["attempted"] = true.into();
    invoice["auto_advance"] = false.into();
    invoice["next_payment_attempt"] = Value::Null;
    invoice["status_transitions"]["paid_at"] = actor.now().into();
    if due > 0 {
        invoice["attempt_count"] = (number(&invoice, "attempt_count") + 1).into();
    }
    if let Some(mut payment) = actor.get(Kind::InvoicePayment, text(&invoice[OURS], "payment")) {
        payment["status"] = if method.is_some() { "paid" } else { "canceled" }.into();
        let moment = if method.is_some() { "paid_at" } else { "canceled_at" };
        payment["status_transitions"][moment] = actor.now().into();
        if method.is_some() {
            payment["amount_paid"] = due.into();
            actor.save(Kind::InvoicePayment, &payment, "invoice_payment.paid");
        } else {
            actor.put(Kind::InvoicePayment, &payment);
        }
    }
    actor.change(Kind::Invoice, &invoice, "invoice.updated");
    actor.emit("invoice.paid", &invoice);
    actor.emit("invoice.payment_succeeded", &invoice);
    subscriptions::cycle::invoice_paid(actor, &invoice, method);
}

/// Nobody has to pay it any more.
pub(crate) fn void(actor: Actor<'_>, mut invoice: Value) {
    invoice["status"] = "void".into();
    invoice["auto_advance"] = false.into();
    invoice["next_payment_attempt"] = Value::Null;
    invoice["status_transitions"]["voided_at"] = actor.now().into();
    if let Some(mut payment) = actor.get(Kind::InvoicePayment, text(&invoice[OURS], "payment")) {
        payment["status"] = "canceled".into();
        payment["status_transitions"]["canceled_at"] = actor.now().into();
        actor.put(Kind::InvoicePayment, &payment);
    }
    actor.change(Kind::Invoice, &invoice, "invoice.updated");
    actor.emit("invoice.voided", &invoice);
    if let Some(mut intent) = intent_of(actor, &invoice)
        && !matches!(text(&intent, "status"), "succeeded" | "canceled")
    {
        payment_intents::call_off(actor, &mut intent, Some("void_invoice"));
    }
    subscriptions::cycle::invoice_voided(actor, &invoice);
}
