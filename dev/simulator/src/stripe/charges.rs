//! `/v1/charges`: each attempt to pay makes one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::gate::{Gives, Operation};
use super::holds::HOLD_SECONDS;
use super::list::{self, like};
use super::params::{CREATED, PAGE, Type, may};
use super::store::{Kind, number, text};
use super::world::{Actor, LedgerEntry, random_id};

pub(crate) const RETRIEVE: Operation =
    Operation::get("charges.retrieve", "/charges/:id", &[], Gives::One(Kind::Charge), |call| call.object());

pub(crate) const LIST: Operation = Operation::get(
    "charges.list",
    "/charges",
    &[PAGE, CREATED, &[may("payment_intent", Type::Id), may("customer", Type::Id)]],
    Gives::List(Kind::Charge),
    |call| {
        list::page(call, |charge| like(&call.form, charge, "payment_intent") && like(&call.form, charge, "customer"))
    },
);

/// A charge of the whole amount. It is not stored yet.
pub(crate) fn make(actor: Actor<'_>, intent: &Value, status: &str) -> Value {
    let method = actor.get(Kind::PaymentMethod, text(intent, "payment_method")).unwrap_or_default();
    let card = &method["card"];
    let amount = number(intent, "amount");
    json!({
        "id": random_id("ch"),
        "object": "charge",
        "amount": amount,
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": null,
        "billing_details": { "address": null, "email": null, "name": null, "phone": null, "tax_id": null },
        "calculated_statement_descriptor": "SIMULATED",
        "captured": false,
        "created": actor.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": false,
        "failure_balance_transaction": null,
        "failure_code": null,
        "failure_message": null,
        "fraud_details": {},
        "livemode": false,
        "metadata": intent["metadata"],
        "on_behalf_of": null,
        "outcome": { "advice_code": null, "network_advice_code": null, "network_decline_code": null,
            "network_status": "approved_by_network", "reason": null, "risk_level": "normal",
            "seller_message": "Payment complete.", "type": "authorized" },
        "paid": false,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": {
            "type": "card",
            "card": {
                "amount_authorized": amount,
                "brand": card["brand"],
                "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
                "country": card["country"],
                "exp_month": card["exp_month"],
                "exp_year": card["exp_year"],
                "fingerprint": card["fingerprint"],
                "funding": card["funding"],
                "installments": null,
                "last4": card["last4"],
                "mandate": null,
                "network": card["brand"],
                "three_d_secure": null,
                "wallet": null,
            },
        },
        "receipt_email": intent["receipt_email"],
        "receipt_number": null,
        "receipt_url": null,
        "refunded": false,
        "review": null,
        "shipping": null,
        "source_transfer": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": status,
        "transfer_data": null,
        "transfer_group": null,
    })
}

/// The bank agreed. A manual capture holds the money only.
pub(crate) fn succeed(actor: Actor<'_>, charge: &mut Value, manual: bool) {
    charge["status"] = "succeeded".into();
    charge["paid"] = true.into();
    if manual {
        charge["payment_method_details"]["card"]["capture_before"] = (actor.now() + HOLD_SECONDS).into();
    } else {
        let amount = number(charge, "amount");
        take(actor, charge, amount);
    }
    actor.save(Kind::Charge, charge, "charge.succeeded");
}

/// The bank refused.
pub(crate) fn fail(actor: Actor<'_>, charge: &mut Value, error: &Value) {
    charge["status"] = "failed".into();
    charge["failure_code"] = error["code"].clone();
    charge["failure_message"] = error["message"].clone();
    charge["outcome"] = json!({
        "network_status": "declined_by_network", "reason": error["decline_code"], "risk_level": "normal",
        "seller_message": "The bank returned a decline.", "type": "issuer_declined",
    });
    actor.save(Kind::Charge, charge, "charge.failed");
}

/// Takes what was held, or a part of it; the rest is let go.
pub(crate) fn capture(actor: Actor<'_>, id: &str, amount: i64) {
    let Some(mut charge) = actor.get(Kind::Charge, id) else { return };
    take(actor, &mut charge, amount);
    actor.save(Kind::Charge, &charge, "charge.captured");
}

fn take(actor: Actor<'_>, charge: &mut Value, amount: i64) {
    charge["captured"] = true.into();
    charge["amount_captured"] = amount.into();
    charge["balance_transaction"] = random_id("txn").into();
    actor.world.move_money(LedgerEntry { amount, metadata: metadata_of(charge), ..entry(actor, "charge", charge) });
}

/// An entry about an object that has a PaymentIntent, of its whole amount, without metadata.
pub(crate) fn entry(actor: Actor<'_>, kind: &str, object: &Value) -> LedgerEntry {
    LedgerEntry {
        id: text(object, "id").to_owned(),
        kind: kind.to_owned(),
        payment_intent: text(object, "payment_intent").to_owned(),
        amount: number(object, "amount"),
        currency: text(object, "currency").to_owned(),
        status: text(object, "status").to_owned(),
        idempotency_key: actor.key.map(str::to_owned),
        metadata: BTreeMap::new(),
        created: actor.now(),
    }
}

pub(crate) fn metadata_of(object: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(object["metadata"].clone()).unwrap_or_default()
}
