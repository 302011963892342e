//! Refunds: create, retrieve, and what becomes of them.

use chrono::{DateTime, Months};

use super::codes::{self, ApiError};
use super::fields::{Fields, is_callback_url, is_message, is_payer, is_reference};
use super::gate::{Answer, Call};
use super::model::{Payment, Refund, Status, decimal};
use super::payments::check_failure;
use super::world::{Due, Inner, random_hex};

const FIELDS: [&str; 9] = [
    "originalPaymentReference",
    "callbackUrl",
    "callbackIdentifier",
    "payerAlias",
    "payeeAlias",
    "amount",
    "currency",
    "payerPaymentReference",
    "message",
];
/// How long after a payment it can be refunded.
const WINDOW: Months = Months::new(13);

pub(super) fn create(inner: &mut Inner, call: &Call) -> Answer {
    let mut refund = match read(inner, call) {
        Ok(refund) => refund,
        Err(answer) => return answer,
    };
    let code = refund.message.clone().unwrap_or_default();
    if codes::REFUND_AT_ONCE.contains(&code.as_str()) {
        return Answer::errors(&[ApiError::new(&code)]);
    }
    if inner.is_used(&refund.id) {
        return Answer::errors(&[ApiError::new("RP09")]);
    }
    match check(inner, &refund) {
        Ok(payment) => refund.payment = payment,
        Err(error) => return Answer::errors(&[error]),
    }
    let id = refund.id.clone();
    let settle = inner.settings.settle_ms;
    if codes::REFUND_LATER.contains(&code.as_str()) {
        inner.schedule(settle, Due::RefundFails { id: id.clone(), code });
    } else {
        inner.schedule(settle, Due::RefundDebits(id.clone()));
        inner.schedule(settle.saturating_mul(2), Due::RefundPays(id.clone()));
    }
    inner.refunds.push(refund);
    Answer::created(format!("{}v1/refunds/{id}", inner.settings.url))
}

/// The refund that a body asks for, or why there is none.
fn read(inner: &Inner, call: &Call) -> Result<Refund, Answer> {
    let mut fields = Fields::parse(&call.body, &FIELDS).map_err(Answer::malformed)?;
    let refund = Refund {
        id: call.id.clone(),
        owner: call.common_name.clone(),
        payment: String::new(),
        payment_reference: None,
        callback_identifier: fields.callback_identifier().map_err(Answer::malformed)?,
        payer_payment_reference: fields.optional("payerPaymentReference", "FF08", is_reference),
        original_payment_reference: fields.required("originalPaymentReference", "RF02", |text| !text.is_empty()),
        callback_url: fields.required("callbackUrl", "RP03", is_callback_url),
        payer_alias: fields.required("payerAlias", "RP01", |text| !text.is_empty()),
        payee_alias: fields.optional("payeeAlias", "BE18", is_payer),
        amount: fields.amount(),
        currency: fields.currency(),
        message: fields.optional("message", "RP02", is_message),
        status: Status::Created,
        created: inner.now(),
        paid: None,
        error_code: None,
        error_message: None,
        moved: false,
    };
    if !fields.errors.is_empty() {
        return Err(Answer::errors(&fields.errors));
    }
    if refund.payer_alias != call.common_name {
        return Err(Answer::errors(&[ApiError::with("PA01", String::new())]));
    }
    Ok(refund)
}

/// The payment that a refund is of, if it can be made.
fn check(inner: &Inner, refund: &Refund) -> Result<String, ApiError> {
    let original = |payment: &&Payment| {
        payment.moved && payment.payment_reference.as_deref() == Some(&refund.original_payment_reference)
    };
    let payment = inner.payments.iter().find(original).ok_or_else(|| ApiError::new("RF02"))?;
    let since = DateTime::from_timestamp_millis(payment.paid.unwrap_or(payment.created)).unwrap_or_default();
    let until = since.checked_add_months(WINDOW).map_or(i64::MAX, |until| until.timestamp_millis());
    if inner.now() > until {
        return Err(ApiError::new("RF02"));
    }
    if payment.payee_alias != refund.payer_alias {
        return Err(ApiError::new("RF03"));
    }
    if refund.payee_alias.is_some() && refund.payee_alias != payment.payer_alias {
        return Err(ApiError::new("BE18"));
    }
    let of_payment = |earlier: &&Refund| earlier.payment == payment.id && earlier.counts();
    let refunded: i64 = inner.refunds.iter().filter(of_payment).map(|earlier| earlier.amount).sum();
    let remaining = payment.amount - refunded;
    if refund.amount > remaining {
        return Err(ApiError::with("RF08", decimal(remaining)));
    }
    Ok(payment.id.clone())
}

pub(super) fn retrieve(inner: &mut Inner, call: &Call) -> Answer {
    match inner.refunds.iter().find(|refund| refund.id == call.id && refund.owner == call.common_name) {
        Some(refund) => Answer::object(refund.to_json()),
        None => Answer::errors(&[ApiError::new("RP04")]),
    }
}

impl Inner {
    fn change_refund(&mut self, id: &str, change: impl FnOnce(&mut Refund)) -> Option<Refund> {
        let refund = self.refunds.iter_mut().find(|refund| refund.id == id)?;
        change(refund);
        let refund = refund.clone();
        self.tell(super::callbacks::REFUNDS, id, refund.status, refund.to_json());
        Some(refund)
    }

    /// The merchant's account is debited, if it was not yet.
    pub(super) fn debit_refund(&mut self, id: &str) {
        if self.refund(id).is_none_or(|refund| refund.status != Status::Created) {
            return;
        }
        let changed = self.change_refund(id, |refund| {
            refund.status = Status::Debited;
            refund.moved = true;
            refund.payment_reference = Some(random_hex(16).to_ascii_uppercase());
        });
        if let Some(refund) = changed {
            self.move_money("refund", id, &refund.payment, refund.amount, Status::Debited);
        }
    }

    /// The payer has it.
    pub(super) fn pay_refund(&mut self, id: &str) -> Result<Status, String> {
        if self.refund(id).is_none_or(|refund| refund.status != Status::Debited) {
            return Err(format!("{id} is not DEBITED"));
        }
        let now = self.now();
        self.change_refund(id, |refund| {
            refund.status = Status::Paid;
            refund.paid = Some(now);
        });
        self.ledger_status(id, Status::Paid);
        Ok(Status::Paid)
    }

    /// Ends a refund as `ERROR`. What was debited comes back, unless it moved all the same.
    pub(super) fn fail_refund(&mut self, id: &str, code: &str, moved: bool) -> Result<Status, String> {
        check_failure(code, moved, &codes::REFUND_LATER)?;
        let before = self.refund(id).filter(|refund| !refund.status.is_final()).cloned();
        let before = before.ok_or_else(|| format!("{id} is final already"))?;
        self.change_refund(id, |refund| {
            refund.status = Status::Error;
            refund.error_code = Some(code.to_owned());
            refund.error_message = Some(codes::message(code).to_owned());
            refund.payment_reference = None;
            refund.moved = moved;
        });
        match (before.moved, moved) {
            (false, true) => self.move_money("refund", id, &before.payment, before.amount, Status::Error),
            (true, true) => self.ledger_status(id, Status::Error),
            (true, false) => self.move_money("refund_failure", id, &before.payment, before.amount, Status::Error),
            (false, false) => {}
        }
        Ok(Status::Error)
    }
}
