use sea_orm::entity::prelude::*;

use crate::domain::ids::{CustomerId, UserId};
use crate::domain::saved_payment_method::{Card, SavedPaymentMethod, SavedPaymentMethodStatus};

#[derive(Clone, PartialEq, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "saved_payment_methods")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub provider_payment_method_id: String,
    pub user_id: String,
    pub customer_id: Uuid,
    pub status: String,
    pub kind: String,
    pub brand: Option<String>,
    pub last4: Option<String>,
    pub exp_month: Option<i32>,
    pub exp_year: Option<i32>,
    pub version: i32,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for SavedPaymentMethod {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        let odd = |column: &str| {
            DbErr::Type(format!("saved_payment_methods.{column} of {} holds what this release cannot read", row.id))
        };
        Ok(Self {
            row_id: row.id,
            id: row.provider_payment_method_id,
            user_id: UserId(row.user_id),
            customer_id: CustomerId(row.customer_id),
            status: SavedPaymentMethodStatus::parse(&row.status).ok_or_else(|| odd("status"))?,
            card: Card {
                kind: row.kind,
                brand: row.brand,
                last4: row.last4,
                exp_month: row.exp_month,
                exp_year: row.exp_year,
            },
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
