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
    pub stripe_customer_id: Option<String>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Customer {
    fn from(row: Model) -> Self {
        Self {
            id: CustomerId(row.id),
            user_id: UserId(row.user_id),
            email: row.email,
            name: row.name,
            stripe_customer_id: row.stripe_customer_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
