//! Payment requests. Created under v2, read and canceled under v1.

use std::time::Duration;

use chrono::Utc;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::{Object, Swish, amount, codes, instruction};
use crate::domain::payment::{Payment, PaymentStatus, ProviderPayment};
use crate::domain::swish::SwishDetails;
use crate::providers::stripe::Answer;
use crate::providers::{CallError, ProviderError};

/// How long the payer has.
pub const PAYER_HAS: Duration = Duration::from_secs(3 * 60);

impl Swish {
    /// `PUT v2/paymentrequests/{instruction}`. Without the payer's number (m-commerce) the answer has the token that
    /// opens the app; no later one has it.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn create_payment(&self, payment: &Payment, key: &str) -> Result<Answer<ProviderPayment>, ProviderError> {
        let instruction = instruction(key);
        let details = payment.swish.clone().unwrap_or_default();
        let mut body = Map::new();
        self.callback(&instruction, &mut body);
        body.insert("payeeAlias".to_owned(), self.payee_alias.as_str().into());
        body.insert("payeePaymentReference".to_owned(), payment.id.0.simple().to_string().into());
        body.insert("amount".to_owned(), amount::format(payment.money.minor).into());
        body.insert("currency".to_owned(), "SEK".into());
        // What is absent is left out: null is refused.
        for (name, value) in [("payerAlias", &details.payer_alias), ("message", &details.message)] {
            if let Some(value) = value {
                body.insert(name.to_owned(), value.as_str().into());
            }
        }
        if let Some(age) = details.age_limit {
            body.insert("ageLimit".to_owned(), age.to_string().into());
        }
        let path = format!("v2/paymentrequests/{instruction}");
        let reply = self.transport.send(Method::PUT, &path, Some(("application/json", &Value::Object(body)))).await?;
        if reply.status != 201 || (details.payer_alias.is_none() && reply.token.is_none()) {
            return Err(super::transport::unreadable("a creation that is none"));
        }
        let now = Utc::now();
        let value = ProviderPayment {
            id: instruction,
            status: PaymentStatus::RequiresAction,
            retryable: false,
            money: payment.money,
            amount_capturable: 0,
            amount_captured: 0,
            payment_method: None,
            client_secret: reply.token.map(SecretString::from),
            next_action: Some(next_action(details.payer_alias.is_some())),
            failure: None,
            outcome_unknown: false,
            swish: None,
            expires_at: Some(now + PAYER_HAS),
            created_at: now,
        };
        Ok(Answer { value, request_id: None })
    }

    /// `GET v1/paymentrequests/{instruction}`. `None`: Swish has no such request.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn fetch_payment(&self, instruction: &str) -> Result<Option<ProviderPayment>, ProviderError> {
        let found = self.transport.fetch(&format!("v1/paymentrequests/{instruction}")).await?;
        found.map(read).transpose()
    }

    /// `PATCH v1/paymentrequests/{instruction}`: cancels it, unless the payer was faster.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn cancel_payment(&self, instruction: &str) -> Result<Answer<ProviderPayment>, ProviderError> {
        let patch = json!([{ "op": "replace", "path": "/status", "value": "cancelled" }]);
        let path = format!("v1/paymentrequests/{instruction}");
        let reply = self.transport.send(Method::PATCH, &path, Some(("application/json-patch+json", &patch))).await?;
        let canceled = read(reply.object()?)?;
        Ok(Answer { value: canceled, request_id: None })
    }
}

fn read(object: Object) -> Result<ProviderPayment, ProviderError> {
    let money = object.money()?;
    let code = object.error_code.as_deref().filter(|code| !code.is_empty());
    // Without a code it may be that too.
    let outcome_unknown = object.status == "ERROR" && code.is_none_or(|code| code == codes::UNKNOWN);
    let status = match object.status.as_str() {
        "CREATED" => PaymentStatus::RequiresAction,
        "PAID" => PaymentStatus::Succeeded,
        "CANCELLED" => PaymentStatus::Canceled,
        "DECLINED" => PaymentStatus::Failed,
        "ERROR" if !outcome_unknown => PaymentStatus::Failed,
        // What is not known to be final is not taken to be.
        _ => PaymentStatus::Processing,
    };
    let failure = match (object.status.as_str(), code) {
        ("DECLINED", None) => Some(codes::declined()),
        _ if status != PaymentStatus::Failed => None,
        (_, code) => Some(codes::failure(code.unwrap_or("none"), object.error_message.as_deref())),
    };
    let created_at = object.created_at().unwrap_or_else(Utc::now);
    let waiting = status == PaymentStatus::RequiresAction;
    Ok(ProviderPayment {
        id: object.id,
        status,
        retryable: false,
        money,
        amount_capturable: 0,
        amount_captured: if status == PaymentStatus::Succeeded { money.minor } else { 0 },
        payment_method: None,
        client_secret: None,
        next_action: waiting.then(|| next_action(object.payer_alias.is_some())),
        failure,
        outcome_unknown,
        swish: Some(SwishDetails {
            payer_alias: object.payer_alias,
            // Also failed ones have one at times.
            payment_reference: object.payment_reference.filter(|_| status == PaymentStatus::Succeeded),
            ..SwishDetails::default()
        }),
        expires_at: waiting.then(|| created_at + PAYER_HAS),
        created_at,
    })
}

/// With the payer's number, Swish has asked them already; else they open the app with the token.
fn next_action(asked: bool) -> Value {
    json!({ "type": if asked { "approve_in_swish_app" } else { "open_swish_app" } })
}

impl ProviderPayment {
    /// Whether a Swish request waits that nobody can pay: the answer that had its token was lost.
    #[must_use]
    pub fn lost_its_token(&self) -> bool {
        self.client_secret.is_none() && self.swish.as_ref().is_some_and(|details| details.payer_alias.is_none())
    }
}

/// Certainly nothing was sent for it.
pub(super) fn not_sent(why: &str) -> ProviderError {
    ProviderError::NotSent { source: CallError::Unreadable(why.to_owned()), retry_after: None }
}
