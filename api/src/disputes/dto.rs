//! Disputes as they look on the wire.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use shared::domain::dispute::{Dispute, DisputeFunds as Funds, DisputeStatus as Status};
use uuid::Uuid;

use crate::paging::page;
use crate::wire::{OperationBody, Provider, wire_enum};

wire_enum! {
    DisputeStatus is Status {
        /// The bank asks; no money is taken yet.
        WarningNeedsResponse,
        WarningUnderReview,
        WarningClosed,
        /// Evidence can be submitted until `evidence_due_by`.
        NeedsResponse,
        UnderReview,
        Won,
        Lost,
        /// Settled before it became a dispute.
        Prevented,
    }
}

wire_enum! {
    /// Where the disputed money is.
    DisputeFunds is Funds {
        /// Still here.
        Held,
        /// Taken back by the bank.
        Withdrawn,
        /// Taken, and returned.
        Reinstated,
    }
}

/// A dispute: the payer's bank wants the money back.
#[derive(Debug, Object)]
#[oai(rename = "Dispute")]
pub struct DisputeBody {
    pub id: Uuid,
    pub payment_id: Uuid,
    pub provider: Provider,
    /// The provider's id (`du_…`).
    pub provider_dispute_id: String,
    pub status: DisputeStatus,
    /// The bank's reason, for example `fraudulent`.
    pub reason: String,
    /// In the currency's minor unit.
    pub amount: i64,
    pub currency: String,
    pub funds: DisputeFunds,
    pub evidence_due_by: Option<DateTime<Utc>>,
    pub evidence_submitted: bool,
    /// The last thing that an administrator asked for.
    pub last_operation: Option<OperationBody>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
}

impl From<Dispute> for DisputeBody {
    fn from(dispute: Dispute) -> Self {
        Self {
            id: dispute.id.0,
            payment_id: dispute.payment_id.0,
            provider: dispute.provider.into(),
            provider_dispute_id: dispute.provider_dispute_id,
            status: dispute.status.into(),
            reason: dispute.reason,
            amount: dispute.money.minor,
            currency: dispute.money.currency.code(),
            funds: dispute.funds.into(),
            evidence_due_by: dispute.evidence_due_by,
            evidence_submitted: dispute.evidence_submitted,
            last_operation: dispute.last_operation.map(Into::into),
            created_at: dispute.created_at,
            updated_at: dispute.updated_at,
            closed_at: dispute.closed_at,
        }
    }
}

page! {
    /// A page of disputes.
    DisputeList of DisputeBody, cursor Uuid
}
