//! Refunds. Source: <https://docs.stripe.com/api/refunds>.

use reqwest::Method;
use serde_json::Value;

use super::form::Form;
use super::payments::refused;
use super::read::{id_of, money, required, text, time};
use super::transport::unreadable;
use super::{Answer, Stripe};
use crate::domain::evidence::Failure;
use crate::domain::ids::RefundId;
use crate::domain::refund::{ProviderRefund, Refund, RefundStatus};
use crate::domain::text_rules::REFUND_ID_METADATA_KEY;
use crate::providers::ProviderError;

impl Stripe {
    /// `POST /v1/refunds`
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn create_refund(
        &self,
        refund: &Refund,
        provider_payment_id: &str,
        key: &str,
    ) -> Result<Answer<ProviderRefund>, ProviderError> {
        let form = Form::new()
            .with("payment_intent", provider_payment_id)
            .with("amount", refund.money.minor)
            .with_some("reason", refund.reason.as_ref())
            .with_map("metadata", &refund.metadata)
            .with(format!("metadata[{REFUND_ID_METADATA_KEY}]"), refund.id);
        let call = self.transport.call();
        let made = call.form(Method::POST, "/refunds", form.pairs(), Some(key)).await.map_err(refused)?;
        Ok(Answer { value: read(&made)?, request_id: call.request_id() })
    }

    /// `GET /v1/refunds/{id}`. `None`: Stripe has no such object.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn fetch_refund(&self, id: &str) -> Result<Option<ProviderRefund>, ProviderError> {
        self.fetch(&format!("/refunds/{id}"), Form::new()).await?.map(|refund| read(&refund)).transpose()
    }

    /// Looks a refund up by our id, among those of its payment.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn find_refund(
        &self,
        provider_payment_id: &str,
        id: RefundId,
    ) -> Result<Option<ProviderRefund>, ProviderError> {
        let among = |form: Form| form.with("payment_intent", provider_payment_id);
        let found = self.find("/refunds", among, (REFUND_ID_METADATA_KEY, &id.to_string())).await?;
        found.map(|refund| read(&refund)).transpose()
    }
}

fn read(refund: &Value) -> Result<ProviderRefund, ProviderError> {
    let id = required(refund, "id")?;
    let status = match required(refund, "status")?.as_str() {
        "pending" => RefundStatus::Processing,
        "requires_action" => RefundStatus::RequiresAction,
        "succeeded" => RefundStatus::Succeeded,
        "failed" => RefundStatus::Failed,
        "canceled" => RefundStatus::Canceled,
        other => return Err(unreadable(format!("the status {other} of {id}"))),
    };
    let reason = text(refund, "failure_reason").unwrap_or_else(|| "unknown".to_owned());
    Ok(ProviderRefund {
        provider_payment_id: id_of(refund, "payment_intent").unwrap_or_default(),
        status,
        money: money(refund, "amount")?,
        reason: text(refund, "reason"),
        failure: (status == RefundStatus::Failed).then(|| Failure {
            message: format!("The refund came back: {}.", reason.replace('_', " ")),
            code: reason,
            decline_code: None,
        }),
        outcome_unknown: false,
        created_at: time(refund, "created").unwrap_or_default(),
        id,
    })
}
