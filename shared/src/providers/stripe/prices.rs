//! Products and prices: made once, found again. Source: <https://docs.stripe.com/api/prices>.

use reqwest::Method;
use sha2::{Digest as _, Sha256};

use super::Stripe;
use super::form::Form;
use super::payments::refused;
use super::read::{Page, required, text};
use crate::domain::subscription::Subscription;
use crate::providers::ProviderError;

impl Stripe {
    /// The id of the price of `amount` for each of the subscription's periods, made now if there is none. The product
    /// has an id of our choice and the price a look-up key: however many jobs ask, there is one of each.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub async fn ensure_price(&self, subscription: &Subscription, amount: i64) -> Result<String, ProviderError> {
        let product = format!("psp_{}", digest(&subscription.product_name, 24));
        let (currency, interval) = (subscription.money.currency.code(), subscription.interval.as_str());
        let count = subscription.interval_count;
        let lookup_key = format!("ps:{}", digest(&format!("{product}|{amount}|{currency}|{interval}|{count}"), 32));
        if let Some(price) = self.find_price(&lookup_key).await? {
            return Ok(price);
        }
        self.ensure_product(&product, &subscription.product_name).await?;
        let form = Form::new()
            .with("product", &product)
            .with("unit_amount", amount)
            .with("currency", currency)
            .with("recurring[interval]", interval)
            .with("recurring[interval_count]", count)
            .with("lookup_key", &lookup_key);
        let call = self.transport.call();
        match call.form(Method::POST, "/prices", form.pairs(), None).await.map_err(refused) {
            Ok(price) => required(&price, "id"),
            // Somebody else was faster, or we were and were not told.
            Err(error) => match self.find_price(&lookup_key).await {
                Ok(Some(price)) => Ok(price),
                Ok(None) => Err(error),
                // Then it is not known why it was refused.
                Err(failed) => Err(failed),
            },
        }
    }

    async fn find_price(&self, lookup_key: &str) -> Result<Option<String>, ProviderError> {
        let form = Form::new().with("lookup_keys[]", lookup_key).with("limit", 1);
        let call = self.transport.call();
        let page = Page::read(call.form(Method::GET, "/prices", form.pairs(), None).await.map_err(refused)?)?;
        Ok(page.first().and_then(|price| text(price, "id")))
    }

    async fn ensure_product(&self, id: &str, name: &str) -> Result<(), ProviderError> {
        let form = Form::new().with("id", id).with("name", name);
        let call = self.transport.call();
        match call.form(Method::POST, "/products", form.pairs(), None).await.map_err(refused) {
            Err(ProviderError::Rejected { failure, .. }) if failure.code == "resource_already_exists" => Ok(()),
            other => other.map(drop),
        }
    }
}

fn digest(text: &str, length: usize) -> String {
    let mut hex = hex::encode(Sha256::digest(text.as_bytes()));
    hex.truncate(length);
    hex
}
