use sea_orm::entity::prelude::*;

use crate::domain::ids::{CustomerId, SetupId, UserId};
use crate::domain::payment::ProviderName;
use crate::domain::setup::{Setup, SetupStatus};

#[derive(Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "setups")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: String,
    pub customer_id: Uuid,
    pub provider: String,
    pub provider_setup_id: Option<String>,
    pub status: String,
    pub client_secret: Option<String>,
    pub payment_method: Option<String>,
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub failure: Option<Json>,
    pub version: i32,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

/// By hand, because of the client secret.
impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("setups::Model")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Setup {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        let odd =
            |column: &str| DbErr::Type(format!("setups.{column} of {} holds what this release cannot read", row.id));
        Ok(Self {
            id: SetupId(row.id),
            user_id: UserId(row.user_id),
            customer_id: CustomerId(row.customer_id),
            provider: ProviderName::parse(&row.provider).ok_or_else(|| odd("provider"))?,
            status: SetupStatus::parse(&row.status).ok_or_else(|| odd("status"))?,
            client_secret: row.client_secret.map(Into::into),
            failure: row.failure.map(serde_json::from_value).transpose().map_err(|_| odd("failure"))?,
            provider_setup_id: row.provider_setup_id,
            payment_method: row.payment_method,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
