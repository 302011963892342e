//! Subscriptions. Source: <https://docs.stripe.com/api/subscriptions>.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::Value;

use super::form::Form;
use super::payments::refused;
use super::read::{id_of, money, required, texts, time};
use super::transport::unreadable;
use super::{Answer, Stripe};
use crate::domain::ids::SubscriptionId;
use crate::domain::subscription::{ProviderSubscription, Subscription, SubscriptionChange, SubscriptionStatus};
use crate::domain::text_rules::SUBSCRIPTION_ID_METADATA_KEY;
use crate::providers::ProviderError;

/// What the first payment is confirmed with.
const SECRET: &str = "latest_invoice.confirmation_secret";

impl Stripe {
    /// `POST /v1/subscriptions`: charged at once where there is a payment method, else the payer confirms.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn create_subscription(
        &self,
        subscription: &Subscription,
        stripe_customer_id: &str,
        price: &str,
        key: &str,
    ) -> Result<Answer<ProviderSubscription>, ProviderError> {
        let mut form = Form::new()
            .with("customer", stripe_customer_id)
            .with("items[0][price]", price)
            .with("payment_settings[save_default_payment_method]", "on_subscription")
            .with("expand[]", SECRET)
            .with_some("trial_period_days", subscription.trial_period_days)
            .with_map("metadata", &subscription.metadata)
            .with(format!("metadata[{SUBSCRIPTION_ID_METADATA_KEY}]"), subscription.id);
        form = match &subscription.payment_method {
            Some(method) => form.with("payment_behavior", "allow_incomplete").with("default_payment_method", method),
            None => form.with("payment_behavior", "default_incomplete"),
        };
        let call = self.transport.call();
        let made = call.form(Method::POST, "/subscriptions", form.pairs(), Some(key)).await.map_err(refused)?;
        Ok(Answer { value: read(&made)?, request_id: call.request_id() })
    }

    /// `GET /v1/subscriptions/{id}`. `None`: Stripe has no such object.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn fetch_subscription(&self, id: &str) -> Result<Option<ProviderSubscription>, ProviderError> {
        let form = Form::new().with("expand[]", SECRET);
        self.fetch(&format!("/subscriptions/{id}"), form).await?.map(|found| read(&found)).transpose()
    }

    /// Looks a subscription up by our id, among those of its customer, ended ones too.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn find_subscription(
        &self,
        stripe_customer_id: &str,
        id: SubscriptionId,
    ) -> Result<Option<ProviderSubscription>, ProviderError> {
        let among = |form: Form| form.with("customer", stripe_customer_id).with("status", "all");
        match self.find("/subscriptions", among, (SUBSCRIPTION_ID_METADATA_KEY, &id.to_string())).await? {
            // Lists do not show the client secret.
            Some(found) => self.fetch_subscription(&required(&found, "id")?).await,
            None => Ok(None),
        }
    }

    /// `POST /v1/subscriptions/{id}`: a new price counts from the next period. The
    /// answer to a key that was sent before is as old as the first one.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn update_subscription(
        &self,
        subscription: &Subscription,
        change: &SubscriptionChange,
        price: Option<&str>,
        key: &str,
    ) -> Result<Answer<ProviderSubscription>, ProviderError> {
        let mut form = Form::new()
            .with("proration_behavior", "none")
            .with("expand[]", SECRET)
            .with_some("cancel_at_period_end", change.cancel_at_period_end);
        if let Some(price) = price {
            let item = subscription.provider_item_id.as_deref().unwrap_or_default();
            form = form.with("items[0][id]", item).with("items[0][price]", price);
        }
        if let Some(metadata) = &change.metadata {
            for removed in subscription.metadata.keys().filter(|key| !metadata.contains_key(*key)) {
                form = form.with(format!("metadata[{removed}]"), "");
            }
            form = form.with_map("metadata", metadata);
        }
        let path = format!("/subscriptions/{}", subscription.provider_subscription_id.as_deref().unwrap_or_default());
        let call = self.transport.call();
        let updated = call.form(Method::POST, &path, form.pairs(), Some(key)).await.map_err(refused)?;
        Ok(Answer { value: read(&updated)?, request_id: call.request_id() })
    }

    /// `DELETE /v1/subscriptions/{id}`: ends it at once.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn cancel_subscription(&self, id: &str) -> Result<Answer<ProviderSubscription>, ProviderError> {
        let call = self.transport.call();
        let ended = call.form(Method::DELETE, &format!("/subscriptions/{id}"), &[], None).await.map_err(refused)?;
        Ok(Answer { value: read(&ended)?, request_id: call.request_id() })
    }
}

fn read(subscription: &Value) -> Result<ProviderSubscription, ProviderError> {
    let id = required(subscription, "id")?;
    let status = required(subscription, "status")?;
    let status = SubscriptionStatus::parse(&status)
        // Two names that are only ours.
        .filter(|status| !matches!(status, SubscriptionStatus::Pending | SubscriptionStatus::Failed))
        .ok_or_else(|| unreadable(format!("the status {status} of {id}")))?;
    let item = subscription.pointer("/items/data/0").ok_or_else(|| unreadable(format!("{id} without items")))?;
    let price = item.get("price").ok_or_else(|| unreadable(format!("{id} without a price")))?;
    let secret = subscription.pointer("/latest_invoice/confirmation_secret/client_secret").and_then(Value::as_str);
    let to_be_paid =
        matches!(status, SubscriptionStatus::Incomplete | SubscriptionStatus::PastDue | SubscriptionStatus::Unpaid);
    Ok(ProviderSubscription {
        item_id: required(item, "id")?,
        status,
        money: money(price, "unit_amount")?,
        payment_method: id_of(subscription, "default_payment_method"),
        current_period_start: time(item, "current_period_start"),
        current_period_end: time(item, "current_period_end"),
        trial_end: time(subscription, "trial_end"),
        cancel_at_period_end: subscription["cancel_at_period_end"].as_bool().unwrap_or(false),
        metadata: texts(subscription, "metadata"),
        canceled_at: time(subscription, "canceled_at"),
        ended_at: time(subscription, "ended_at"),
        client_secret: secret.filter(|_| to_be_paid).map(SecretString::from),
        id,
    })
}
