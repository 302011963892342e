//! PaymentMethods. Source: <https://docs.stripe.com/api/payment_methods>.

use reqwest::Method;
use serde_json::Value;

use super::form::Form;
use super::payments::refused;
use super::read::{id_of, integer, required, text};
use super::{Answer, Stripe};
use crate::domain::saved_payment_method::{Card, ProviderPaymentMethod};
use crate::providers::ProviderError;

impl Stripe {
    /// `GET /v1/payment_methods/{id}`. `None`: Stripe has no such object.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn fetch_payment_method(&self, id: &str) -> Result<Option<ProviderPaymentMethod>, ProviderError> {
        self.fetch(&format!("/payment_methods/{id}"), Form::new()).await?.map(|method| read(&method)).transpose()
    }

    /// `POST /v1/payment_methods/{id}/detach`
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn detach_payment_method(&self, id: &str) -> Result<Answer<ProviderPaymentMethod>, ProviderError> {
        let path = format!("/payment_methods/{id}/detach");
        let call = self.transport.call();
        let detached = call.form(Method::POST, &path, &[], None).await.map_err(refused)?;
        Ok(Answer { value: read(&detached)?, request_id: call.request_id() })
    }
}

fn read(method: &Value) -> Result<ProviderPaymentMethod, ProviderError> {
    let card = method.get("card").unwrap_or(&Value::Null);
    let number = |field: &str| integer(card, field).and_then(|number| i32::try_from(number).ok());
    Ok(ProviderPaymentMethod {
        id: required(method, "id")?,
        provider_customer_id: id_of(method, "customer"),
        card: Card {
            kind: required(method, "type")?,
            brand: text(card, "brand"),
            last4: text(card, "last4"),
            exp_month: number("exp_month"),
            exp_year: number("exp_year"),
        },
    })
}
