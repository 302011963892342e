//! `/v1/invoice_payments`: from a PaymentIntent to its invoice and back.

use serde_json::Value;

use super::error::StripeError;
use super::gate::{Call, Gives, Operation};
use super::list::{self, like};
use super::params::{CREATED, PAGE, Type, may};
use super::store::{Kind, text};

pub(crate) const RETRIEVE: Operation = Operation::get(
    "invoice_payments.retrieve",
    "/invoice_payments/:id",
    &[],
    Gives::One(Kind::InvoicePayment),
    |call| call.object(),
);

pub(crate) const LIST: Operation = Operation::get(
    "invoice_payments.list",
    "/invoice_payments",
    &[
        PAGE,
        CREATED,
        &[
            may("invoice", Type::Id),
            may("payment[type]", Type::OneOf(&["payment_intent", "charge"])),
            may("payment[payment_intent]", Type::Id),
            may("status", Type::OneOf(&["open", "paid", "canceled"])),
        ],
    ],
    Gives::List(Kind::InvoicePayment),
    list,
);

fn list(call: &Call<'_>) -> Result<Value, StripeError> {
    let intent = call.form.get("payment[payment_intent]");
    if intent.is_some() && !call.form.has("payment[type]") {
        let message = "Missing required param: payment[type].";
        return Err(StripeError::invalid("parameter_missing", Some("payment[type]"), message));
    }
    list::page(call, |payment| {
        intent.is_none_or(|intent| text(&payment["payment"], "payment_intent") == intent)
            && like(&call.form, payment, "invoice")
            && like(&call.form, payment, "status")
    })
}
