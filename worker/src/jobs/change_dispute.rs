//! `change_dispute`: submits evidence to a dispute at Stripe, or accepts it, as its last operation wants.
//!
//! If we crash: see [`crate::change`].

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::dispute::{Dispute, DisputeStatus, DisputeWish, ProviderDispute};
use shared::domain::ids::DisputeId;
use shared::domain::job::Lease;
use shared::domain::operation::Operation;
use shared::domain::timeline::{Actor, Step};
use shared::store::attempts::{self, Attempt};
use shared::store::{Saved, disputes, payments};

use crate::change::{Changed, Verdict, carry_out};
use crate::context::Context;
use crate::runner::{Job, JobError, Preparation, Recorded};

const NAME: &str = "change_dispute";

pub struct ChangeDispute;

pub struct Prepared {
    dispute: Dispute,
    operation: Operation<DisputeWish>,
    attempt: Attempt,
}

impl Job for ChangeDispute {
    type Prepared = Prepared;
    type Outcome = Changed<ProviderDispute>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Preparation<Prepared>, JobError> {
        let dispute = disputes::find_any(txn, DisputeId(lease.subject_id)).await?.ok_or(JobError::SubjectGone)?;
        let Some(operation) = Operation::pending(dispute.last_operation.as_ref(), lease.job_id).cloned() else {
            return Ok(Preparation::Done(Vec::new(), None));
        };
        let attempt = attempts::open(txn, lease.job_id, what(&operation.wanted)).await?;
        Ok(Preparation::Ready(Prepared { dispute, operation, attempt }))
    }

    async fn call(context: &Context, prepared: &Prepared) -> Changed<ProviderDispute> {
        let (id, key) = (prepared.dispute.provider_dispute_id.as_str(), prepared.attempt.id.to_string());
        let read = context.stripe.fetch_dispute(id);
        match &prepared.operation.wanted {
            DisputeWish::SubmitEvidence { evidence } => {
                let send = context.stripe.submit_evidence(id, evidence, &key);
                // What another hand submitted is not what was wanted.
                let ours =
                    |seen: &ProviderDispute| evidence.iter().all(|(name, text)| seen.evidence.get(name) == Some(text));
                carry_out(&prepared.attempt, send, read, |seen| verdict(seen, seen.evidence_submitted && ours(seen)))
                    .await
            }
            DisputeWish::Accept => {
                let send = context.stripe.accept_dispute(id, &key);
                carry_out(&prepared.attempt, send, read, |seen| verdict(seen, seen.status == DisputeStatus::Lost)).await
            }
        }
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        prepared: Prepared,
        outcome: Changed<ProviderDispute>,
    ) -> Result<Recorded, JobError> {
        let before = disputes::find_any(txn, prepared.dispute.id).await?.ok_or(JobError::SubjectGone)?;
        // The answer may be older than what was written meanwhile.
        if before.version != prepared.dispute.version {
            return Err(JobError::Stale);
        }
        let detail = format!("dispute {}: {}", before.id, outcome.describe(lease, what(&prepared.operation.wanted)));
        let (ending, closes) = (outcome.ending(lease), outcome.closing(&prepared.attempt));
        let mut after = match outcome.seen {
            Some(seen) => before.observe(seen, Utc::now())?,
            None => before.clone(),
        };
        after.last_operation = Some(prepared.operation.after(outcome.operation, Utc::now()));
        if after.differs_from(&before) && disputes::save(txn, &before, &after).await? == Saved::Stale {
            return Err(JobError::Stale);
        }
        let step = Step { actor: Actor::Job, cause: NAME.to_owned(), detail };
        payments::add_step(txn, before.payment_id, &step).await?;
        Ok(Recorded::new(ending, vec![before.id.0, before.payment_id.0]).closing(closes))
    }
}

fn what(wanted: &DisputeWish) -> &'static str {
    match wanted {
        DisputeWish::SubmitEvidence { .. } => "submit_evidence",
        DisputeWish::Accept => "accept",
    }
}

fn verdict(seen: &ProviderDispute, done: bool) -> Verdict {
    let open = matches!(seen.status, DisputeStatus::NeedsResponse | DisputeStatus::WarningNeedsResponse);
    match (done, open) {
        (true, _) => Verdict::Done,
        (false, true) => Verdict::Open,
        (false, false) => Verdict::Overtaken,
    }
}
