//! Refunds: the roles are swapped, the merchant pays.

use chrono::Utc;
use reqwest::Method;
use serde_json::{Map, Value};

use super::payments::not_sent;
use super::{Object, Swish, amount, codes, instruction};
use crate::domain::payment::Payment;
use crate::domain::refund::{ProviderRefund, Refund, RefundStatus};
use crate::providers::ProviderError;
use crate::providers::stripe::Answer;

impl Swish {
    /// `PUT v2/refunds/{instruction}`. Swish sees to it that no more is refunded than was paid (`RF08`).
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn create_refund(
        &self,
        refund: &Refund,
        payment: &Payment,
        payment_reference: Option<&str>,
        key: &str,
    ) -> Result<Answer<ProviderRefund>, ProviderError> {
        let instruction = instruction(key);
        let Some(reference) = payment_reference else {
            return Err(not_sent("the bank's reference of the payment is not known"));
        };
        let mut body = Map::new();
        self.callback(&instruction, &mut body);
        body.insert("originalPaymentReference".to_owned(), reference.into());
        body.insert("payerAlias".to_owned(), self.payee_alias.as_str().into());
        body.insert("payerPaymentReference".to_owned(), refund.id.0.simple().to_string().into());
        body.insert("amount".to_owned(), amount::format(refund.money.minor).into());
        body.insert("currency".to_owned(), "SEK".into());
        let path = format!("v2/refunds/{instruction}");
        let reply = self.transport.send(Method::PUT, &path, Some(("application/json", &Value::Object(body)))).await?;
        if reply.status != 201 {
            return Err(super::transport::unreadable("a creation that is none"));
        }
        let value = ProviderRefund {
            id: instruction,
            provider_payment_id: payment.provider_payment_id.clone().unwrap_or_default(),
            status: RefundStatus::Processing,
            money: refund.money,
            reason: refund.reason.clone(),
            failure: None,
            outcome_unknown: false,
            created_at: Utc::now(),
        };
        Ok(Answer { value, request_id: None })
    }

    /// `GET v1/refunds/{instruction}`. `None`: Swish has no such refund.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn fetch_refund(&self, instruction: &str) -> Result<Option<ProviderRefund>, ProviderError> {
        self.transport.fetch(&format!("v1/refunds/{instruction}")).await?.map(read).transpose()
    }
}

fn read(object: Object) -> Result<ProviderRefund, ProviderError> {
    let money = object.money()?;
    let code = object.error_code.as_deref().filter(|code| !code.is_empty());
    // Without a code it may be that too.
    let outcome_unknown = object.status == "ERROR" && code.is_none_or(|code| code == codes::UNKNOWN);
    let status = match object.status.as_str() {
        "PAID" => RefundStatus::Succeeded,
        "ERROR" if !outcome_unknown => RefundStatus::Failed,
        // CREATED, INITIATED, VALIDATED, DEBITED, and what we do not know.
        _ => RefundStatus::Processing,
    };
    Ok(ProviderRefund {
        provider_payment_id: String::new(),
        status,
        money,
        reason: None,
        failure: (status == RefundStatus::Failed)
            .then(|| codes::failure(code.unwrap_or("none"), object.error_message.as_deref())),
        outcome_unknown,
        created_at: object.created_at().unwrap_or_else(Utc::now),
        id: object.id,
    })
}
