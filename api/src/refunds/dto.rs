//! Refunds as they look on the wire.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use serde::Deserialize;
use shared::domain::refund::{Refund, RefundReason as Reason, RefundStatus as Status};
use uuid::Uuid;

use crate::paging::page;
use crate::wire::{Failure, Provider, wire_enum};

wire_enum! {
    RefundReason is Reason { Duplicate, Fraudulent, RequestedByCustomer }
}

wire_enum! {
    RefundStatus is Status {
        /// Accepted; the provider has not answered yet.
        Pending,
        /// The provider is at it.
        Processing,
        /// The payer must do something, and was told by the provider.
        RequiresAction,
        /// On its way to the payer. It may still fail: a bank can send it back days later.
        Succeeded,
        /// Refused, or sent back. Its amount can be refunded again.
        Failed,
        Canceled,
    }
}

/// A refund to be made.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRefund {
    pub payment_id: Uuid,
    /// In the currency's minor unit; all that is left if it is left out.
    #[oai(validator(minimum(value = "1"), maximum(value = "999999999999")))]
    pub amount: Option<i64>,
    pub reason: Option<RefundReason>,
    /// Up to 48 pairs of your own: keys of up to 40 characters, values of up to 500.
    #[serde(default)]
    #[oai(default)]
    pub metadata: HashMap<String, String>,
}

/// A refund.
#[derive(Debug, Object)]
#[oai(rename = "Refund")]
pub struct RefundBody {
    pub id: Uuid,
    pub payment_id: Uuid,
    pub provider: Provider,
    /// The provider's id (`re_…`); null until the provider has answered.
    pub provider_refund_id: Option<String>,
    pub status: RefundStatus,
    /// In the currency's minor unit.
    pub amount: i64,
    pub currency: String,
    pub reason: Option<String>,
    pub failure: Option<Failure>,
    /// Since when we do not know whether the provider carried out a call of ours. We are finding out.
    pub outcome_unknown_since: Option<DateTime<Utc>>,
    pub metadata: HashMap<String, String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
}

impl From<Refund> for RefundBody {
    fn from(refund: Refund) -> Self {
        Self {
            id: refund.id.0,
            payment_id: refund.payment_id.0,
            provider: refund.provider.into(),
            provider_refund_id: refund.provider_refund_id,
            status: refund.status.into(),
            amount: refund.money.minor,
            currency: refund.money.currency.code(),
            reason: refund.reason,
            failure: refund.failure.map(Into::into),
            outcome_unknown_since: refund.outcome_unknown_since,
            metadata: refund.metadata.into_iter().collect(),
            created_at: refund.created_at,
            updated_at: refund.updated_at,
            completed_at: refund.completed_at,
        }
    }
}

page! {
    /// A page of refunds.
    RefundList of RefundBody, cursor Uuid
}
