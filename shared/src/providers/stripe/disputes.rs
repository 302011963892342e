//! Disputes. Source: <https://docs.stripe.com/api/disputes>.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;

use super::form::Form;
use super::payments::refused;
use super::read::{id_of, integer, money, required, text, texts, time};
use super::transport::unreadable;
use super::{Answer, Stripe};
use crate::domain::dispute::{DisputeFunds, DisputeStatus, ProviderDispute};
use crate::providers::ProviderError;

impl Stripe {
    /// `GET /v1/disputes/{id}`. `None`: Stripe has no such object.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn fetch_dispute(&self, id: &str) -> Result<Option<ProviderDispute>, ProviderError> {
        self.fetch(&format!("/disputes/{id}"), Form::new()).await?.map(|dispute| read(&dispute)).transpose()
    }

    /// `POST /v1/disputes/{id}` with `submit`: the evidence goes to the bank, which is final.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn submit_evidence(
        &self,
        id: &str,
        evidence: &BTreeMap<String, String>,
        key: &str,
    ) -> Result<Answer<ProviderDispute>, ProviderError> {
        let form = Form::new().with_map("evidence", evidence).with("submit", true);
        self.change_dispute(&format!("/disputes/{id}"), form, key).await
    }

    /// `POST /v1/disputes/{id}/close`: accepts it, which is final.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn accept_dispute(&self, id: &str, key: &str) -> Result<Answer<ProviderDispute>, ProviderError> {
        self.change_dispute(&format!("/disputes/{id}/close"), Form::new(), key).await
    }

    async fn change_dispute(
        &self,
        path: &str,
        form: Form,
        key: &str,
    ) -> Result<Answer<ProviderDispute>, ProviderError> {
        let call = self.transport.call();
        let changed = call.form(Method::POST, path, form.pairs(), Some(key)).await.map_err(refused)?;
        Ok(Answer { value: read(&changed)?, request_id: call.request_id() })
    }
}

fn read(dispute: &Value) -> Result<ProviderDispute, ProviderError> {
    let id = required(dispute, "id")?;
    let status = required(dispute, "status")?;
    let status = DisputeStatus::parse(&status).ok_or_else(|| unreadable(format!("the status {status} of {id}")))?;
    // State, where the events are only news: what was taken is negative, what was returned positive.
    let moved = dispute.get("balance_transactions").and_then(Value::as_array).filter(|moved| !moved.is_empty());
    let funds = match moved {
        None => DisputeFunds::Held,
        Some(moved) => {
            let sum: i64 = moved.iter().filter_map(|entry| integer(entry, "amount")).sum();
            if sum < 0 { DisputeFunds::Withdrawn } else { DisputeFunds::Reinstated }
        }
    };
    let details = dispute.get("evidence_details").unwrap_or(&Value::Null);
    Ok(ProviderDispute {
        provider_payment_id: id_of(dispute, "payment_intent"),
        status,
        reason: text(dispute, "reason").unwrap_or_default(),
        money: money(dispute, "amount")?,
        funds,
        evidence_due_by: time(details, "due_by"),
        evidence: texts(dispute, "evidence"),
        evidence_submitted: integer(details, "submission_count").is_some_and(|count| count > 0),
        created_at: time(dispute, "created").unwrap_or_default(),
        id,
    })
}
