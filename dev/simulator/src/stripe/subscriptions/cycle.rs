//! What time and payments do to a subscription.

use serde_json::{Value, json};

use super::super::clock::Due;
use super::super::invoices::{self, issue::Bill, issue::Line, issue::issue};
use super::super::payment_methods;
use super::super::store::{Kind, OURS, id_of, number, text};
use super::super::world::{Actor, AfterRetries};
use super::{begin_period, default_method, end, end_because, is_over, period, set_period};

/// How many days after the attempt before each retry comes.
const RETRY_DAYS: [i64; 3] = [3, 5, 7];

/// The line of a whole period.
pub(super) fn line(subscription: &Value, period: (i64, i64)) -> Line {
    let item = &subscription["items"]["data"][0];
    Line {
        amount: number(&item["price"], "unit_amount") * number(item, "quantity"),
        description: format!("{} × the subscription", number(item, "quantity")),
        period,
        price: id_of(&item["price"]).to_owned(),
        proration: false,
    }
}

/// A line that waits for the next invoice.
pub(super) fn kept(line: &Line) -> Value {
    json!({ "amount": line.amount, "description": line.description, "from": line.period.0, "to": line.period.1,
        "price": line.price })
}

fn waiting(subscription: &mut Value) -> Vec<Line> {
    let kept = subscription[OURS]["pending"].take();
    subscription[OURS]["pending"] = json!([]);
    let kept = kept.as_array().cloned().unwrap_or_default();
    let line = |kept: &Value| Line {
        amount: number(kept, "amount"),
        description: text(kept, "description").to_owned(),
        period: (number(kept, "from"), number(kept, "to")),
        price: text(kept, "price").to_owned(),
        proration: true,
    };
    kept.iter().map(line).collect()
}

pub(crate) fn trial_will_end(actor: Actor<'_>, id: &str) {
    if let Some(subscription) = actor.get(Kind::Subscription, id).filter(|found| found["status"] == "trialing") {
        actor.emit("customer.subscription.trial_will_end", &subscription);
    }
}

pub(crate) fn period_ends(actor: Actor<'_>, id: &str, at: i64) {
    let Some(mut subscription) = actor.get(Kind::Subscription, id) else { return };
    let status = text(&subscription, "status").to_owned();
    let goes_on = matches!(status.as_str(), "trialing" | "active" | "past_due" | "unpaid");
    if !goes_on || subscription[OURS]["next"] != at {
        return;
    }
    if subscription["cancel_at_period_end"] == true {
        end(actor, subscription);
        return;
    }
    let trial_ends = status == "trialing";
    if trial_ends && default_method(actor, &subscription).is_none() {
        match text(&subscription["trial_settings"]["end_behavior"], "missing_payment_method") {
            "cancel" => return end(actor, subscription),
            "pause" => {
                subscription["status"] = "paused".into();
                actor.change(Kind::Subscription, &subscription, "customer.subscription.updated");
                actor.emit("customer.subscription.paused", &subscription);
                return;
            }
            _ => {}
        }
    }
    let period = if trial_ends {
        subscription["status"] = "active".into();
        begin_period(actor, &mut subscription, at)
    } else {
        let recurring = &subscription["items"]["data"][0]["price"]["recurring"];
        let anchor = number(&subscription, "billing_cycle_anchor");
        let next = period::end(anchor, at, text(recurring, "interval"), number(recurring, "interval_count"));
        set_period(actor, &mut subscription, (at, next));
        (at, next)
    };
    bill(actor, subscription, period, status == "unpaid");
}

/// The invoice of a new period. An unpaid subscription's is only written down.
fn bill(actor: Actor<'_>, mut subscription: Value, period: (i64, i64), draft: bool) {
    let mut lines = waiting(&mut subscription);
    lines.push(line(&subscription, period));
    let bill = Bill { reason: "subscription_cycle", lines, period: (period.0, period.0), draft };
    let before = actor.get(Kind::Subscription, id_of(&subscription)).unwrap_or_default();
    actor.put(Kind::Subscription, &subscription);
    let invoice = issue(actor, &subscription, &bill);
    subscription["latest_invoice"] = invoice["id"].clone();
    actor.put(Kind::Subscription, &subscription);
    actor.changed("customer.subscription.updated", &before, &subscription);
    if invoice["status"] == "open" {
        charge(actor, &invoice);
    }
}

/// Charges the default payment method; if that fails, it is tried again later.
fn charge(actor: Actor<'_>, invoice: &Value) {
    invoices::collect_renewal(actor, invoice);
    let Some(mut invoice) = actor.get(Kind::Invoice, id_of(invoice)).filter(|now| now["status"] == "open") else {
        return;
    };
    let subscription = invoices::subscription_of(&invoice).to_owned();
    let processing = invoices::intent_of(actor, &invoice).is_some_and(|intent| intent["status"] == "processing");
    if processing || actor.get(Kind::Subscription, &subscription).is_none_or(|subscription| is_over(&subscription)) {
        return;
    }
    let retries = number(&invoice[OURS], "retries");
    let days = usize::try_from(retries).ok().and_then(|retries| RETRY_DAYS.get(retries));
    match days {
        Some(days) => {
            let next = actor.now() + days * 86_400;
            invoice["next_payment_attempt"] = next.into();
            invoice[OURS]["retries"] = (retries + 1).into();
            actor.change(Kind::Invoice, &invoice, "invoice.updated");
            actor.world.schedule(next, Due::InvoiceRetry(id_of(&invoice).to_owned()));
            fall_behind(actor, &subscription);
        }
        None => {
            invoice["next_payment_attempt"] = Value::Null;
            invoice["auto_advance"] = false.into();
            actor.change(Kind::Invoice, &invoice, "invoice.updated");
            give_up(actor, &subscription);
        }
    }
}

fn give_up(actor: Actor<'_>, id: &str) {
    let Some(mut subscription) = actor.get(Kind::Subscription, id) else { return };
    let after = actor.world.lock().after_retries;
    match after {
        AfterRetries::Canceled => end_because(actor, subscription, "payment_failed"),
        AfterRetries::Unpaid => {
            subscription["status"] = "unpaid".into();
            actor.change(Kind::Subscription, &subscription, "customer.subscription.updated");
        }
    }
}

pub(crate) fn retry(actor: Actor<'_>, id: &str, at: i64) {
    let Some(mut invoice) = actor.get(Kind::Invoice, id) else { return };
    if invoice["status"] != "open" || invoice["next_payment_attempt"] != at {
        return;
    }
    invoice["next_payment_attempt"] = Value::Null;
    actor.put(Kind::Invoice, &invoice);
    charge(actor, &invoice);
}

/// The first invoice was not paid in time.
pub(crate) fn incomplete_expires(actor: Actor<'_>, id: &str) {
    let Some(subscription) = actor.get(Kind::Subscription, id).filter(|found| found["status"] == "incomplete") else {
        return;
    };
    let invoice = actor.get(Kind::Invoice, text(&subscription, "latest_invoice"));
    match invoice.filter(|invoice| invoice["status"] == "open") {
        Some(invoice) => invoices::void(actor, invoice),
        None => expire(actor, subscription),
    }
}

fn expire(actor: Actor<'_>, mut subscription: Value) {
    subscription["status"] = "incomplete_expired".into();
    subscription["ended_at"] = actor.now().into();
    actor.change(Kind::Subscription, &subscription, "customer.subscription.updated");
}

/// An invoice that must not be paid any more: if it was the first one, the subscription never begins.
pub(crate) fn invoice_voided(actor: Actor<'_>, invoice: &Value) {
    let subscription = actor.get(Kind::Subscription, invoices::subscription_of(invoice));
    if let Some(subscription) = subscription.filter(|found| found["status"] == "incomplete") {
        expire(actor, subscription);
    }
}

/// The invoice of a running subscription was not paid.
pub(crate) fn invoice_failed(actor: Actor<'_>, invoice: &Value) {
    if matches!(text(invoice, "billing_reason"), "subscription_cycle") {
        fall_behind(actor, invoices::subscription_of(invoice));
    }
}

pub(super) fn fall_behind(actor: Actor<'_>, id: &str) {
    let Some(mut subscription) = actor.get(Kind::Subscription, id) else { return };
    if matches!(text(&subscription, "status"), "active" | "trialing") {
        subscription["status"] = "past_due".into();
        actor.change(Kind::Subscription, &subscription, "customer.subscription.updated");
    }
}

/// An invoice was paid: the subscription begins, goes on, or is in order again.
pub(crate) fn invoice_paid(actor: Actor<'_>, invoice: &Value, method: Option<&str>) {
    let Some(mut subscription) = actor.get(Kind::Subscription, invoices::subscription_of(invoice)) else { return };
    if is_over(&subscription) {
        return;
    }
    let latest = subscription["latest_invoice"] == invoice["id"];
    let status = text(&subscription, "status").to_owned();
    let awakes = latest && matches!(status.as_str(), "incomplete" | "past_due" | "unpaid" | "paused");
    if awakes {
        subscription["status"] = "active".into();
    }
    let save = text(&subscription["payment_settings"], "save_default_payment_method") == "on_subscription";
    if let Some(method) = method.filter(|_| save) {
        let _ = payment_methods::attach_to(actor, method, text(&subscription, "customer"));
        subscription["default_payment_method"] = method.into();
    }
    actor.change(Kind::Subscription, &subscription, "customer.subscription.updated");
    if awakes && status == "paused" {
        actor.emit("customer.subscription.resumed", &subscription);
    }
}
