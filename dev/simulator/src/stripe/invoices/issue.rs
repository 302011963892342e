//! How an invoice comes to be. It is finalised at once.

use serde_json::{Value, json};

use super::super::payment_intents::pay;
use super::super::store::{Kind, OURS, id_of, number, text};
use super::super::subscriptions;
use super::super::world::{Actor, random_id};
use super::settle;

/// What an invoice is for.
pub(crate) struct Line {
    pub(crate) amount: i64,
    pub(crate) description: String,
    pub(crate) period: (i64, i64),
    pub(crate) price: String,
    pub(crate) proration: bool,
}

pub(crate) struct Bill<'a> {
    /// `subscription_create`, `subscription_cycle`, `subscription_update`
    pub(crate) reason: &'a str,
    pub(crate) lines: Vec<Line>,
    pub(crate) period: (i64, i64),
    /// It is only written down: nobody is asked to pay.
    pub(crate) draft: bool,
}

/// Makes the invoice. One that asks for nothing is paid at once.
pub(crate) fn issue(actor: Actor<'_>, subscription: &Value, bill: &Bill<'_>) -> Value {
    let mut invoice = new(actor, subscription, bill);
    actor.put(Kind::Invoice, &invoice);
    actor.emit("invoice.created", &invoice);
    if bill.draft {
        return invoice;
    }
    balance(actor, &mut invoice);
    let due = number(&invoice, "amount_due");
    invoice["status"] = "open".into();
    invoice["effective_at"] = actor.now().into();
    invoice["number"] = format!("SIMULATE-{}", &id_of(&invoice)[3..11].to_uppercase()).into();
    invoice["status_transitions"]["finalized_at"] = actor.now().into();
    if due > 0 {
        let intent = ask(actor, subscription, &invoice, bill.reason);
        let payment = payment(actor, &invoice, &intent);
        invoice[OURS] = json!({ "intent": intent["id"], "payment": payment["id"], "retries": 0 });
    }
    actor.save(Kind::Invoice, &invoice, "invoice.finalized");
    if due > 0 {
        return invoice;
    }
    settle(actor, invoice.clone(), None);
    actor.get(Kind::Invoice, id_of(&invoice)).unwrap_or(invoice)
}

/// Fields that are there and empty at first.
const NULLS: [&str; 29] = [
    "account_name",
    "account_tax_ids",
    "application",
    "automatically_finalizes_at",
    "custom_fields",
    "customer_address",
    "customer_shipping",
    "default_payment_method",
    "default_source",
    "description",
    "due_date",
    "effective_at",
    "ending_balance",
    "footer",
    "from_invoice",
    "hosted_invoice_url",
    "invoice_pdf",
    "last_finalization_error",
    "latest_revision",
    "next_payment_attempt",
    "number",
    "on_behalf_of",
    "receipt_number",
    "rendering",
    "shipping_cost",
    "shipping_details",
    "statement_descriptor",
    "test_clock",
    "webhooks_delivered_at",
];

fn new(actor: Actor<'_>, subscription: &Value, bill: &Bill<'_>) -> Value {
    let (id, now) = (random_id("in"), actor.now());
    let total: i64 = bill.lines.iter().map(|line| line.amount).sum();
    let due = total.max(0);
    let customer = actor.get(Kind::Customer, text(subscription, "customer")).unwrap_or_default();
    let lines: Vec<Value> = bill.lines.iter().map(|line| render(&id, subscription, line)).collect();
    let mut invoice = json!({
        "id": id,
        "object": "invoice",
        "account_country": "SE",
        "amount_due": due,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": due,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": false,
        "auto_advance": !bill.draft,
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null, "provider": null, "status": null },
        "billing_reason": bill.reason,
        "collection_method": "charge_automatically",
        "created": now,
        "currency": subscription["currency"],
        "customer": subscription["customer"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": { "type": "self" },
        "lines": { "object": "list", "url": format!("/v1/invoices/{id}/lines"), "has_more": false, "data": lines },
        "livemode": false,
        "metadata": {},
        "parent": {
            "quote_details": null,
            "subscription_details": { "metadata": subscription["metadata"], "subscription": subscription["id"] },
            "type": "subscription_details",
        },
        "payment_settings": { "default_mandate": null, "payment_method_options": null, "payment_method_types": null },
        "period_end": bill.period.1,
        "period_start": bill.period.0,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": number(&customer, "balance"),
        "status": "draft",
        "status_transitions": { "finalized_at": null, "marked_uncollectible_at": null, "paid_at": null, "voided_at": null },
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        OURS: {},
    });
    for name in NULLS {
        invoice[name] = Value::Null;
    }
    invoice
}

fn render(invoice: &str, subscription: &Value, line: &Line) -> Value {
    let item = &subscription["items"]["data"][0];
    json!({
        "id": random_id("il"),
        "object": "line_item",
        "amount": line.amount,
        "currency": subscription["currency"],
        "description": line.description,
        "discount_amounts": [],
        "discountable": !line.proration,
        "discounts": [],
        "invoice": invoice,
        "livemode": false,
        "metadata": subscription["metadata"],
        "parent": {
            "invoice_item_details": null,
            "subscription_item_details": {
                "invoice_item": null, "proration": line.proration, "proration_details": { "credited_items": null },
                "subscription": subscription["id"], "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": { "start": line.period.0, "end": line.period.1 },
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": { "price": line.price, "product": item["price"]["product"] },
            "type": "price_details",
            "unit_amount_decimal": line.amount.to_string(),
        },
        "quantity": item["quantity"],
        "subtotal": line.amount,
        "taxes": [],
    })
}

/// What the customer has to their credit is used first; what is owed to them is put to it.
fn balance(actor: Actor<'_>, invoice: &mut Value) {
    let Some(mut customer) = actor.get(Kind::Customer, text(invoice, "customer")) else { return };
    let (before, total) = (number(&customer, "balance"), number(invoice, "total"));
    let (due, after) = if total < 0 {
        (0, before + total)
    } else {
        let used = total.min(-before.min(0));
        (total - used, before + used)
    };
    invoice["amount_due"] = due.into();
    invoice["amount_remaining"] = due.into();
    invoice["starting_balance"] = before.into();
    invoice["ending_balance"] = after.into();
    if before != after {
        customer["balance"] = after.into();
        actor.change(Kind::Customer, &customer, "customer.updated");
    }
}

/// The PaymentIntent of the invoice. It knows neither the subscription's metadata nor the invoice, as at Stripe.
fn ask(actor: Actor<'_>, subscription: &Value, invoice: &Value, reason: &str) -> Value {
    let mut intent = pay::new(actor, number(invoice, "amount_due"), text(invoice, "currency"));
    let first = reason == "subscription_create";
    intent["customer"] = invoice["customer"].clone();
    intent["description"] = if first { "Subscription creation" } else { "Subscription update" }.into();
    intent["setup_future_usage"] = "off_session".into();
    intent[OURS] = json!({ "invoice": invoice["id"] });
    if let Some(method) = subscriptions::default_method(actor, subscription) {
        intent["payment_method"] = method.into();
        intent["status"] = "requires_confirmation".into();
    }
    actor.save(Kind::PaymentIntent, &intent, "payment_intent.created");
    intent
}

fn payment(actor: Actor<'_>, invoice: &Value, intent: &Value) -> Value {
    let payment = json!({
        "id": random_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": null,
        "amount_requested": invoice["amount_due"],
        "created": actor.now(),
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": true,
        "livemode": false,
        "payment": { "type": "payment_intent", "payment_intent": intent["id"] },
        "status": "open",
        "status_transitions": { "canceled_at": null, "paid_at": null },
    });
    actor.put(Kind::InvoicePayment, &payment);
    payment
}
