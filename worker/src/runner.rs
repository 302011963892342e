//! What all jobs share: a lease, three phases, an end.
//!
//! ```text
//! prepare   transaction 1   take the lease, read what is needed, open an attempt
//! call      no transaction  the provider, under the attempt's key
//! record    transaction 2   end the lease (nothing if it was lost), write what came of it
//! ```
//!
//! If we crash: before the first commit, nothing happened and the relay rings again. After it, or during the call,
//! the lease runs out and the next worker calls again under the same key. During the second commit, either it is
//! whole, or the same again.

use std::time::Duration;

use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait as _};
use shared::domain::ids::{JobId, PaymentId};
use shared::domain::job::{JobKind, Lease, backoff};
use shared::domain::payment::IllegalTransition;
use shared::store::jobs::{self, Ended, Ending};

use crate::context::Context;
use crate::registry;

/// A job in its three phases.
pub trait Job {
    type Prepared: Send + Sync;
    type Outcome: Send;

    /// Reads what the call needs. `None`: nothing is left to do, the job is done.
    fn prepare(
        txn: &DatabaseTransaction,
        lease: &Lease,
    ) -> impl Future<Output = Result<Option<Self::Prepared>, JobError>> + Send;

    /// Talks to the provider, never to the database.
    fn call(context: &Context, prepared: &Self::Prepared) -> impl Future<Output = Self::Outcome> + Send;

    /// Writes what came of it. The lease is ended last, in the same transaction: if it was lost, all is rolled back.
    fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        prepared: Self::Prepared,
        outcome: Self::Outcome,
    ) -> impl Future<Output = Result<Recorded, JobError>> + Send;
}

/// What [`Job::record`] has written.
#[derive(Debug)]
pub struct Recorded {
    pub ending: Ending,
    /// The payment that changed, whose waiters are woken after the commit.
    pub changed: Option<PaymentId>,
}

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("the database")]
    Database(#[from] DbErr),
    /// Somebody else wrote first: begin again with what they wrote.
    #[error("the payment changed meanwhile")]
    Stale,
    /// What happened contradicts what is recorded: a person must look.
    #[error("a contradiction")]
    Contradiction(#[from] IllegalTransition),
    /// The row that the job is about is not there.
    #[error("its subject is gone")]
    SubjectGone,
    /// Another worker has the job now.
    #[error("the lease was lost")]
    LeaseLost,
}

/// Leases the job and runs it. Never fails: what goes wrong is written to the job, or happens again after the lease.
pub async fn run(context: &Context, job_id: JobId) {
    let leased = async {
        let txn = context.db.begin().await?;
        let lease = jobs::lease(&txn, job_id, &context.worker).await?;
        Ok::<_, DbErr>(lease.map(|lease| (txn, lease)))
    };
    let (txn, lease) = match leased.await {
        Ok(Some(leased)) => leased,
        // Done already, or in other hands: a ring too many.
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, job.id = %job_id, "not leased; the relay will ring again");
            return;
        }
    };
    let _held = context.hold(lease.job_id, lease.attempts);
    let result = match JobKind::parse(&lease.kind) {
        Some(kind) => registry::dispatch(context, txn, kind, &lease).await,
        None => {
            tracing::warn!(job.kind = lease.kind, "a kind this release does not know; left for a newer one");
            snooze(txn, &lease).await
        }
    };
    if let Err(error) = result {
        fail(context, &lease, &error).await;
    }
}

/// The phases of one job; `txn` holds the lease just taken.
pub(crate) async fn three_phases<J: Job>(
    context: &Context,
    txn: DatabaseTransaction,
    lease: &Lease,
) -> Result<(), JobError> {
    match prepare::<J>(txn, lease).await? {
        Some(prepared) => {
            let outcome = J::call(context, &prepared).await;
            record::<J>(context, lease, prepared, outcome).await
        }
        None => Ok(()),
    }
}

/// Phase one, committed. `None`: there was nothing left to do, and the job is done.
///
/// # Errors
/// See [`JobError`]; then nothing is written, also not the lease.
pub async fn prepare<J: Job>(txn: DatabaseTransaction, lease: &Lease) -> Result<Option<J::Prepared>, JobError> {
    let prepared = J::prepare(&txn, lease).await?;
    if prepared.is_none() && jobs::end(&txn, lease, &Ending::Done).await? == Ended::LeaseLost {
        return Err(JobError::LeaseLost);
    }
    txn.commit().await?;
    Ok(prepared)
}

/// Phase three: all of it, or nothing if the lease was lost meanwhile.
///
/// # Errors
/// See [`JobError`]; then nothing is written.
pub async fn record<J: Job>(
    context: &Context,
    lease: &Lease,
    prepared: J::Prepared,
    outcome: J::Outcome,
) -> Result<(), JobError> {
    let txn = context.db.begin().await?;
    let recorded = J::record(&txn, lease, prepared, outcome).await?;
    let Ended::As(state) = jobs::end(&txn, lease, &recorded.ending).await? else {
        return Err(JobError::LeaseLost);
    };
    txn.commit().await?;
    if let Some(changed) = recorded.changed {
        context.ringer.announce(changed);
    }
    match (&recorded.ending, state) {
        (Ending::Retry { error, .. } | Ending::Dead { error }, "dead") => {
            tracing::error!(job.id = %lease.job_id, job.kind = lease.kind, attempts = lease.attempts, error, "the job is dead");
        }
        (Ending::Retry { delay, error }, _) => {
            tracing::warn!(job.id = %lease.job_id, job.kind = lease.kind, attempts = lease.attempts, ?delay, error, "the job will run again");
        }
        _ => tracing::debug!(job.id = %lease.job_id, job.kind = lease.kind, state, "the job ended"),
    }
    Ok(())
}

async fn snooze(txn: DatabaseTransaction, lease: &Lease) -> Result<(), JobError> {
    match jobs::end(&txn, lease, &Ending::Snooze { delay: Duration::from_secs(30) }).await? {
        Ended::As(_) => Ok(txn.commit().await?),
        Ended::LeaseLost => Err(JobError::LeaseLost),
    }
}

/// Writes down that a phase failed. If that fails too, the lease runs out and the job comes back all the same.
async fn fail(context: &Context, lease: &Lease, error: &JobError) {
    let text = shared::providers::chain(error);
    let ending = match error {
        JobError::LeaseLost => {
            tracing::warn!(job.id = %lease.job_id, job.kind = lease.kind, "the lease was lost; nothing was recorded");
            return;
        }
        // Nothing is wrong: two events of one payment came at once.
        JobError::Stale => {
            tracing::debug!(job.id = %lease.job_id, job.kind = lease.kind, "the payment changed meanwhile; beginning again");
            Ending::Snooze { delay: Duration::ZERO }
        }
        JobError::Database(_) => {
            tracing::warn!(job.id = %lease.job_id, job.kind = lease.kind, attempts = lease.attempts, error = text, "the job will run again");
            Ending::Retry { delay: retry_delay(lease), error: text }
        }
        JobError::Contradiction(_) | JobError::SubjectGone => {
            tracing::error!(job.id = %lease.job_id, job.kind = lease.kind, error = text, "the job is dead");
            Ending::Dead { error: text }
        }
    };
    // A failed preparation took its lease back with it: take it again, to end it properly.
    let written = async {
        if jobs::end(&context.db, lease, &ending).await? == Ended::LeaseLost
            && let Some(again) = jobs::lease(&context.db, lease.job_id, &context.worker).await?
            && jobs::end(&context.db, &again, &ending).await? == Ended::LeaseLost
        {
            tracing::debug!(job.id = %lease.job_id, "the lease was lost");
        }
        Ok::<_, DbErr>(())
    };
    if let Err(error) = written.await {
        tracing::warn!(%error, job.id = %lease.job_id, "the failure was not written; the lease runs out by itself");
    }
}

/// How long a job waits before it tries again.
#[must_use]
pub fn retry_delay(lease: &Lease) -> Duration {
    backoff(lease.attempts, rand::random())
}
