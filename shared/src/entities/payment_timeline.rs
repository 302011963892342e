use sea_orm::entity::prelude::*;

use crate::domain::timeline::TimelineEntry;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_timeline")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub payment_id: Uuid,
    pub status: String,
    pub actor: String,
    pub cause: String,
    pub detail: String,
    pub created_at: DateTimeUtc,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for TimelineEntry {
    fn from(row: Model) -> Self {
        Self { status: row.status, actor: row.actor, cause: row.cause, detail: row.detail, created_at: row.created_at }
    }
}
