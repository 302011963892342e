use sea_orm::entity::prelude::*;

use crate::domain::ids::{CustomerId, PaymentId, SubscriptionId, UserId};
use crate::domain::money::Money;
use crate::domain::payment::{CaptureMethod, Payment, PaymentStatus, ProviderName};
use crate::trace::Trace;

#[derive(Clone, PartialEq, DeriveEntityModel, serde::Serialize)]
#[sea_orm(table_name = "payments")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: String,
    pub customer_id: Uuid,
    pub subscription_id: Option<Uuid>,
    pub provider: String,
    pub provider_payment_id: Option<String>,
    pub status: String,
    pub retryable: bool,
    pub amount: i64,
    pub currency: String,
    pub amount_capturable: i64,
    pub amount_captured: i64,
    pub amount_refunded: i64,
    pub amount_disputed: i64,
    pub capture_method: String,
    pub description: Option<String>,
    pub statement_descriptor: Option<String>,
    pub payment_method: Option<String>,
    pub off_session: bool,
    pub return_url: Option<String>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub swish: Option<Json>,
    pub client_secret: Option<String>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub next_action: Option<Json>,
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
    pub completed_at: Option<DateTimeUtc>,
    pub expires_at: Option<DateTimeUtc>,
    pub trace_parent: Option<String>,
}

/// By hand, because of the client secret.
impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("payments::Model")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Payment {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        let odd =
            |column: &str| DbErr::Type(format!("payments.{column} of {} holds what this release cannot read", row.id));
        Ok(Self {
            id: PaymentId(row.id),
            user_id: UserId(row.user_id),
            customer_id: CustomerId(row.customer_id),
            subscription_id: row.subscription_id.map(SubscriptionId),
            provider: ProviderName::parse(&row.provider).ok_or_else(|| odd("provider"))?,
            provider_payment_id: row.provider_payment_id,
            status: PaymentStatus::parse(&row.status).ok_or_else(|| odd("status"))?,
            retryable: row.retryable,
            money: Money { minor: row.amount, currency: row.currency.parse().map_err(|_| odd("currency"))? },
            amount_capturable: row.amount_capturable,
            amount_captured: row.amount_captured,
            amount_refunded: row.amount_refunded,
            amount_disputed: row.amount_disputed,
            capture_method: CaptureMethod::parse(&row.capture_method).ok_or_else(|| odd("capture_method"))?,
            description: row.description,
            statement_descriptor: row.statement_descriptor,
            payment_method: row.payment_method,
            off_session: row.off_session,
            return_url: row.return_url,
            swish: row.swish.map(serde_json::from_value).transpose().map_err(|_| odd("swish"))?,
            client_secret: row.client_secret.map(Into::into),
            next_action: row.next_action,
            failure: row.failure.map(serde_json::from_value).transpose().map_err(|_| odd("failure"))?,
            last_operation: row
                .last_operation
                .map(serde_json::from_value)
                .transpose()
                .map_err(|_| odd("last_operation"))?,
            outcome_unknown_since: row.outcome_unknown_since,
            metadata: serde_json::from_value(row.metadata).map_err(|_| odd("metadata"))?,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            completed_at: row.completed_at,
            expires_at: row.expires_at,
            trace: row.trace_parent.as_deref().and_then(Trace::parse),
        })
    }
}
