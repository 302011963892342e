//! What was asked of a provider and may or may not have been done: listed, and brought to an end by a person.
//!
//! If we crash before the commit, nothing was said. After it, the relay rings the job, which looks once more.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use poem::http::StatusCode;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use shared::domain::evidence::{Finding as Findings, UnknownKind as Kinds};
use shared::domain::ids::{PaymentId, RefundId};
use shared::domain::payment::ProviderName;
use shared::providers::stripe::KEY_LIFETIME;
use shared::providers::swish::STILL_ON_ITS_WAY;
use shared::store::unknown_outcomes::{self, UnknownOutcome};
use shared::store::{Saved, attempts, dead_letters, payments, refunds};
use uuid::Uuid;

use super::jobs::{Reason, step, tell_the_payment};
use crate::Tag;
use crate::auth::{Admin, Claims};
use crate::body::JsonBody;
use crate::idempotency::Write;
use crate::paging::{default_limit, fetched, page};
use crate::problem::Problem;
use crate::state::State;
use crate::wire::{Provider, wire_enum};

wire_enum! {
    UnknownKind is Kinds { Payment, Refund, Subscription }
}

wire_enum! {
    /// What a person has found out.
    Finding is Findings {
        /// The money has moved. Only of what the provider has, and does not know itself.
        Made,
        /// Nothing came of it, and nothing will.
        NotMade,
    }
}

/// Something of which nobody knows what became of it.
#[derive(Debug, Object)]
#[oai(rename = "UnknownOutcome")]
pub struct UnknownOutcomeBody {
    /// Of the payment, the refund or the subscription.
    pub id: Uuid,
    pub kind: UnknownKind,
    /// Whose it is.
    pub user_id: String,
    pub provider: Provider,
    /// The provider's id. Set where the provider has it, and does not know itself (Swish, `DS24`): the bank must be asked.
    pub provider_id: Option<String>,
    pub status: String,
    /// In the currency's minor unit.
    pub amount: i64,
    pub currency: String,
    pub outcome_unknown_since: DateTime<Utc>,
    /// The job that finds out.
    pub job_id: Option<Uuid>,
    pub job_state: Option<String>,
    pub last_error: Option<String>,
    /// What the provider was asked under: Stripe's dashboard finds the request by it, Swish (in its form) the payment.
    pub idempotency_key: Option<Uuid>,
    /// From when on a person may settle it. Until then, running the job again is safe, and tells.
    pub can_be_settled_from: DateTime<Utc>,
}

impl From<UnknownOutcome> for UnknownOutcomeBody {
    fn from(unknown: UnknownOutcome) -> Self {
        let can_be_settled_from = can_be_settled_from(&unknown);
        Self {
            id: unknown.id,
            kind: unknown.kind.into(),
            user_id: unknown.user_id,
            provider: unknown.provider.into(),
            provider_id: unknown.provider_id,
            status: unknown.status,
            amount: unknown.amount,
            currency: unknown.currency,
            outcome_unknown_since: unknown.since,
            job_id: unknown.job_id.map(|id| id.0),
            job_state: unknown.job_state,
            last_error: unknown.last_error,
            idempotency_key: unknown.attempt_id.map(|id| id.0),
            can_be_settled_from,
        }
    }
}

page! {
    /// A page of unknown outcomes.
    UnknownOutcomeList of UnknownOutcomeBody, cursor Uuid
}

/// What was found out, and how.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    pub finding: Finding,
    #[oai(validator(min_length = 1, max_length = 500))]
    pub reason: String,
}

#[derive(ApiResponse)]
pub enum SettleResponse {
    /// It is settled, or will be when the job has looked once more.
    #[oai(status = 202)]
    Accepted(Json<UnknownOutcomeBody>),
}

pub struct UnknownOutcomesApi {
    pub(crate) state: Arc<State>,
}

#[OpenApi]
impl UnknownOutcomesApi {
    /// List unknown outcomes
    ///
    /// Payments, refunds and subscriptions of everybody that a provider was asked for and of which nobody knows whether it
    /// made them, oldest first. Nearly all come to be known by themselves; what stays, a person must look into.
    #[oai(
        path = "/api/admin/unknown-outcomes",
        method = "get",
        tag = "Tag::Admin",
        operation_id = "list_unknown_outcomes"
    )]
    async fn list(
        &self,
        _admin: Admin,
        /// How many, 1 to 100.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last one of the page before.
        starting_after: Query<Option<Uuid>>,
    ) -> Result<Json<UnknownOutcomeList>, Problem> {
        let found = unknown_outcomes::list(&self.state.db, starting_after.0, fetched(limit.0)).await?;
        Ok(Json(UnknownOutcomeList::of(found, limit.0)))
    }

    /// Settle an unknown outcome
    ///
    /// For what never came to be known: a person has looked into the provider's dashboard, or asked the bank.
    ///
    /// What the provider has not confirmed to have can only be `not_made`, and only once sending it again is no longer
    /// possible (`can_be_settled_from`; before that, run its job again). The job looks once more: what it finds counts,
    /// whatever was said here; if there is nothing, the thing is `failed` with the code `not_made`. What the provider has but
    /// does not know itself is settled at once, as `made` or `not_made`. A provider that tells something else later is
    /// believed, or, where the two cannot both be, its event waits for a person.
    #[oai(
        path = "/api/admin/unknown-outcomes/:id/settle",
        method = "post",
        tag = "Tag::Admin",
        operation_id = "settle_unknown_outcome"
    )]
    async fn settle(&self, admin: Admin, id: Path<Uuid>, body: JsonBody<Settle>) -> Result<SettleResponse, Problem> {
        let Settle { finding, reason } = body.0;
        let reason = Reason { reason }.check()?;
        settle(&self.state, &admin.0, id.0, finding.into(), &reason).await
    }
}

async fn settle(
    state: &State,
    admin: &Claims,
    id: Uuid,
    finding: Findings,
    reason: &str,
) -> Result<SettleResponse, Problem> {
    let txn = Write::begin(state, admin).await?;
    let gone = || Problem::not_found("unknown_outcome");
    let found = unknown_outcomes::find(&*txn, id).await?.ok_or_else(gone)?;
    if let Some(job) = found.job_id {
        dead_letters::lock(&*txn, job).await?;
    }
    // Nobody works on it from here on; as it is now.
    let unknown = unknown_outcomes::find(&*txn, id).await?.ok_or_else(gone)?;
    let what = if unknown.kind == Kinds::Refund { format!("refund {id}: ") } else { String::new() };
    let detail = format!("{what}settled as {} by {}: {reason}", finding.as_str(), admin.id);
    if unknown.provider_id.is_some() {
        believe(&*txn, &unknown, finding, detail).await?;
    } else {
        give_up(&*txn, &unknown, finding).await?;
        tell_the_payment(&*txn, id, detail).await?;
    }
    dead_letters::audit(&*txn, &admin.id.0, "settle_unknown_outcome", &id.to_string(), reason).await?;
    let body = UnknownOutcomeBody::from(unknown);
    txn.commit(StatusCode::ACCEPTED, None, &body).await?;
    Ok(SettleResponse::Accepted(Json(body)))
}

/// The provider has it and does not know itself: the person's word is all there is.
async fn believe(
    conn: &impl ConnectionTrait,
    unknown: &UnknownOutcome,
    finding: Findings,
    detail: String,
) -> Result<(), Problem> {
    let now = Utc::now().trunc_subsecs(6);
    let what = unknown.kind.as_str();
    let impossible = |reason| Problem::not_possible(what, reason);
    let gone = || Problem::not_found("unknown_outcome");
    let saved = match unknown.kind {
        Kinds::Payment => {
            let before = payments::lock_any(conn, PaymentId(unknown.id)).await?.ok_or_else(gone)?;
            let after = before.settle(finding, now).map_err(impossible)?;
            payments::save(conn, &before, &after, &step(detail)).await?
        }
        Kinds::Refund => {
            let before = refunds::lock_any(conn, RefundId(unknown.id)).await?.ok_or_else(gone)?;
            let after = before.settle(finding, now).map_err(impossible)?;
            let saved = refunds::save(conn, &before, &after).await?;
            payments::add_step(conn, before.payment_id, &step(detail)).await?;
            saved
        }
        // Stripe always knows what it has.
        Kinds::Subscription => return Err(Problem::invalid_status(what, &unknown.status)),
    };
    match saved {
        Saved::Saved => Ok(()),
        // Locked: nobody can have written meanwhile.
        Saved::Stale => Err(Problem::invalid_status(what, "changing at this moment; try again")),
    }
}

/// Nothing is known to be at the provider: the job looks once more, and if there is nothing, nothing came of it.
async fn give_up(conn: &impl ConnectionTrait, unknown: &UnknownOutcome, finding: Findings) -> Result<(), Problem> {
    if finding == Findings::Made {
        let detail = "the provider is not known to have it: run its job again, which finds what is there";
        return Err(Problem::invalid_field("/finding", detail));
    }
    let (Some(attempt), Some(job)) = (unknown.attempt_id, unknown.job_id) else {
        return Err(Problem::not_found("unknown_outcome"));
    };
    let from = can_be_settled_from(unknown);
    if unknown.now < from {
        let detail = format!("from {} on; until then it is safe to run its job again, which tells", from.to_rfc3339());
        return Err(Problem::new(StatusCode::CONFLICT, "outcome_not_final", detail));
    }
    // The job first, as workers do.
    if !dead_letters::retry(conn, job).await? {
        return Err(Problem::invalid_status("job", unknown.job_state.as_deref().unwrap_or_default()));
    }
    Ok(attempts::give_up(conn, attempt).await?)
}

/// When Stripe has forgotten the key, and no try can be on its way any more.
fn can_be_settled_from(unknown: &UnknownOutcome) -> DateTime<Utc> {
    let after = |time: DateTime<Utc>, pause: Duration| time + TimeDelta::from_std(pause).unwrap_or_default();
    match (&unknown.provider_id, unknown.first_asked_at, unknown.last_asked_at) {
        (None, Some(first), Some(last)) => {
            let arrived = after(last, STILL_ON_ITS_WAY);
            match unknown.provider {
                ProviderName::Stripe => arrived.max(after(first, KEY_LIFETIME)),
                ProviderName::Swish => arrived,
            }
        }
        _ => unknown.since,
    }
}
