//! How a subscription begins.

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::super::cards::decline;
use super::super::clock::Due;
use super::super::error::StripeError;
use super::super::gate::Call;
use super::super::invoices::{self, issue::Bill, issue::issue};
use super::super::payment_intents::pay::{Trial, foresee};
use super::super::store::{Kind, OURS, id_of, number, text};
use super::super::world::{Actor, random_id};
use super::super::{payment_methods, setup_intents};
use super::{begin_period, cycle, default_method, plan, set_period};

const EXPIRES_AFTER_SECONDS: i64 = 23 * 3_600;
const DAY: i64 = 86_400;

pub(super) fn create(call: &Call<'_>) -> Result<Value, StripeError> {
    let (form, actor) = (&call.form, call.actor());
    let price = price(call)?.ok_or_else(|| StripeError::missing_param(Kind::Price, "", "items[0][price]"))?;
    let customer = call.named(Kind::Customer, "customer")?.unwrap_or_default();
    if let Some(method) = call.named(Kind::PaymentMethod, "default_payment_method")? {
        payment_methods::must_belong(&method, id_of(&customer), "default_payment_method")?;
    }
    let trial_end = trial_end(call)?;
    let behaviour = form.get("payment_behavior").unwrap_or("allow_incomplete");
    if behaviour == "pending_if_incomplete" {
        let message = "pending_if_incomplete can only be used to update a subscription.";
        return Err(StripeError::bad(Some("payment_behavior"), message));
    }
    let mut subscription = new(call, &price, trial_end)?;
    let due = number(&price, "unit_amount") * quantity(call)?;
    let present = form.boolean("off_session") != Some(true);
    if due > 0 && trial_end.is_none() && behaviour != "default_incomplete" {
        let method = default_method(actor, &subscription).ok_or_else(no_method)?;
        if behaviour == "error_if_incomplete" {
            must_pay(actor, &method, present)?;
        }
    }
    begin(actor, &mut subscription, trial_end);
    let latest = text(&subscription, "latest_invoice").to_owned();
    if behaviour != "default_incomplete"
        && let Some(invoice) = actor.get(Kind::Invoice, &latest).filter(|invoice| invoice["status"] == "open")
    {
        // What comes of it is seen in the status of the subscription.
        let _ = invoices::collect(actor, &invoice, None, present);
    }
    Ok(actor.get(Kind::Subscription, id_of(&subscription)).unwrap_or(subscription))
}

pub(super) fn no_method() -> StripeError {
    let message = "This customer has no attached payment source or default payment method. Please consider adding a \
                   default payment method.";
    StripeError::invalid("resource_missing", None, message)
}

/// Refuses what could not be paid at once; then nothing is made.
pub(super) fn must_pay(actor: Actor<'_>, method: &str, present: bool) -> Result<(), StripeError> {
    let method = actor.get(Kind::PaymentMethod, method).unwrap_or_default();
    match foresee(&method, present) {
        Trial::Pays => Ok(()),
        Trial::Declines(code, decline_code) => Err(StripeError::declined(&decline(code, decline_code, None), &method)),
        Trial::Authenticates | Trial::Processes => {
            let message = "Payment for this subscription requires additional user action before it can be completed.";
            let code = Some("subscription_payment_intent_requires_action");
            Err(StripeError::new(StatusCode::PAYMENT_REQUIRED, "card_error", code, None, message).after_it_began())
        }
    }
}

/// The price that was given: a recurring one that is still sold.
pub(super) fn price(call: &Call<'_>) -> Result<Option<Value>, StripeError> {
    let param = "items[0][price]";
    let Some(price) = call.named(Kind::Price, param)? else { return Ok(None) };
    if price["type"] != "recurring" {
        let message = "The price specified is set to `type=one_time` but this field only accepts prices with \
                       `type=recurring`.";
        return Err(StripeError::bad(Some(param), message));
    }
    if price["active"] != true {
        let message = "The price specified is inactive. This field only accepts active prices.";
        return Err(StripeError::bad(Some(param), message));
    }
    Ok(Some(price))
}

pub(super) fn quantity(call: &Call<'_>) -> Result<i64, StripeError> {
    let param = "items[0][quantity]";
    match call.form.integer(param).unwrap_or(1) {
        quantity @ 1..=999_999 => Ok(quantity),
        _ => {
            let message = "This value must be greater than or equal to 1.";
            Err(StripeError::invalid("parameter_invalid_integer", Some(param), message))
        }
    }
}

fn trial_end(call: &Call<'_>) -> Result<Option<i64>, StripeError> {
    let now = call.world.now();
    let (days, end) = (call.form.integer("trial_period_days"), call.form.integer("trial_end"));
    match (days, end) {
        (Some(_), Some(_)) => {
            let message = "You may only specify one of these parameters: trial_period_days, trial_end.";
            Err(StripeError::bad(Some("trial_end"), message))
        }
        (Some(days), None) if !(0..=730).contains(&days) => {
            let message = "trial_period_days must be between 0 and 730";
            Err(StripeError::invalid("parameter_invalid_integer", Some("trial_period_days"), message))
        }
        (Some(days), None) => Ok((days > 0).then(|| now + days * DAY)),
        (None, Some(end)) if end <= now => {
            Err(StripeError::bad(Some("trial_end"), "The trial end must be in the future."))
        }
        (None, end) => Ok(end),
    }
}

/// Fields that are there and empty at first.
const NULLS: [&str; 19] = [
    "application",
    "application_fee_percent",
    "billing_cycle_anchor_config",
    "billing_thresholds",
    "cancel_at",
    "canceled_at",
    "days_until_due",
    "default_source",
    "ended_at",
    "latest_invoice",
    "next_pending_invoice_item_invoice",
    "on_behalf_of",
    "pause_collection",
    "pending_invoice_item_interval",
    "pending_setup_intent",
    "pending_update",
    "schedule",
    "test_clock",
    "transfer_data",
];

fn new(call: &Call<'_>, price: &Value, trial_end: Option<i64>) -> Result<Value, StripeError> {
    let (form, now, id) = (&call.form, call.world.now(), random_id("sub"));
    let missing = form.get("trial_settings[end_behavior][missing_payment_method]").unwrap_or("create_invoice");
    let mut subscription = json!({
        "id": id,
        "object": "subscription",
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null },
        "billing_cycle_anchor": now,
        "billing_mode": { "type": "flexible", "flexible": { "proration_discounts": "included" }, "updated_at": null },
        "billing_schedules": [],
        "cancel_at_period_end": form.boolean("cancel_at_period_end").unwrap_or(false),
        "cancellation_details": { "comment": null, "feedback": null, "reason": null },
        "collection_method": "charge_automatically",
        "created": now,
        "currency": price["currency"],
        "customer": form.get("customer"),
        "default_payment_method": form.get("default_payment_method"),
        "default_tax_rates": [],
        "description": form.get("description"),
        "discounts": [],
        "invoice_settings": { "account_tax_ids": null, "issuer": { "type": "self" } },
        "livemode": false,
        "metadata": form.metadata()?,
        "payment_settings": {
            "payment_method_options": null,
            "payment_method_types": null,
            "save_default_payment_method":
                form.get("payment_settings[save_default_payment_method]").unwrap_or("off"),
        },
        "start_date": now,
        "status": if trial_end.is_some() { "trialing" } else { "incomplete" },
        "trial_end": trial_end,
        "trial_settings": { "end_behavior": { "missing_payment_method": missing } },
        "trial_start": trial_end.map(|_| now),
        OURS: { "pending": [] },
    });
    subscription["items"] = json!({
        "object": "list",
        "url": format!("/v1/subscription_items?subscription={id}"),
        "has_more": false,
        "data": [{
            "id": random_id("si"),
            "object": "subscription_item",
            "billing_thresholds": null,
            "created": now,
            "discounts": [],
            "metadata": {},
            "plan": plan::of(price),
            "price": price,
            "quantity": quantity(call)?,
            "subscription": id,
            "tax_rates": [],
        }],
    });
    for name in NULLS {
        subscription[name] = Value::Null;
    }
    if subscription["cancel_at_period_end"] == true {
        subscription["canceled_at"] = now.into();
    }
    Ok(subscription)
}

/// The first period, and the invoice for it: of nothing in a trial.
fn begin(actor: Actor<'_>, subscription: &mut Value, trial_end: Option<i64>) {
    let (now, id) = (actor.now(), id_of(subscription).to_owned());
    let period = match trial_end {
        Some(end) => {
            subscription["billing_cycle_anchor"] = end.into();
            set_period(actor, subscription, (now, end));
            actor.world.schedule((end - 3 * DAY).max(now), Due::TrialWillEnd(id.clone()));
            (now, end)
        }
        None => begin_period(actor, subscription, now),
    };
    if trial_end.is_some() && default_method(actor, subscription).is_none() {
        let mut intent = setup_intents::new(actor, subscription["customer"].as_str());
        intent[OURS] = json!({ "subscription": id });
        subscription["pending_setup_intent"] = intent["id"].clone();
        actor.save(Kind::SetupIntent, &intent, "setup_intent.created");
    }
    actor.put(Kind::Subscription, subscription);
    let mut line = cycle::line(subscription, period);
    if trial_end.is_some() {
        line.amount = 0;
        line.description = "Trial period".to_owned();
    }
    let bill = Bill { reason: "subscription_create", lines: vec![line], period: (now, now), draft: false };
    let invoice = issue(actor, subscription, &bill);
    if subscription["status"] == "incomplete" {
        if invoice["status"] == "paid" {
            subscription["status"] = "active".into();
        } else {
            actor.world.schedule(now + EXPIRES_AFTER_SECONDS, Due::IncompleteExpires(id));
        }
    }
    subscription["latest_invoice"] = invoice["id"].clone();
    actor.save(Kind::Subscription, subscription, "customer.subscription.created");
}
