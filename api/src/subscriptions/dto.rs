//! Subscriptions as they look on the wire.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use poem_openapi::types::MaybeUndefined;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use shared::domain::ids::{CustomerId, SubscriptionId, UserId};
use shared::domain::money::Money;
use shared::domain::subscription::{Interval as Every, Subscription, SubscriptionChange, SubscriptionStatus as Status};
use shared::domain::text_rules::{METADATA_KEYS_MAX, check_metadata_key, check_text};
use uuid::Uuid;

use crate::body::escape;
use crate::paging::page;
use crate::payments::dto::is_payment_method_id;
use crate::problem::FieldError;
use crate::wire::{Failure, OperationBody, Provider, chargeable, metadata_errors, wire_enum};

wire_enum! {
    Interval is Every { Day, Week, Month, Year }
}

wire_enum! {
    SubscriptionStatus is Status {
        /// Accepted; the provider has not answered yet.
        Pending,
        /// The first payment is still to be made, within 23 hours: confirm it with `client_secret`.
        Incomplete,
        /// The first payment was not made in time.
        IncompleteExpired,
        Trialing,
        Active,
        /// A renewal could not be charged; the provider tries again.
        PastDue,
        /// The provider has given up charging; invoices stay open.
        Unpaid,
        /// The trial ended without a payment method.
        Paused,
        Canceled,
        /// The provider refused to make it.
        Failed,
    }
}

/// A subscription to be made.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSubscription {
    pub provider: Provider,
    /// For each period, in the currency's minor unit.
    #[oai(validator(minimum(value = "1"), maximum(value = "999999999999")))]
    pub amount: i64,
    /// An ISO 4217 code, for example `sek`.
    #[oai(validator(pattern = "^[A-Za-z]{3}$"))]
    pub currency: String,
    pub interval: Interval,
    /// How many intervals a period has; three years at most.
    #[oai(validator(minimum(value = "1"), maximum(value = "1095")))]
    #[serde(default = "one")]
    #[oai(default = "one")]
    pub interval_count: i32,
    /// What the payer subscribes to, as it stands on invoices.
    #[oai(validator(min_length = 1, max_length = 250))]
    pub product_name: String,
    /// Days before the first charge, 1 to 730.
    #[oai(validator(minimum(value = "1"), maximum(value = "730")))]
    pub trial_period_days: Option<i32>,
    /// One that the user has saved: the first period is charged with it at once.
    #[oai(validator(pattern = "^pm_[A-Za-z0-9_]{1,252}$"))]
    pub payment_method: Option<String>,
    /// Up to 48 pairs of your own: keys of up to 40 characters, values of up to 500.
    #[serde(default)]
    #[oai(default)]
    pub metadata: HashMap<String, String>,
}

fn one() -> i32 {
    1
}

impl CreateSubscription {
    /// All that is wrong with it, not only the first.
    pub(super) fn check(&self) -> Result<Money, Vec<FieldError>> {
        let mut errors = Vec::new();
        let money = chargeable(self.amount, &self.currency, &mut errors);
        let mut fault = |pointer: &str, detail: String| errors.push(FieldError { pointer: pointer.to_owned(), detail });
        let most = match self.interval {
            Interval::Day => 1_095,
            Interval::Week => 156,
            Interval::Month => 36,
            Interval::Year => 3,
        };
        if !(1..=most).contains(&self.interval_count) {
            fault("/interval_count", format!("must be between 1 and {most} for this interval"));
        }
        if self.product_name.trim().is_empty() {
            fault("/product_name", "must not be empty".to_owned());
        } else if let Err(detail) = check_text(&self.product_name, 250) {
            fault("/product_name", detail);
        }
        if self.trial_period_days.is_some_and(|days| !(1..=730).contains(&days)) {
            fault("/trial_period_days", "must be between 1 and 730".to_owned());
        }
        if self.payment_method.as_deref().is_some_and(|id| !is_payment_method_id(id)) {
            fault("/payment_method", "must be `pm_` and letters, digits and underscores, 255 at most".to_owned());
        }
        errors.extend(metadata_errors(&self.metadata));
        match money {
            Some(money) if errors.is_empty() => Ok(money),
            _ => Err(errors),
        }
    }

    pub(super) fn into_subscription(
        self,
        money: Money,
        user_id: UserId,
        customer_id: CustomerId,
        now: DateTime<Utc>,
    ) -> Subscription {
        Subscription {
            id: SubscriptionId::generate(),
            user_id,
            customer_id,
            provider: self.provider.into(),
            provider_subscription_id: None,
            provider_item_id: None,
            status: Status::Pending,
            money,
            interval: self.interval.into(),
            interval_count: self.interval_count,
            product_name: self.product_name,
            trial_period_days: self.trial_period_days,
            payment_method: self.payment_method,
            current_period_start: None,
            current_period_end: None,
            trial_end: None,
            cancel_at_period_end: false,
            canceled_at: None,
            ended_at: None,
            client_secret: None,
            latest_payment_id: None,
            failure: None,
            last_operation: None,
            outcome_unknown_since: None,
            metadata: self.metadata.into_iter().collect(),
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

/// What is to change; what is left out stays.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateSubscription {
    /// Whether it ends with its period.
    pub cancel_at_period_end: Option<bool>,
    /// From the next period on, in the currency's minor unit.
    #[oai(validator(minimum(value = "1"), maximum(value = "999999999999")))]
    pub amount: Option<i64>,
    /// Merged into what is there: null removes a key, and null in place of all of it removes them all.
    #[serde(default)]
    pub metadata: MaybeUndefined<HashMap<String, Option<String>>>,
}

impl UpdateSubscription {
    pub(super) fn check(self, subscription: &Subscription) -> Result<SubscriptionChange, Vec<FieldError>> {
        if self.cancel_at_period_end.is_none() && self.amount.is_none() && self.metadata.is_undefined() {
            let detail = "nothing is to change".to_owned();
            return Err(vec![FieldError { pointer: String::new(), detail }]);
        }
        let mut errors = patch_errors(&self.metadata);
        let metadata = merged(&subscription.metadata, self.metadata);
        errors.extend(metadata.iter().flat_map(metadata_errors));
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(SubscriptionChange { cancel_at_period_end: self.cancel_at_period_end, amount: self.amount, metadata })
    }
}

/// What is wrong with the keys that a patch removes: those that it sets are looked at with all of the metadata.
pub(crate) fn patch_errors(patch: &MaybeUndefined<HashMap<String, Option<String>>>) -> Vec<FieldError> {
    let MaybeUndefined::Value(patch) = patch else { return Vec::new() };
    if patch.len() > METADATA_KEYS_MAX {
        let detail = "has more keys than there can be".to_owned();
        return vec![FieldError { pointer: "/metadata".to_owned(), detail }];
    }
    let removed = patch.iter().filter(|(_, value)| value.is_none());
    let faults = removed.filter_map(|(key, _)| Some((key, check_metadata_key(key).err()?)));
    faults.map(|(key, detail)| FieldError { pointer: format!("/metadata/{}", escape(key)), detail }).collect()
}

/// All of the metadata, as a merge patch (RFC 7396) wants it. `None`: it stays.
pub(crate) fn merged(
    metadata: &BTreeMap<String, String>,
    patch: MaybeUndefined<HashMap<String, Option<String>>>,
) -> Option<BTreeMap<String, String>> {
    let patch = match patch {
        MaybeUndefined::Undefined => return None,
        MaybeUndefined::Null => return Some(BTreeMap::new()),
        MaybeUndefined::Value(patch) => patch,
    };
    let mut merged = metadata.clone();
    for (key, value) in patch {
        match value {
            Some(value) => merged.insert(key, value),
            None => merged.remove(&key),
        };
    }
    Some(merged)
}

/// A subscription.
#[derive(Debug, Object)]
#[oai(rename = "Subscription")]
pub struct SubscriptionBody {
    pub id: Uuid,
    pub provider: Provider,
    /// The provider's id (`sub_…`); null until the provider has answered.
    pub provider_subscription_id: Option<String>,
    pub status: SubscriptionStatus,
    /// For each period, in the currency's minor unit.
    pub amount: i64,
    pub currency: String,
    pub interval: Interval,
    pub interval_count: i32,
    pub product_name: String,
    pub customer_id: Uuid,
    pub payment_method: Option<String>,
    pub current_period_start: Option<DateTime<Utc>>,
    pub current_period_end: Option<DateTime<Utc>>,
    pub trial_end: Option<DateTime<Utc>>,
    pub cancel_at_period_end: bool,
    pub canceled_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// For the payer's browser only: confirms the payment that is due.
    pub client_secret: Option<String>,
    /// The newest of its payments.
    pub latest_payment_id: Option<Uuid>,
    pub failure: Option<Failure>,
    /// The last change that was asked for.
    pub last_operation: Option<OperationBody>,
    /// Since when we do not know whether the provider carried out a call of ours. We are finding out.
    pub outcome_unknown_since: Option<DateTime<Utc>>,
    pub metadata: HashMap<String, String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl From<Subscription> for SubscriptionBody {
    fn from(subscription: Subscription) -> Self {
        Self {
            id: subscription.id.0,
            provider: subscription.provider.into(),
            provider_subscription_id: subscription.provider_subscription_id,
            status: subscription.status.into(),
            amount: subscription.money.minor,
            currency: subscription.money.currency.code(),
            interval: subscription.interval.into(),
            interval_count: subscription.interval_count,
            product_name: subscription.product_name,
            customer_id: subscription.customer_id.0,
            payment_method: subscription.payment_method,
            current_period_start: subscription.current_period_start,
            current_period_end: subscription.current_period_end,
            trial_end: subscription.trial_end,
            cancel_at_period_end: subscription.cancel_at_period_end,
            canceled_at: subscription.canceled_at,
            ended_at: subscription.ended_at,
            client_secret: subscription.client_secret.map(|secret| secret.expose_secret().to_owned()),
            latest_payment_id: subscription.latest_payment_id.map(|id| id.0),
            failure: subscription.failure.map(Into::into),
            last_operation: subscription.last_operation.map(Into::into),
            outcome_unknown_since: subscription.outcome_unknown_since,
            metadata: subscription.metadata.into_iter().collect(),
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
        }
    }
}

page! {
    /// A page of subscriptions.
    SubscriptionList of SubscriptionBody, cursor Uuid
}
