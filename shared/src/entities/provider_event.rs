use sea_orm::entity::prelude::*;

use crate::domain::ids::ProviderEventId;
use crate::domain::payment::ProviderName;
use crate::domain::provider_event::ProviderEvent;

#[derive(Clone, PartialEq, Eq, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "provider_events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub provider: String,
    pub provider_event_id: String,
    pub body: Vec<u8>,
    pub outcome: Option<String>,
    pub detail: Option<String>,
    pub received_at: DateTimeUtc,
    pub processed_at: Option<DateTimeUtc>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl TryFrom<Model> for ProviderEvent {
    type Error = DbErr;

    fn try_from(row: Model) -> Result<Self, DbErr> {
        let provider = ProviderName::parse(&row.provider)
            .ok_or_else(|| DbErr::Type(format!("provider_events.provider of {} is unknown", row.id)))?;
        Ok(Self { id: ProviderEventId(row.id), provider, provider_event_id: row.provider_event_id, body: row.body })
    }
}
