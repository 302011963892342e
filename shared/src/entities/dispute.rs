use sea_orm::entity::prelude::*;

use crate::domain::dispute::{Dispute, DisputeFunds, DisputeStatus};
use crate::domain::ids::{DisputeId, PaymentId, UserId};
use crate::domain::money::Money;
use crate::domain::payment::ProviderName;

#[derive(Clone, PartialEq, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "disputes")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: String,
    pub payment_id: Uuid,
    pub provider: String,
    pub provider_dispute_id: String,
    pub status: String,
    pub reason: String,
    pub amount: i64,
    pub currency: String,
    pub funds: String,
    pub evidence_due_by: Option<DateTimeUtc>,
    pub evidence_submitted: bool,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub last_operation: Option<Json>,
    pub version: i32,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
    pub closed_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Dispute {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        let odd =
            |column: &str| DbErr::Type(format!("disputes.{column} of {} holds what this release cannot read", row.id));
        Ok(Self {
            id: DisputeId(row.id),
            user_id: UserId(row.user_id),
            payment_id: PaymentId(row.payment_id),
            provider: ProviderName::parse(&row.provider).ok_or_else(|| odd("provider"))?,
            status: DisputeStatus::parse(&row.status).ok_or_else(|| odd("status"))?,
            money: Money { minor: row.amount, currency: row.currency.parse().map_err(|_| odd("currency"))? },
            funds: DisputeFunds::parse(&row.funds).ok_or_else(|| odd("funds"))?,
            last_operation: row
                .last_operation
                .map(serde_json::from_value)
                .transpose()
                .map_err(|_| odd("last_operation"))?,
            provider_dispute_id: row.provider_dispute_id,
            reason: row.reason,
            evidence_due_by: row.evidence_due_by,
            evidence_submitted: row.evidence_submitted,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            closed_at: row.closed_at,
        })
    }
}
