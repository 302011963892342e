use sea_orm::entity::prelude::*;

use crate::domain::ids::ProviderEventId;
use crate::domain::payment::ProviderName;
use crate::domain::provider_event::{EventOutcome, ProviderEvent};

#[derive(Clone, PartialEq, Eq, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "provider_events")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub provider: String,
    pub provider_event_id: String,
    pub event_type: Option<String>,
    pub api_version: Option<String>,
    pub object_id: Option<String>,
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
        let odd = |column: &str| {
            DbErr::Type(format!("provider_events.{column} of {} holds what this release cannot read", row.id))
        };
        let outcome = row.outcome.as_deref().map(|text| EventOutcome::parse(text).ok_or_else(|| odd("outcome")));
        Ok(Self {
            id: ProviderEventId(row.id),
            provider: ProviderName::parse(&row.provider).ok_or_else(|| odd("provider"))?,
            outcome: outcome.transpose()?,
            provider_event_id: row.provider_event_id,
            event_type: row.event_type,
            api_version: row.api_version,
            body: row.body,
            detail: row.detail,
            received_at: row.received_at,
            processed_at: row.processed_at,
        })
    }
}
