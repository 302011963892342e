use sea_orm::entity::prelude::*;

use crate::domain::ids::{CustomerId, SubscriptionId, UserId};
use crate::domain::money::Money;
use crate::domain::payment::ProviderName;
use crate::domain::subscription::{Interval, Subscription, SubscriptionStatus};

#[derive(Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "subscriptions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: String,
    pub customer_id: Uuid,
    pub provider: String,
    pub provider_subscription_id: Option<String>,
    pub provider_item_id: Option<String>,
    pub status: String,
    pub amount: i64,
    pub currency: String,
    pub interval: String,
    pub interval_count: i32,
    pub product_name: String,
    pub trial_period_days: Option<i32>,
    pub payment_method: Option<String>,
    pub current_period_start: Option<DateTimeUtc>,
    pub current_period_end: Option<DateTimeUtc>,
    pub trial_end: Option<DateTimeUtc>,
    pub cancel_at_period_end: bool,
    pub canceled_at: Option<DateTimeUtc>,
    pub ended_at: Option<DateTimeUtc>,
    pub client_secret: Option<String>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub failure: Option<Json>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub last_operation: Option<Json>,
    pub outcome_unknown_since: Option<DateTimeUtc>,
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
    pub version: i32,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

/// By hand, because of the client secret.
impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("subscriptions::Model")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Subscription {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        let odd = |column: &str| {
            DbErr::Type(format!("subscriptions.{column} of {} holds what this release cannot read", row.id))
        };
        Ok(Self {
            id: SubscriptionId(row.id),
            user_id: UserId(row.user_id),
            customer_id: CustomerId(row.customer_id),
            provider: ProviderName::parse(&row.provider).ok_or_else(|| odd("provider"))?,
            status: SubscriptionStatus::parse(&row.status).ok_or_else(|| odd("status"))?,
            money: Money { minor: row.amount, currency: row.currency.parse().map_err(|_| odd("currency"))? },
            interval: Interval::parse(&row.interval).ok_or_else(|| odd("interval"))?,
            client_secret: row.client_secret.map(Into::into),
            // Read from the payments: see `store::subscriptions`.
            latest_payment_id: None,
            failure: row.failure.map(serde_json::from_value).transpose().map_err(|_| odd("failure"))?,
            last_operation: row
                .last_operation
                .map(serde_json::from_value)
                .transpose()
                .map_err(|_| odd("last_operation"))?,
            metadata: serde_json::from_value(row.metadata).map_err(|_| odd("metadata"))?,
            provider_subscription_id: row.provider_subscription_id,
            provider_item_id: row.provider_item_id,
            interval_count: row.interval_count,
            product_name: row.product_name,
            trial_period_days: row.trial_period_days,
            payment_method: row.payment_method,
            current_period_start: row.current_period_start,
            current_period_end: row.current_period_end,
            trial_end: row.trial_end,
            cancel_at_period_end: row.cancel_at_period_end,
            canceled_at: row.canceled_at,
            ended_at: row.ended_at,
            outcome_unknown_since: row.outcome_unknown_since,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
