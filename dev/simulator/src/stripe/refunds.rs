//! `/v1/refunds`.

use serde_json::{Value, json};

use super::cards::Refunds;
use super::charges::{entry, metadata_of};
use super::clock::Due;
use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::list::{self, like};
use super::params::{CREATED, METADATA, PAGE, Type, may};
use super::payment_methods::card_of;
use super::store::{Kind, OURS, id_of, number, text};
use super::world::{Actor, LedgerEntry, random_id};
use super::{disputes, money};

/// How long a refund that does not settle at once takes.
const SETTLES_AFTER_SECONDS: i64 = 3_600;

const REASONS: Type = Type::OneOf(&["duplicate", "fraudulent", "requested_by_customer"]);

pub(crate) const CREATE: Operation = Operation::post(
    "refunds.create",
    "/refunds",
    &[
        METADATA,
        &[
            may("payment_intent", Type::Id),
            may("charge", Type::Id),
            may("amount", Type::Integer),
            may("reason", REASONS),
        ],
    ],
    Gives::One(Kind::Refund),
    create,
);

pub(crate) const RETRIEVE: Operation =
    Operation::get("refunds.retrieve", "/refunds/:id", &[], Gives::One(Kind::Refund), |call| call.object());

pub(crate) const LIST: Operation = Operation::get(
    "refunds.list",
    "/refunds",
    &[PAGE, CREATED, &[may("payment_intent", Type::Id), may("charge", Type::Id)]],
    Gives::List(Kind::Refund),
    |call| list::page(call, |refund| like(&call.form, refund, "payment_intent") && like(&call.form, refund, "charge")),
);

pub(crate) const UPDATE: Operation =
    Operation::post("refunds.update", "/refunds/:id", &[METADATA], Gives::One(Kind::Refund), |call| {
        let mut refund = call.object()?;
        refund["metadata"] = call.form.merged_metadata(&refund["metadata"])?;
        tell(call.actor(), &refund);
        Ok(refund)
    });

pub(crate) const CANCEL: Operation =
    Operation::post("refunds.cancel", "/refunds/:id/cancel", &[], Gives::One(Kind::Refund), |call| {
        let mut refund = call.object()?;
        if refund["status"] != "requires_action" {
            let message =
                format!("Only refunds that require action can be canceled; it is {}.", text(&refund, "status"));
            return Err(StripeError::bad(None, message).after_it_began());
        }
        give_up(call.actor(), &mut refund, "canceled", "merchant_request");
        Ok(refund)
    });

/// What is to be refunded.
pub(crate) struct Wish<'a> {
    pub(crate) amount: Option<i64>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) metadata: Value,
}

fn create(call: &Call<'_>) -> Result<Value, StripeError> {
    let intent = call.named(Kind::PaymentIntent, "payment_intent")?;
    let charge = call.named(Kind::Charge, "charge")?;
    let charge = match (intent, charge) {
        (None, None) => {
            let message = "One of the following params should be provided for this request: payment_intent or charge.";
            return Err(StripeError::invalid("parameter_missing", Some("payment_intent"), message));
        }
        (Some(intent), Some(charge)) if charge["payment_intent"] != intent["id"] => {
            let message = "The charge does not belong to the payment_intent.";
            return Err(StripeError::bad(Some("charge"), message));
        }
        (_, Some(charge)) => charge,
        (Some(intent), None) => charge_of(call.actor(), &intent)?,
    };
    let metadata = call.form.metadata()?;
    let wish = Wish { amount: call.form.integer("amount"), reason: call.form.get("reason"), metadata };
    make(call.actor(), charge, &wish)
}

/// The charge that a refund of the PaymentIntent is of.
pub(crate) fn charge_of(actor: Actor<'_>, intent: &Value) -> Result<Value, StripeError> {
    let charge = actor.get(Kind::Charge, text(intent, "latest_charge"));
    charge.filter(|charge| charge["status"] == "succeeded").ok_or_else(|| {
        let message = format!("This PaymentIntent ({}) does not have a successful charge to refund.", id_of(intent));
        StripeError::bad(None, message).after_it_began()
    })
}

fn amount(charge: &Value, wish: &Wish<'_>) -> Result<i64, StripeError> {
    let id = id_of(charge);
    if charge["captured"] != true {
        let message = format!("Charge {id} has not been captured; cancel the PaymentIntent instead.");
        return Err(StripeError::invalid("charge_not_captured", None, message).after_it_began());
    }
    let left = number(charge, "amount_captured") - number(charge, "amount_refunded");
    if left == 0 {
        let message = format!("Charge {id} has already been refunded.");
        return Err(StripeError::invalid("charge_already_refunded", None, message).after_it_began());
    }
    let amount = wish.amount.unwrap_or(left);
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.";
        return Err(StripeError::invalid("parameter_invalid_integer", Some("amount"), message));
    }
    money::whole(amount, text(charge, "currency"), "amount")?;
    if amount > left {
        let message = format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
        return Err(StripeError::invalid("amount_too_large", Some("amount"), message).after_it_began());
    }
    Ok(amount)
}

/// Refunds a charge, whole or in part.
pub(crate) fn make(actor: Actor<'_>, mut charge: Value, wish: &Wish<'_>) -> Result<Value, StripeError> {
    if disputes::bars_refunds(actor, &charge) {
        let message = format!("Charge {} has been charged back; cannot issue a refund.", id_of(&charge));
        return Err(StripeError::invalid("charge_disputed", None, message).after_it_began());
    }
    let amount = amount(&charge, wish)?;
    let method = actor.get(Kind::PaymentMethod, text(&charge, "payment_method")).unwrap_or_default();
    let (status, later) = match card_of(&method).refunds {
        Refunds::Succeed => ("succeeded", None),
        Refunds::Fail => ("succeeded", Some("failed")),
        Refunds::Pend => ("pending", Some("succeeded")),
        Refunds::RequireAction => ("requires_action", None),
    };
    let refund = json!({
        "id": random_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": random_id("txn"),
        "charge": charge["id"],
        "created": actor.now(),
        "currency": charge["currency"],
        "destination_details": { "card": { "type": "refund", "reference_status": "pending" }, "type": "card" },
        "metadata": wish.metadata,
        "payment_intent": charge["payment_intent"],
        "reason": wish.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": status,
        "transfer_reversal": null,
        OURS: { "later": later },
    });
    actor.put(Kind::Refund, &refund);
    actor.world.move_money(LedgerEntry { metadata: metadata_of(&refund), ..entry(actor, "refund", &refund) });
    refunded(&mut charge, amount);
    actor.put(Kind::Charge, &charge);
    if status != "requires_action" {
        actor.emit("charge.refunded", &charge);
    }
    actor.emit("refund.created", &refund);
    if later.is_some() {
        actor.world.schedule(actor.now() + SETTLES_AFTER_SECONDS, Due::RefundSettles(id_of(&refund).to_owned()));
    }
    Ok(refund)
}

fn refunded(charge: &mut Value, amount: i64) {
    let sum = number(charge, "amount_refunded") + amount;
    charge["amount_refunded"] = sum.into();
    charge["refunded"] = (sum > 0 && sum == number(charge, "amount_captured")).into();
}

/// What the card has in store for the refund.
pub(crate) fn settle_when_due(actor: Actor<'_>, id: &str) {
    let Some(mut refund) = actor.get(Kind::Refund, id) else { return };
    match (text(&refund, "status"), refund[OURS]["later"].as_str()) {
        ("pending", Some("succeeded")) => become_succeeded(actor, &mut refund),
        ("succeeded", Some("failed")) => give_up(actor, &mut refund, "failed", "expired_or_canceled_card"),
        _ => {}
    }
}

/// The bank could not do it.
pub(crate) fn fail(actor: Actor<'_>, id: &str, reason: Option<&str>) -> Result<Value, StripeError> {
    let mut refund = find(actor, id)?;
    if matches!(text(&refund, "status"), "failed" | "canceled") {
        return Err(StripeError::bad(None, format!("The refund is {} already.", text(&refund, "status"))));
    }
    give_up(actor, &mut refund, "failed", reason.unwrap_or("expired_or_canceled_card"));
    Ok(refund)
}

/// The bank did it.
pub(crate) fn succeed(actor: Actor<'_>, id: &str) -> Result<Value, StripeError> {
    let mut refund = find(actor, id)?;
    if !matches!(text(&refund, "status"), "pending" | "requires_action") {
        return Err(StripeError::bad(None, format!("The refund is {} already.", text(&refund, "status"))));
    }
    become_succeeded(actor, &mut refund);
    Ok(refund)
}

fn find(actor: Actor<'_>, id: &str) -> Result<Value, StripeError> {
    actor.get(Kind::Refund, id).ok_or_else(|| StripeError::missing(Kind::Refund, id))
}

fn become_succeeded(actor: Actor<'_>, refund: &mut Value) {
    let awaited_action = refund["status"] == "requires_action";
    refund["status"] = "succeeded".into();
    actor.world.ledger_status(id_of(refund), "refund", "succeeded");
    tell(actor, refund);
    if awaited_action && let Some(charge) = actor.get(Kind::Charge, text(refund, "charge")) {
        actor.emit("charge.refunded", &charge);
    }
}

/// The money comes back, and may be refunded once more.
fn give_up(actor: Actor<'_>, refund: &mut Value, status: &str, reason: &str) {
    refund["status"] = status.into();
    refund["failure_reason"] = reason.into();
    refund["failure_balance_transaction"] = random_id("txn").into();
    actor.world.ledger_status(id_of(refund), "refund", status);
    actor.world.move_money(LedgerEntry { metadata: metadata_of(refund), ..entry(actor, "refund_failure", refund) });
    if let Some(mut charge) = actor.get(Kind::Charge, text(refund, "charge")) {
        refunded(&mut charge, -number(refund, "amount"));
        actor.put(Kind::Charge, &charge);
    }
    tell(actor, refund);
    if status == "failed" {
        actor.emit("refund.failed", refund);
    }
}

fn tell(actor: Actor<'_>, refund: &Value) {
    let before = actor.get(Kind::Refund, id_of(refund)).unwrap_or_default();
    actor.put(Kind::Refund, refund);
    actor.changed("refund.updated", &before, refund);
    actor.changed("charge.refund.updated", &before, refund);
}
