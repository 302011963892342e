//! SetupIntents. Source: <https://docs.stripe.com/api/setup_intents>.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::Value;

use super::form::Form;
use super::payments::{failure_from_json, refused};
use super::read::{id_of, required, text};
use super::transport::unreadable;
use super::{Answer, Stripe};
use crate::domain::ids::SetupId;
use crate::domain::setup::{ProviderSetup, Setup, SetupStatus};
use crate::domain::text_rules::SETUP_ID_METADATA_KEY;
use crate::providers::ProviderError;

impl Stripe {
    /// `POST /v1/setup_intents`, for payments while the payer is away.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn create_setup(
        &self,
        setup: &Setup,
        stripe_customer_id: &str,
        key: &str,
    ) -> Result<Answer<ProviderSetup>, ProviderError> {
        let form = Form::new()
            .with("customer", stripe_customer_id)
            .with("usage", "off_session")
            .with("automatic_payment_methods[enabled]", true)
            .with(format!("metadata[{SETUP_ID_METADATA_KEY}]"), setup.id);
        let call = self.transport.call();
        let made = call.form(Method::POST, "/setup_intents", form.pairs(), Some(key)).await.map_err(refused)?;
        Ok(Answer { value: read(&made)?, request_id: call.request_id() })
    }

    /// `GET /v1/setup_intents/{id}`. `None`: Stripe has no such object.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn fetch_setup(&self, id: &str) -> Result<Option<ProviderSetup>, ProviderError> {
        self.fetch(&format!("/setup_intents/{id}"), Form::new()).await?.map(|setup| read(&setup)).transpose()
    }

    /// Looks a setup up by our id, among those of its customer.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn find_setup(
        &self,
        stripe_customer_id: &str,
        id: SetupId,
    ) -> Result<Option<ProviderSetup>, ProviderError> {
        let among = |form: Form| form.with("customer", stripe_customer_id);
        let found = self.find("/setup_intents", among, (SETUP_ID_METADATA_KEY, &id.to_string())).await?;
        found.map(|setup| read(&setup)).transpose()
    }
}

fn read(setup: &Value) -> Result<ProviderSetup, ProviderError> {
    let id = required(setup, "id")?;
    let status = match required(setup, "status")?.as_str() {
        "requires_payment_method" => SetupStatus::RequiresPaymentMethod,
        "requires_action" | "requires_confirmation" => SetupStatus::RequiresAction,
        "processing" => SetupStatus::Processing,
        "succeeded" => SetupStatus::Succeeded,
        "canceled" => SetupStatus::Canceled,
        other => return Err(unreadable(format!("the status {other} of {id}"))),
    };
    Ok(ProviderSetup {
        status,
        client_secret: text(setup, "client_secret").map(SecretString::from),
        payment_method: id_of(setup, "payment_method"),
        failure: setup.get("last_setup_error").filter(|error| error.is_object()).map(failure_from_json),
        id,
    })
}
