use sea_orm::entity::prelude::*;

use crate::domain::ids::JobId;
use crate::domain::job::Lease;
use crate::trace::Trace;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "jobs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub lane: String,
    pub kind: String,
    pub subject_id: Uuid,
    pub state: String,
    pub attempts: i32,
    pub max_attempts: i32,
    pub run_at: DateTimeUtc,
    pub rung_until: Option<DateTimeUtc>,
    pub leased_until: Option<DateTimeUtc>,
    pub leased_by: Option<String>,
    pub last_error: Option<String>,
    pub created_at: DateTimeUtc,
    pub finished_at: Option<DateTimeUtc>,
    pub trace_parent: Option<String>,
    pub silences: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Lease {
    fn from(row: Model) -> Self {
        Self {
            job_id: JobId(row.id),
            kind: row.kind,
            lane: row.lane,
            worker: row.leased_by.unwrap_or_default(),
            subject_id: row.subject_id,
            attempts: row.attempts,
            max_attempts: row.max_attempts,
            created_at: row.created_at,
            trace: row.trace_parent.as_deref().and_then(Trace::parse),
        }
    }
}
