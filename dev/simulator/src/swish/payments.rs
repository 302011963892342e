//! Payment requests: create, retrieve, cancel, and what becomes of them.

use poem::http::StatusCode;
use serde_json::{Value, json};

use super::codes::{self, ApiError};
use super::fields::{Fields, is_callback_url, is_message, is_payer, is_reference, is_swish_number};
use super::gate::{Answer, Call};
use super::model::{Payment, Status};
use super::world::{Due, Inner, random_hex};

const FIELDS: [&str; 10] = [
    "payeePaymentReference",
    "callbackUrl",
    "callbackIdentifier",
    "payerAlias",
    "payerSSN",
    "ageLimit",
    "payeeAlias",
    "amount",
    "currency",
    "message",
];
/// How long a payer has.
pub(super) const LIFE_MS: i64 = 180_000;
/// Who pays what was asked for without a telephone number.
const UNNAMED_PAYER: &str = "46464646464";

/// How a payment request ends.
pub(super) enum Outcome {
    Paid,
    Declined,
    Cancelled,
    Failed { code: String, moved: bool },
}

pub(super) fn create(inner: &mut Inner, call: &Call) -> Answer {
    let mut payment = match read(inner, call) {
        Ok(payment) => payment,
        Err(answer) => return answer,
    };
    let commerce = payment.payer_alias.is_some();
    let code = payment.message.clone().unwrap_or_default();
    if codes::PAYMENT_AT_ONCE.contains(&code.as_str()) || (commerce && codes::AGE.contains(&code.as_str())) {
        return Answer::errors(&[ApiError::new(&code)]);
    }
    if inner.is_used(&payment.id) {
        return Answer::errors(&[ApiError::new("RP09")]);
    }
    let busy = |open: &Payment| {
        commerce
            && open.status == Status::Created
            && open.payer_alias == payment.payer_alias
            && open.payee_alias == payment.payee_alias
    };
    if inner.payments.iter().any(busy) {
        return Answer::errors(&[ApiError::new("RP06")]);
    }
    let id = payment.id.clone();
    if codes::PAYMENT_LATER.contains(&code.as_str()) {
        inner.schedule(inner.settings.settle_ms, Due::PaymentFails { id: id.clone(), code });
    } else if let Some(after) = inner.auto_pay_ms.and_then(|after| i64::try_from(after).ok()) {
        inner.schedule(after, Due::PaysByItself(id.clone()));
    }
    inner.schedule(LIFE_MS, Due::Expires(id.clone()));
    let mut answer = Answer::created(format!("{}v1/paymentrequests/{id}", inner.settings.url));
    if !commerce {
        let token = random_hex(16);
        answer.headers.push(("PaymentRequestToken", token.clone()));
        payment.token = Some(token);
    }
    inner.payments.push(payment);
    answer
}

/// The request that a body asks for, or why there is none.
fn read(inner: &Inner, call: &Call) -> Result<Payment, Answer> {
    let mut fields = Fields::parse(&call.body, &FIELDS).map_err(Answer::malformed)?;
    let callback_identifier = fields.callback_identifier().map_err(Answer::malformed)?;
    let is_ssn = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let payer_ssn = fields.uncoded("payerSSN", is_ssn).map_err(Answer::malformed)?;
    let payment = Payment {
        id: call.id.clone(),
        owner: call.common_name.clone(),
        token: None,
        payee_payment_reference: fields.optional("payeePaymentReference", "FF08", is_reference),
        payment_reference: None,
        callback_url: fields.required("callbackUrl", "RP03", is_callback_url),
        callback_identifier,
        payer_alias: fields.optional("payerAlias", "BE18", is_payer),
        payer_ssn,
        age_limit: fields.age_limit(),
        payee_alias: fields.required("payeeAlias", "RP01", |text| !text.is_empty()),
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
    if payment.payee_alias != call.common_name || !is_swish_number(&payment.payee_alias) {
        return Err(Answer::errors(&[ApiError::with("PA01", String::new())]));
    }
    Ok(payment)
}

/// The request that a call names, if it is the caller's.
fn named<'a>(inner: &'a Inner, call: &Call) -> Result<&'a Payment, Answer> {
    let found = inner.payments.iter().find(|payment| payment.id == call.id && payment.owner == call.common_name);
    found.ok_or_else(|| Answer::errors(&[ApiError::new("RP04")]))
}

pub(super) fn retrieve(inner: &mut Inner, call: &Call) -> Answer {
    match named(inner, call) {
        Ok(payment) => Answer::object(payment.to_json()),
        Err(answer) => answer,
    }
}

pub(super) fn cancel(inner: &mut Inner, call: &Call) -> Answer {
    let Ok(patch) = serde_json::from_slice::<Value>(&call.body) else {
        return Answer::malformed("malformed JSON".to_owned());
    };
    if let Err(answer) = named(inner, call) {
        return answer;
    }
    if patch != json!([{ "op": "replace", "path": "/status", "value": "cancelled" }]) {
        let mut answer = Answer::errors(&[ApiError::new("PA01")]);
        answer.status = StatusCode::UNPROCESSABLE_ENTITY;
        return answer;
    }
    if inner.settle_payment(&call.id, Outcome::Cancelled).is_err() {
        return Answer::errors(&[ApiError::new("RP07")]);
    }
    retrieve(inner, call)
}

impl Inner {
    /// Ends a request, once, and tells of it.
    ///
    /// # Errors
    /// There is none of that id, it is final, or it cannot end like that.
    pub(super) fn settle_payment(&mut self, id: &str, outcome: Outcome) -> Result<Status, String> {
        let now = self.now();
        let found = self.payment(id).ok_or_else(|| format!("there is no payment request `{id}`"))?;
        let mut payment = found.clone();
        if payment.status.is_final() {
            return Err(format!("{} is {} already", payment.id, payment.status.as_str()));
        }
        match outcome {
            Outcome::Paid => {
                payment.status = Status::Paid;
                payment.paid = Some(now);
                payment.moved = true;
            }
            Outcome::Declined => payment.status = Status::Declined,
            Outcome::Cancelled => payment.status = Status::Cancelled,
            Outcome::Failed { code, moved } => {
                check_failure(&code, moved, &codes::PAYMENT_LATER)?;
                payment.status = Status::Error;
                payment.error_message = Some(codes::message(&code).to_owned());
                payment.error_code = Some(code);
                payment.moved = moved;
            }
        }
        payment.payment_reference = Some(random_hex(16).to_ascii_uppercase());
        if payment.moved {
            self.move_money("charge", &payment.id, &payment.id, payment.amount, payment.status);
        }
        if payment.payer_alias.is_none() && (payment.moved || payment.status == Status::Declined) {
            payment.payer_alias = Some(UNNAMED_PAYER.to_owned());
        }
        let status = payment.status;
        self.tell(super::callbacks::PAYMENTS, &payment.id, status, payment.to_json());
        if let Some(stored) = self.payments.iter_mut().find(|stored| stored.id == payment.id) {
            *stored = payment;
        }
        Ok(status)
    }
}

/// Whether something can end with the code.
pub(super) fn check_failure(code: &str, moved: bool, codes: &[&str]) -> Result<(), String> {
    if !codes.contains(&code) {
        return Err(format!("`{code}` is none of {}", codes.join(", ")));
    }
    if moved && code != "DS24" {
        return Err(format!("with `{code}` no money moves"));
    }
    Ok(())
}
