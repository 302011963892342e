use sea_orm::entity::prelude::*;

use crate::domain::ids::{PaymentId, RefundId, UserId};
use crate::domain::money::Money;
use crate::domain::payment::ProviderName;
use crate::domain::refund::{Refund, RefundStatus};

#[derive(Clone, PartialEq, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "refunds")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: String,
    pub payment_id: Uuid,
    pub provider: String,
    pub provider_refund_id: Option<String>,
    pub status: String,
    pub amount: i64,
    pub currency: String,
    pub reason: Option<String>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub failure: Option<Json>,
    pub outcome_unknown_since: Option<DateTimeUtc>,
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
    pub version: i32,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub completed_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Refund {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        let odd =
            |column: &str| DbErr::Type(format!("refunds.{column} of {} holds what this release cannot read", row.id));
        Ok(Self {
            id: RefundId(row.id),
            user_id: UserId(row.user_id),
            payment_id: PaymentId(row.payment_id),
            provider: ProviderName::parse(&row.provider).ok_or_else(|| odd("provider"))?,
            status: RefundStatus::parse(&row.status).ok_or_else(|| odd("status"))?,
            money: Money { minor: row.amount, currency: row.currency.parse().map_err(|_| odd("currency"))? },
            failure: row.failure.map(serde_json::from_value).transpose().map_err(|_| odd("failure"))?,
            metadata: serde_json::from_value(row.metadata).map_err(|_| odd("metadata"))?,
            provider_refund_id: row.provider_refund_id,
            reason: row.reason,
            outcome_unknown_since: row.outcome_unknown_since,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            completed_at: row.completed_at,
        })
    }
}
