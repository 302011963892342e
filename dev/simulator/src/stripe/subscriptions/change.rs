//! A subscription is changed: its price, how it is paid, whether it goes on.

use serde_json::{Value, json};

use super::super::error::StripeError;
use super::super::gate::Call;
use super::super::invoices::{self, issue::Bill, issue::Line, issue::issue};
use super::super::payment_methods;
use super::super::store::{Kind, OURS, id_of, number, text};
use super::super::world::Actor;
use super::{begin_period, create, cycle, default_method, living, plan};

pub(super) fn update(call: &Call<'_>) -> Result<Value, StripeError> {
    let (form, actor) = (&call.form, call.actor());
    let mut subscription = living(call)?;
    let behaviour = form.get("payment_behavior").unwrap_or("allow_incomplete");
    if behaviour == "pending_if_incomplete" {
        let message = "The simulator has no pending updates; use error_if_incomplete.";
        return Err(StripeError::bad(Some("payment_behavior"), message));
    }
    let price = new_price(call, &subscription)?;
    if let Some(method) = call.named(Kind::PaymentMethod, "default_payment_method")? {
        payment_methods::must_belong(&method, text(&subscription, "customer"), "default_payment_method")?;
    }
    subscription["metadata"] = form.merged_metadata(&subscription["metadata"])?;
    form.fill(&mut subscription, &["default_payment_method", "description"]);
    if let Some(save) = form.get("payment_settings[save_default_payment_method]") {
        subscription["payment_settings"]["save_default_payment_method"] = save.into();
    }
    if let Some(at_end) = form.boolean("cancel_at_period_end") {
        cancel_at_period_end(actor, &mut subscription, at_end);
    }
    if price.is_null() {
        actor.change(Kind::Subscription, &subscription, "customer.subscription.updated");
        return Ok(subscription);
    }
    let prorations = form.get("proration_behavior").unwrap_or("create_prorations");
    let present = form.boolean("off_session") != Some(true);
    let change = Change { price, quantity: wanted_quantity(call, &subscription)?, prorations };
    match carry_out(actor, &mut subscription, &change) {
        None => actor.change(Kind::Subscription, &subscription, "customer.subscription.updated"),
        Some(bill) => charge(actor, subscription, &bill, behaviour, present)?,
    }
    call.object()
}

fn cancel_at_period_end(actor: Actor<'_>, subscription: &mut Value, at_end: bool) {
    if subscription["cancel_at_period_end"] == at_end {
        return;
    }
    subscription["cancel_at_period_end"] = at_end.into();
    let end = subscription["items"]["data"][0]["current_period_end"].clone();
    let (cancel_at, canceled_at, reason) = if at_end {
        (end, actor.now().into(), "cancellation_requested".into())
    } else {
        (Value::Null, Value::Null, Value::Null)
    };
    subscription["cancel_at"] = cancel_at;
    subscription["canceled_at"] = canceled_at;
    subscription["cancellation_details"]["reason"] = reason;
}

/// The price the item is to have, or null if it keeps the one it has.
fn new_price(call: &Call<'_>, subscription: &Value) -> Result<Value, StripeError> {
    let (form, item) = (&call.form, &subscription["items"]["data"][0]);
    let given = form.has("items[0][price]") || form.has("items[0][quantity]");
    match form.get("items[0][id]") {
        None if given => {
            let message =
                "Without items[0][id] this would add a second item, and the simulator's subscriptions have one.";
            return Err(StripeError::invalid("parameter_missing", Some("items[0][id]"), message));
        }
        Some(id) if item["id"] != id => {
            let message = format!("No such subscription item: '{id}'");
            return Err(StripeError::invalid("resource_missing", Some("items[0][id]"), message));
        }
        _ if !given => return Ok(Value::Null),
        _ => {}
    }
    let price = create::price(call)?.unwrap_or_else(|| item["price"].clone());
    if price["currency"] != subscription["currency"] {
        let message = "The price's currency differs from the subscription's.";
        return Err(StripeError::bad(Some("items[0][price]"), message));
    }
    let same = price["id"] == item["price"]["id"] && wanted_quantity(call, subscription)? == number(item, "quantity");
    if !same && subscription["status"] == "incomplete" {
        let message = "The items of a subscription cannot be changed while its first invoice is unpaid.";
        return Err(StripeError::bad(Some("items"), message).after_it_began());
    }
    Ok(if same { Value::Null } else { price })
}

fn wanted_quantity(call: &Call<'_>, subscription: &Value) -> Result<i64, StripeError> {
    if call.form.has("items[0][quantity]") {
        return create::quantity(call);
    }
    Ok(number(&subscription["items"]["data"][0], "quantity"))
}

struct Change<'a> {
    price: Value,
    quantity: i64,
    prorations: &'a str,
}

/// Changes the item. What must be billed at once is given back.
fn carry_out<'a>(actor: Actor<'_>, subscription: &mut Value, change: &Change<'_>) -> Option<Bill<'a>> {
    let item = &subscription["items"]["data"][0];
    let recurring = |price: &Value| json!([price["recurring"]["interval"], price["recurring"]["interval_count"]]);
    let other_rhythm = recurring(&item["price"]) != recurring(&change.price);
    let old = credit(actor, subscription);
    let trialing = subscription["status"] == "trialing";
    let item = &mut subscription["items"]["data"][0];
    item["plan"] = plan::of(&change.price);
    item["price"] = change.price.clone();
    item["quantity"] = change.quantity.into();
    if trialing {
        return None;
    }
    let mut lines = if change.prorations == "none" { Vec::new() } else { vec![old] };
    if other_rhythm {
        let period = begin_period(actor, subscription, actor.now());
        lines.push(cycle::line(subscription, period));
        return Some(Bill { reason: "subscription_update", lines, period, draft: false });
    }
    if change.prorations == "none" {
        return None;
    }
    lines.push(debit(actor, subscription));
    if change.prorations == "always_invoice" {
        let period = (actor.now(), actor.now());
        return Some(Bill { reason: "subscription_update", lines, period, draft: false });
    }
    if !subscription[OURS]["pending"].is_array() {
        subscription[OURS]["pending"] = json!([]);
    }
    if let Some(pending) = subscription[OURS]["pending"].as_array_mut() {
        pending.extend(lines.iter().map(cycle::kept));
    }
    None
}

/// Bills a change at once.
fn charge(
    actor: Actor<'_>,
    mut subscription: Value,
    bill: &Bill<'_>,
    behaviour: &str,
    present: bool,
) -> Result<(), StripeError> {
    let due: i64 = bill.lines.iter().map(|line| line.amount).sum();
    if due > 0 && behaviour == "error_if_incomplete" {
        let method = default_method(actor, &subscription).ok_or_else(create::no_method)?;
        create::must_pay(actor, &method, present)?;
    }
    let before = actor.get(Kind::Subscription, id_of(&subscription)).unwrap_or_default();
    actor.put(Kind::Subscription, &subscription);
    let invoice = issue(actor, &subscription, bill);
    subscription["latest_invoice"] = invoice["id"].clone();
    if invoice["status"] == "open" && behaviour == "default_incomplete" {
        subscription["status"] = "past_due".into();
    }
    actor.put(Kind::Subscription, &subscription);
    actor.changed("customer.subscription.updated", &before, &subscription);
    if invoice["status"] == "open" && behaviour != "default_incomplete" {
        let _ = invoices::collect(actor, &invoice, None, present);
        let paid = actor.get(Kind::Invoice, id_of(&invoice)).is_some_and(|invoice| invoice["status"] == "paid");
        if !paid {
            cycle::fall_behind(actor, id_of(&subscription));
        }
    }
    Ok(())
}

/// What is given back for the rest of the period.
pub(super) fn credit(actor: Actor<'_>, subscription: &Value) -> Line {
    let mut line = rest_of_period(actor, subscription, "Unused time");
    line.amount = -line.amount;
    line
}

fn debit(actor: Actor<'_>, subscription: &Value) -> Line {
    rest_of_period(actor, subscription, "Remaining time")
}

fn rest_of_period(actor: Actor<'_>, subscription: &Value, what: &str) -> Line {
    let item = &subscription["items"]["data"][0];
    let (start, end) = (number(item, "current_period_start"), number(item, "current_period_end"));
    let now = actor.now().clamp(start, end);
    let whole = i128::from(number(&item["price"], "unit_amount")) * i128::from(number(item, "quantity"));
    let length = i128::from(end - start).max(1);
    // To the nearest unit.
    let amount = (2 * whole * i128::from(end - now) + length) / (2 * length);
    Line {
        amount: i64::try_from(amount).unwrap_or(i64::MAX),
        description: format!("{what} on the subscription"),
        period: (now, end),
        price: id_of(&item["price"]).to_owned(),
        proration: true,
    }
}
