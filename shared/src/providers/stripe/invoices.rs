//! Invoices, to learn which payments a subscription made. Source: <https://docs.stripe.com/api/invoices>.

use serde_json::Value;

use super::Stripe;
use super::form::Form;
use super::read::{id_of, required};
use crate::providers::ProviderError;

#[derive(Debug, Clone)]
pub struct ProviderInvoice {
    pub id: String,
    /// `None`: no subscription made it.
    pub provider_subscription_id: Option<String>,
    /// The PaymentIntents that it is or was to be paid with.
    pub provider_payment_ids: Vec<String>,
}

impl Stripe {
    /// `GET /v1/invoices/{id}`. `None`: Stripe has no such object.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn fetch_invoice(&self, id: &str) -> Result<Option<ProviderInvoice>, ProviderError> {
        let form = Form::new().with("expand[]", "payments");
        self.fetch(&format!("/invoices/{id}"), form).await?.map(|invoice| read(&invoice)).transpose()
    }
}

fn read(invoice: &Value) -> Result<ProviderInvoice, ProviderError> {
    let details = invoice.pointer("/parent/subscription_details").unwrap_or(&Value::Null);
    let payments = invoice.pointer("/payments/data").and_then(Value::as_array);
    Ok(ProviderInvoice {
        id: required(invoice, "id")?,
        // The second is where it stood before 2025-03-31.basil.
        provider_subscription_id: id_of(details, "subscription").or_else(|| id_of(invoice, "subscription")),
        provider_payment_ids: payments
            .into_iter()
            .flatten()
            .filter_map(|payment| id_of(payment.get("payment")?, "payment_intent"))
            .collect(),
    })
}
