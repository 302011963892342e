//! `/v1/subscriptions`.

mod change;
mod create;
pub(crate) mod cycle;
mod period;
mod plan;

use serde_json::{Value, json};

use super::clock::Due;
use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::invoices::{self, issue::Bill, issue::issue};
use super::list::{self, like};
use super::params::{CREATED, METADATA, PAGE, Type, may, need};
use super::store::{Kind, OURS, id_of, number, text};
use super::world::Actor;

const SAVE_DEFAULT: Type = Type::OneOf(&["on_subscription", "off"]);
const PRORATIONS: Type = Type::OneOf(&["create_prorations", "none", "always_invoice"]);
const BEHAVIOURS: Type =
    Type::OneOf(&["allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"]);
const STATUSES: Type = Type::OneOf(&[
    "active",
    "all",
    "canceled",
    "ended",
    "incomplete",
    "incomplete_expired",
    "past_due",
    "paused",
    "trialing",
    "unpaid",
]);

pub(crate) const CREATE: Operation = Operation::post(
    "subscriptions.create",
    "/subscriptions",
    &[
        METADATA,
        &[
            need("customer", Type::Id),
            need("items[0][price]", Type::Id),
            may("items[0][quantity]", Type::Integer),
            may("cancel_at_period_end", Type::Boolean),
            may("collection_method", Type::OneOf(&["charge_automatically"])),
            may("default_payment_method", Type::Id),
            may("description", Type::Text),
            may("off_session", Type::Boolean),
            may("payment_behavior", BEHAVIOURS),
            may("payment_settings[save_default_payment_method]", SAVE_DEFAULT),
            may("proration_behavior", PRORATIONS),
            may("trial_end", Type::Timestamp),
            may("trial_period_days", Type::Integer),
            may(
                "trial_settings[end_behavior][missing_payment_method]",
                Type::OneOf(&["create_invoice", "pause", "cancel"]),
            ),
        ],
    ],
    Gives::One(Kind::Subscription),
    create::create,
);

pub(crate) const RETRIEVE: Operation =
    Operation::get("subscriptions.retrieve", "/subscriptions/:id", &[], Gives::One(Kind::Subscription), |call| {
        call.object()
    });

pub(crate) const UPDATE: Operation = Operation::post(
    "subscriptions.update",
    "/subscriptions/:id",
    &[
        METADATA,
        &[
            may("items[0][id]", Type::Id),
            may("items[0][price]", Type::Id),
            may("items[0][quantity]", Type::Integer),
            may("cancel_at_period_end", Type::Boolean),
            may("default_payment_method", Type::ClearableId),
            may("description", Type::Clearable),
            may("off_session", Type::Boolean),
            may("payment_behavior", BEHAVIOURS),
            may("payment_settings[save_default_payment_method]", SAVE_DEFAULT),
            may("proration_behavior", PRORATIONS),
        ],
    ],
    Gives::One(Kind::Subscription),
    change::update,
);

pub(crate) const CANCEL: Operation = Operation::delete(
    "subscriptions.cancel",
    "/subscriptions/:id",
    &[&[may("invoice_now", Type::Boolean), may("prorate", Type::Boolean)]],
    Gives::One(Kind::Subscription),
    cancel,
);

pub(crate) const RESUME: Operation = Operation::post(
    "subscriptions.resume",
    "/subscriptions/:id/resume",
    &[&[may("billing_cycle_anchor[type]", Type::OneOf(&["now", "unchanged"])), may("proration_behavior", PRORATIONS)]],
    Gives::One(Kind::Subscription),
    resume,
);

pub(crate) const LIST: Operation = Operation::get(
    "subscriptions.list",
    "/subscriptions",
    &[PAGE, CREATED, &[may("customer", Type::Id), may("price", Type::Id), may("status", STATUSES)]],
    Gives::List(Kind::Subscription),
    |call| {
        let price = call.form.get("price");
        list::page(call, |subscription| {
            let ended = is_over(subscription);
            let status = match call.form.get("status") {
                None => subscription["status"] != "canceled",
                Some("all") => true,
                Some("ended") => ended,
                Some(status) => subscription["status"] == status,
            };
            status
                && like(&call.form, subscription, "customer")
                && price.is_none_or(|price| subscription["items"]["data"][0]["price"]["id"] == price)
        })
    },
);

fn is_over(subscription: &Value) -> bool {
    matches!(text(subscription, "status"), "canceled" | "incomplete_expired")
}

/// The subscription of the path, if anything can still be done about it.
fn living(call: &Call<'_>) -> Result<Value, StripeError> {
    let subscription = call.object()?;
    if is_over(&subscription) {
        return Err(StripeError::missing(Kind::Subscription, &call.id).after_it_began());
    }
    Ok(subscription)
}

/// What its invoices are paid with.
pub(crate) fn default_method(actor: Actor<'_>, subscription: &Value) -> Option<String> {
    let own = subscription["default_payment_method"].as_str().map(str::to_owned);
    own.or_else(|| {
        let customer = actor.get(Kind::Customer, text(subscription, "customer"))?;
        customer["invoice_settings"]["default_payment_method"].as_str().map(str::to_owned)
    })
}

fn cancel(call: &Call<'_>) -> Result<Value, StripeError> {
    let subscription = living(call)?;
    let actor = call.actor();
    let (invoice_now, prorate) = (call.form.boolean("invoice_now"), call.form.boolean("prorate"));
    if invoice_now == Some(true) && prorate == Some(true) && subscription["status"] == "active" {
        let lines = vec![change::credit(actor, &subscription)];
        let period = (actor.now(), actor.now());
        issue(actor, &subscription, &Bill { reason: "subscription_update", lines, period, draft: false });
    }
    end(actor, actor.get(Kind::Subscription, &call.id).unwrap_or(subscription));
    call.object()
}

/// Ends a subscription now, unless it is over. What it asked for is not collected any more.
pub(crate) fn end(actor: Actor<'_>, subscription: Value) {
    end_because(actor, subscription, "cancellation_requested");
}

fn end_because(actor: Actor<'_>, mut subscription: Value, reason: &str) {
    if is_over(&subscription) {
        return;
    }
    let now = actor.now();
    let first_unpaid = subscription["status"] == "incomplete";
    subscription["status"] = "canceled".into();
    if subscription["canceled_at"].is_null() {
        subscription["canceled_at"] = now.into();
    }
    subscription["ended_at"] = now.into();
    subscription["cancellation_details"]["reason"] = reason.into();
    actor.save(Kind::Subscription, &subscription, "customer.subscription.deleted");
    let id = id_of(&subscription);
    let open = |invoice: &Value| invoices::subscription_of(invoice) == id && invoice["status"] == "open";
    for mut invoice in actor.world.select(Kind::Invoice, open) {
        if first_unpaid {
            invoices::void(actor, invoice);
        } else {
            invoice["auto_advance"] = false.into();
            invoice["next_payment_attempt"] = Value::Null;
            actor.change(Kind::Invoice, &invoice, "invoice.updated");
        }
    }
}

/// A paused one begins a new period, once that is paid for.
fn resume(call: &Call<'_>) -> Result<Value, StripeError> {
    let mut subscription = living(call)?;
    if subscription["status"] != "paused" {
        let message = "You cannot resume a subscription that is not paused.";
        return Err(StripeError::bad(None, message).after_it_began());
    }
    let actor = call.actor();
    let period = begin_period(actor, &mut subscription, actor.now());
    actor.put(Kind::Subscription, &subscription);
    let lines = vec![cycle::line(&subscription, period)];
    let bill = Bill { reason: "subscription_update", lines, period, draft: false };
    let invoice = issue(actor, &subscription, &bill);
    let mut subscription = call.object()?;
    subscription["latest_invoice"] = invoice["id"].clone();
    actor.change(Kind::Subscription, &subscription, "customer.subscription.updated");
    if invoice["status"] == "paid" {
        cycle::invoice_paid(actor, &invoice, None);
    } else {
        let _ = invoices::collect(actor, &invoice, None, true);
    }
    call.object()
}

/// A new period from `start`, by a new anchor.
fn begin_period(actor: Actor<'_>, subscription: &mut Value, start: i64) -> (i64, i64) {
    subscription["billing_cycle_anchor"] = start.into();
    let recurring = subscription["items"]["data"][0]["price"]["recurring"].clone();
    let end = period::end(start, start, text(&recurring, "interval"), number(&recurring, "interval_count"));
    set_period(actor, subscription, (start, end));
    (start, end)
}

/// The period stands on the item, and its end on the agenda.
fn set_period(actor: Actor<'_>, subscription: &mut Value, (start, end): (i64, i64)) {
    let item = &mut subscription["items"]["data"][0];
    item["current_period_start"] = start.into();
    item["current_period_end"] = end.into();
    if subscription["cancel_at_period_end"] == true {
        subscription["cancel_at"] = end.into();
    }
    if !subscription[OURS].is_object() {
        subscription[OURS] = json!({});
    }
    subscription[OURS]["next"] = end.into();
    actor.world.schedule(end, Due::PeriodEnds(id_of(subscription).to_owned()));
}

/// A payment method was set up for a subscription whose trial began without one.
pub(crate) fn set_up_by(actor: Actor<'_>, intent: &Value) {
    let id = intent[OURS]["subscription"].as_str().unwrap_or_default();
    let Some(mut subscription) = actor.get(Kind::Subscription, id).filter(|found| !is_over(found)) else { return };
    subscription["pending_setup_intent"] = Value::Null;
    subscription["default_payment_method"] = intent["payment_method"].clone();
    actor.change(Kind::Subscription, &subscription, "customer.subscription.updated");
}

/// Puts it into a status, as some setting in the dashboard would.
pub(crate) fn force(actor: Actor<'_>, id: &str, status: &str, event: Option<&str>) -> Result<Value, StripeError> {
    let subscription = actor.get(Kind::Subscription, id).ok_or_else(|| StripeError::missing(Kind::Subscription, id))?;
    if is_over(&subscription) {
        return Err(StripeError::bad(None, "The subscription is over."));
    }
    let mut changed = subscription;
    changed["status"] = status.into();
    actor.change(Kind::Subscription, &changed, "customer.subscription.updated");
    if let Some(event) = event {
        actor.emit(event, &changed);
    }
    Ok(changed)
}
