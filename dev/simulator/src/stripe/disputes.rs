//! `/v1/disputes`: a payer went to the bank.

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::charges::entry;
use super::clock::Due;
use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::list::{self, like};
use super::params::{CREATED, METADATA, PAGE, Param, Type, may};
use super::store::{Kind, OURS, id_of, number, text};
use super::world::{Actor, random_id};

const EVIDENCE_DAYS: i64 = 14;
const FEE: i64 = 1_500;

const fn evidence(name: &'static str) -> Param {
    may(name, Type::Clearable)
}

const EVIDENCE: &[Param] = &[
    evidence("evidence[access_activity_log]"),
    evidence("evidence[billing_address]"),
    evidence("evidence[cancellation_policy]"),
    evidence("evidence[cancellation_policy_disclosure]"),
    evidence("evidence[cancellation_rebuttal]"),
    evidence("evidence[customer_communication]"),
    evidence("evidence[customer_email_address]"),
    evidence("evidence[customer_name]"),
    evidence("evidence[customer_purchase_ip]"),
    evidence("evidence[customer_signature]"),
    evidence("evidence[duplicate_charge_documentation]"),
    evidence("evidence[duplicate_charge_explanation]"),
    evidence("evidence[duplicate_charge_id]"),
    evidence("evidence[product_description]"),
    evidence("evidence[receipt]"),
    evidence("evidence[refund_policy]"),
    evidence("evidence[refund_policy_disclosure]"),
    evidence("evidence[refund_refusal_explanation]"),
    evidence("evidence[service_date]"),
    evidence("evidence[service_documentation]"),
    evidence("evidence[shipping_address]"),
    evidence("evidence[shipping_carrier]"),
    evidence("evidence[shipping_date]"),
    evidence("evidence[shipping_documentation]"),
    evidence("evidence[shipping_tracking_number]"),
    evidence("evidence[uncategorized_file]"),
    evidence("evidence[uncategorized_text]"),
];

pub(crate) const RETRIEVE: Operation =
    Operation::get("disputes.retrieve", "/disputes/:id", &[], Gives::One(Kind::Dispute), |call| call.object());

pub(crate) const LIST: Operation = Operation::get(
    "disputes.list",
    "/disputes",
    &[PAGE, CREATED, &[may("payment_intent", Type::Id), may("charge", Type::Id)]],
    Gives::List(Kind::Dispute),
    |call| {
        list::page(call, |dispute| like(&call.form, dispute, "payment_intent") && like(&call.form, dispute, "charge"))
    },
);

pub(crate) const UPDATE: Operation = Operation::post(
    "disputes.update",
    "/disputes/:id",
    &[METADATA, EVIDENCE, &[may("submit", Type::Boolean)]],
    Gives::One(Kind::Dispute),
    update,
);

pub(crate) const CLOSE: Operation =
    Operation::post("disputes.close", "/disputes/:id/close", &[], Gives::One(Kind::Dispute), |call| {
        let mut dispute = call.object()?;
        must_be_open(&dispute)?;
        if dispute[OURS]["inquiry"] == true {
            return Err(StripeError::bad(None, "An inquiry cannot be closed.").after_it_began());
        }
        end(call.actor(), &mut dispute, "lost");
        Ok(dispute)
    });

fn is_closed(dispute: &Value) -> bool {
    matches!(text(dispute, "status"), "won" | "lost" | "warning_closed")
}

fn must_be_open(dispute: &Value) -> Result<(), StripeError> {
    if is_closed(dispute) {
        return Err(StripeError::bad(None, "This dispute is already closed.").after_it_began());
    }
    Ok(())
}

fn update(call: &Call<'_>) -> Result<Value, StripeError> {
    let mut dispute = call.object()?;
    let given: Vec<(&str, &str)> = call
        .form
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("evidence[")?.strip_suffix(']')?, value)))
        .collect();
    let submit = call.form.boolean("submit").unwrap_or(!given.is_empty());
    if submit || !given.is_empty() {
        must_be_open(&dispute)?;
        if number(&dispute["evidence_details"], "submission_count") > 0 {
            let message = "Evidence has already been submitted for this dispute.";
            return Err(StripeError::new(
                StatusCode::BAD_REQUEST,
                "invalid_request_error",
                None,
                Some("evidence"),
                message,
            )
            .after_it_began());
        }
    }
    dispute["metadata"] = call.form.merged_metadata(&dispute["metadata"])?;
    for (name, value) in given {
        dispute["evidence"][name] = if value.is_empty() { Value::Null } else { value.into() };
    }
    let any = dispute["evidence"].as_object().is_some_and(|fields| fields.values().any(Value::is_string));
    dispute["evidence_details"]["has_evidence"] = any.into();
    if submit {
        dispute["evidence_details"]["submission_count"] = 1.into();
        let inquiry = dispute[OURS]["inquiry"] == true;
        dispute["status"] = if inquiry { "warning_under_review" } else { "under_review" }.into();
    }
    call.actor().change(Kind::Dispute, &dispute, "charge.dispute.updated");
    Ok(dispute)
}

/// How a dispute begins.
#[derive(Debug, Default)]
pub(crate) struct Opening<'a> {
    /// `fraudulent` by default.
    pub(crate) reason: Option<&'a str>,
    /// All that was captured by default.
    pub(crate) amount: Option<i64>,
    /// The bank only asks: no money moves yet.
    pub(crate) inquiry: bool,
}

/// The payer's bank disputes a charge.
pub(crate) fn open(actor: Actor<'_>, charge: &str, opening: &Opening<'_>) -> Result<Value, StripeError> {
    let mut charge = actor.get(Kind::Charge, charge).ok_or_else(|| StripeError::missing(Kind::Charge, charge))?;
    let captured = number(&charge, "amount_captured");
    let amount = opening.amount.unwrap_or(captured);
    if charge["disputed"] == true || !(1..=captured).contains(&amount) {
        let message = "Only a captured charge can be disputed, once, and at most its amount.";
        return Err(StripeError::bad(None, message));
    }
    let names = EVIDENCE.iter().filter_map(|param| param.name().strip_prefix("evidence[")?.strip_suffix(']'));
    let mut evidence: serde_json::Map<String, Value> = names.map(|name| (name.to_owned(), Value::Null)).collect();
    evidence.insert("enhanced_evidence".to_owned(), json!({}));
    let due_by = actor.now() + EVIDENCE_DAYS * 86_400;
    let mut dispute = json!({
        "id": random_id("du"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": actor.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": evidence,
        "evidence_details": { "due_by": due_by, "has_evidence": false, "past_due": false, "submission_count": 0,
            "enhanced_eligibility": {} },
        "is_charge_refundable": opening.inquiry,
        "livemode": false,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": { "brand": charge["payment_method_details"]["card"]["brand"],
                "case_type": if opening.inquiry { "inquiry" } else { "chargeback" }, "network": "visa", "network_reason_code": "10.4" },
            "type": "card",
        },
        "reason": opening.reason.unwrap_or("fraudulent"),
        "status": if opening.inquiry { "warning_needs_response" } else { "needs_response" },
        OURS: { "inquiry": opening.inquiry },
    });
    charge["disputed"] = true.into();
    charge[OURS] = json!({ "dispute": dispute["id"] });
    actor.put(Kind::Charge, &charge);
    actor.save(Kind::Dispute, &dispute, "charge.dispute.created");
    if !opening.inquiry {
        withdraw(actor, &mut dispute);
    }
    actor.world.schedule(due_by, Due::DisputeLost(id_of(&dispute).to_owned()));
    Ok(dispute)
}

fn withdraw(actor: Actor<'_>, dispute: &mut Value) {
    let amount = number(dispute, "amount");
    book(actor, dispute, -amount, FEE, "dispute");
    actor.world.move_money(entry(actor, "dispute", dispute));
    actor.save(Kind::Dispute, dispute, "charge.dispute.funds_withdrawn");
}

fn book(actor: Actor<'_>, dispute: &mut Value, amount: i64, fee: i64, category: &str) {
    let transaction = json!({
        "id": random_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": actor.now(),
        "balance_type": "payments",
        "created": actor.now(),
        "currency": dispute["currency"],
        "description": null,
        "exchange_rate": null,
        "fee": fee,
        "fee_details": [],
        "net": amount - fee,
        "reporting_category": category,
        "source": dispute["id"],
        "status": "available",
        "type": "adjustment",
    });
    if let Some(list) = dispute["balance_transactions"].as_array_mut() {
        list.push(transaction);
    }
}

/// The bank decides.
pub(crate) fn decide(actor: Actor<'_>, id: &str, won: bool) -> Result<Value, StripeError> {
    let mut dispute = find(actor, id)?;
    must_be_open(&dispute)?;
    match (dispute[OURS]["inquiry"] == true, won) {
        (true, true) => end(actor, &mut dispute, "warning_closed"),
        (true, false) => return Err(StripeError::bad(None, "An inquiry is not lost: it is escalated.")),
        (false, false) => end(actor, &mut dispute, "lost"),
        (false, true) => {
            end(actor, &mut dispute, "won");
            let amount = number(&dispute, "amount");
            book(actor, &mut dispute, amount, -FEE, "dispute_reversal");
            actor.world.move_money(entry(actor, "dispute_reversal", &dispute));
            actor.save(Kind::Dispute, &dispute, "charge.dispute.funds_reinstated");
        }
    }
    Ok(dispute)
}

/// An inquiry becomes a dispute.
pub(crate) fn escalate(actor: Actor<'_>, id: &str) -> Result<Value, StripeError> {
    let mut dispute = find(actor, id)?;
    must_be_open(&dispute)?;
    if dispute[OURS]["inquiry"] != true {
        return Err(StripeError::bad(None, "Only an inquiry can be escalated."));
    }
    dispute[OURS]["inquiry"] = false.into();
    dispute["is_charge_refundable"] = false.into();
    dispute["status"] = "needs_response".into();
    dispute["payment_method_details"]["card"]["case_type"] = "chargeback".into();
    dispute["evidence_details"]["submission_count"] = 0.into();
    actor.change(Kind::Dispute, &dispute, "charge.dispute.updated");
    withdraw(actor, &mut dispute);
    Ok(dispute)
}

fn find(actor: Actor<'_>, id: &str) -> Result<Value, StripeError> {
    actor.get(Kind::Dispute, id).ok_or_else(|| StripeError::missing(Kind::Dispute, id))
}

fn end(actor: Actor<'_>, dispute: &mut Value, status: &str) {
    dispute["status"] = status.into();
    dispute["is_charge_refundable"] = (status != "lost").into();
    actor.save(Kind::Dispute, dispute, "charge.dispute.closed");
}

/// Nobody answered in time: a dispute is lost, an inquiry is over.
pub(crate) fn due_day_passed(actor: Actor<'_>, id: &str) {
    let Some(mut dispute) = actor.get(Kind::Dispute, id) else { return };
    match text(&dispute, "status") {
        "needs_response" => {
            dispute["evidence_details"]["past_due"] = true.into();
            end(actor, &mut dispute, "lost");
        }
        "warning_needs_response" => end(actor, &mut dispute, "warning_closed"),
        _ => {}
    }
}

/// Whether a dispute that is open or lost stands in the way of refunds.
pub(crate) fn bars_refunds(actor: Actor<'_>, charge: &Value) -> bool {
    let dispute = actor.get(Kind::Dispute, charge[OURS]["dispute"].as_str().unwrap_or_default());
    dispute.is_some_and(|dispute| dispute["is_charge_refundable"] == false)
}
