//! Disputes, everybody's: evidence, and acceptance.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{SubsecRound as _, Utc};
use poem::http::StatusCode;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;
use shared::domain::dispute::{Dispute, DisputeWish};
use shared::domain::ids::{DisputeId, JobId};
use shared::domain::job::JobKind;
use shared::domain::operation::Operation;
use shared::domain::payment::ProviderName;
use shared::domain::text_rules::check_text;
use shared::store::{Saved, disputes, jobs, payments};
use uuid::Uuid;

use super::jobs::step;
use crate::Tag;
use crate::accepted::Changed;
use crate::auth::{Admin, Claims};
use crate::body::{JsonBody, escape};
use crate::disputes::dto::{DisputeBody, DisputeList, DisputeStatus};
use crate::idempotency::Write;
use crate::paging::{default_limit, fetched};
use crate::prefer;
use crate::problem::{FieldError, Problem};
use crate::state::State;

/// Stripe's fields for texts. Source: <https://docs.stripe.com/api/disputes/evidence_object>.
pub(crate) const EVIDENCE: [&str; 18] = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_tracking_number",
    "uncategorized_text",
];
pub(crate) const EVIDENCE_CHARS_MAX: usize = 20_000;
/// Of all texts together.
const EVIDENCE_TOTAL_CHARS_MAX: usize = 150_000;

pub struct AdminDisputesApi {
    pub(crate) state: Arc<State>,
}

/// What speaks against the dispute.
#[derive(Debug, Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitEvidence {
    /// Texts by Stripe's names, for example `uncategorized_text`, `customer_name`, `shipping_tracking_number`.
    /// Each has 20,000 characters at most, all together 150,000.
    pub evidence: HashMap<String, String>,
}

#[OpenApi]
impl AdminDisputesApi {
    /// List everybody's disputes
    ///
    /// Newest first.
    #[oai(path = "/api/admin/disputes", method = "get", tag = "Tag::Admin", operation_id = "admin_list_disputes")]
    async fn list(
        &self,
        _admin: Admin,
        /// How many, 1 to 100.
        #[oai(default = "default_limit", validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<u32>,
        /// The id of the last dispute of the page before.
        starting_after: Query<Option<Uuid>>,
        /// Only those that are in this status.
        status: Query<Option<DisputeStatus>>,
    ) -> Result<Json<DisputeList>, Problem> {
        let (status, before) = (status.0.map(Into::into), starting_after.0.map(DisputeId));
        let found = disputes::list_any(&self.state.db, status, before, fetched(limit.0)).await?;
        Ok(Json(DisputeList::of(found, limit.0)))
    }

    /// Get anybody's dispute
    ///
    /// As its user sees it.
    #[oai(path = "/api/admin/disputes/:id", method = "get", tag = "Tag::Admin", operation_id = "admin_get_dispute")]
    async fn get(&self, _admin: Admin, id: Path<Uuid>) -> Result<Json<DisputeBody>, Problem> {
        let found = disputes::find_any(&self.state.db, DisputeId(id.0)).await?;
        found.map(|dispute| Json(dispute.into())).ok_or_else(|| Problem::not_found("dispute"))
    }

    /// Submit evidence
    ///
    /// Goes to the bank at once, and is final.
    #[oai(
        path = "/api/admin/disputes/:id/evidence",
        method = "post",
        tag = "Tag::Admin",
        operation_id = "submit_dispute_evidence"
    )]
    async fn submit_evidence(
        &self,
        admin: Admin,
        id: Path<Uuid>,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        body: JsonBody<SubmitEvidence>,
    ) -> Result<Changed<DisputeBody>, Problem> {
        let evidence = check(body.0.evidence).map_err(Problem::invalid)?;
        change(&self.state, &admin.0, id.0, prefer.0.as_deref(), DisputeWish::SubmitEvidence { evidence }).await
    }

    /// Accept a dispute
    ///
    /// The payer keeps the money. Final.
    #[oai(
        path = "/api/admin/disputes/:id/accept",
        method = "post",
        tag = "Tag::Admin",
        operation_id = "accept_dispute"
    )]
    async fn accept(
        &self,
        admin: Admin,
        id: Path<Uuid>,
        /// `wait=N`: hold the answer for up to N seconds, sixty at most (RFC 7240).
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
    ) -> Result<Changed<DisputeBody>, Problem> {
        change(&self.state, &admin.0, id.0, prefer.0.as_deref(), DisputeWish::Accept).await
    }
}

fn check(evidence: HashMap<String, String>) -> Result<BTreeMap<String, String>, Vec<FieldError>> {
    let mut errors = Vec::new();
    if evidence.is_empty() {
        errors.push(FieldError { pointer: "/evidence".to_owned(), detail: "must not be empty".to_owned() });
    }
    if evidence.values().map(|text| text.chars().count()).sum::<usize>() > EVIDENCE_TOTAL_CHARS_MAX {
        let detail = format!("must be at most {EVIDENCE_TOTAL_CHARS_MAX} characters long, all together");
        errors.push(FieldError { pointer: "/evidence".to_owned(), detail });
    }
    for (name, text) in &evidence {
        let fault = if !EVIDENCE.contains(&name.as_str()) {
            Err(format!("must be one of {}", EVIDENCE.join(", ")))
        } else if text.is_empty() {
            Err("must not be empty".to_owned())
        } else {
            check_text(text, EVIDENCE_CHARS_MAX)
        };
        if let Err(detail) = fault {
            errors.push(FieldError { pointer: format!("/evidence/{}", escape(name)), detail });
        }
    }
    if errors.is_empty() { Ok(evidence.into_iter().collect()) } else { Err(errors) }
}

/// What is wanted is written on the dispute, a job carries it out.
async fn change(
    state: &State,
    admin: &Claims,
    id: Uuid,
    prefer: Option<&str>,
    wanted: DisputeWish,
) -> Result<Changed<DisputeBody>, Problem> {
    let what = match &wanted {
        DisputeWish::SubmitEvidence { .. } => "submission of evidence requested",
        DisputeWish::Accept => "acceptance requested",
    };
    let txn = Write::begin(state, admin).await?;
    let before = disputes::lock_any(&*txn, DisputeId(id)).await?.ok_or_else(|| Problem::not_found("dispute"))?;
    let after = before.request(wanted, Utc::now().trunc_subsecs(6));
    let after = after.map_err(|reason| Problem::not_possible("dispute", reason))?;
    let operation = after.last_operation.as_ref().map_or_else(JobId::generate, |operation| operation.id);
    // Locked: nobody can have written meanwhile.
    if disputes::save(&*txn, &before, &after).await? == Saved::Stale {
        return Err(Problem::invalid_status("dispute", "changing at this moment; try again"));
    }
    let detail = format!("dispute {id}: {what} by {}", admin.id);
    payments::add_step(&*txn, before.payment_id, &step(detail)).await?;
    let job = jobs::enqueue_as(&*txn, operation, JobKind::ChangeDispute, ProviderName::Stripe, id).await?;
    let waiter = state.waiting.register(id, prefer::wait(prefer));
    let accepted = DisputeBody::from(after);
    let kept = txn.commit(StatusCode::ACCEPTED, None, &accepted).await?;
    state.ringer.ring(job);
    let read = || disputes::find_any(&state.db, DisputeId(id));
    let moved = |dispute: &Dispute| Operation::pending(dispute.last_operation.as_ref(), operation).is_none();
    Ok(Changed::once(kept, waiter, accepted, (read, moved)).await)
}
