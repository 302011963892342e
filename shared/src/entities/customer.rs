use sea_orm::entity::prelude::*;

use crate::domain::customer::Customer;
use crate::domain::ids::{CustomerId, UserId};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customers")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    #[sea_orm(unique)]
    pub user_id: String,
    pub email: Option<String>,
    pub name: Option<String>,
    #[sea_orm(column_type = "JsonBinary")]
    pub metadata: Json,
    pub removed_metadata: Vec<String>,
    pub stripe_customer_id: Option<String>,
    pub stripe_generation: i32,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for Customer {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        let odd = || DbErr::Type(format!("customers.metadata of {} holds what this release cannot read", row.id));
        Ok(Self {
            id: CustomerId(row.id),
            user_id: UserId(row.user_id),
            email: row.email,
            name: row.name,
            metadata: serde_json::from_value(row.metadata).map_err(|_| odd())?,
            removed_metadata: row.removed_metadata.into_iter().collect(),
            stripe_customer_id: row.stripe_customer_id,
            stripe_generation: row.stripe_generation,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}
