//! Customers. Source: <https://docs.stripe.com/api/customers>.

use reqwest::Method;

use super::form::Form;
use super::payments::refused;
use super::read::required;
use super::{Answer, Stripe};
use crate::domain::customer::Customer;
use crate::providers::ProviderError;

impl Stripe {
    /// `POST /v1/customers`
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn create_customer(&self, customer: &Customer, key: &str) -> Result<Answer<String>, ProviderError> {
        let form = Form::new()
            .with_some("email", customer.email.as_ref())
            .with_some("name", customer.name.as_ref())
            .with_map("metadata", &customer.metadata)
            .with("metadata[customer_id]", customer.id)
            .with("metadata[user_id]", &customer.user_id);
        let call = self.transport.call();
        let made = call.form(Method::POST, "/customers", form.pairs(), Some(key)).await.map_err(refused)?;
        Ok(Answer { value: required(&made, "id")?, request_id: call.request_id() })
    }

    /// `POST /v1/customers/{id}`: email, name and metadata as they are with us. An empty text clears.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn update_customer(
        &self,
        customer: &Customer,
        stripe_customer_id: &str,
    ) -> Result<Answer<String>, ProviderError> {
        let mut form = Form::new()
            .with("email", customer.email.as_deref().unwrap_or_default())
            .with("name", customer.name.as_deref().unwrap_or_default())
            .with_map("metadata", &customer.metadata);
        for removed in &customer.removed_metadata {
            form = form.with(format!("metadata[{removed}]"), "");
        }
        let path = format!("/customers/{stripe_customer_id}");
        let call = self.transport.call();
        let updated = call.form(Method::POST, &path, form.pairs(), None).await.map_err(refused)?;
        Ok(Answer { value: required(&updated, "id")?, request_id: call.request_id() })
    }
}
