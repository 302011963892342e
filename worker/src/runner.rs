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

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sea_orm::{DatabaseTransaction, DbErr, TransactionTrait as _};
use shared::domain::evidence::IllegalTransition;
use shared::domain::ids::JobId;
use shared::domain::job::{JobKind, Lease, backoff};
use shared::store::closing::Closing;
use shared::store::is_refusal;
use shared::store::jobs::{self, Ended, Ending};
use shared::tally;
use shared::trace::Trace;
use tracing::{Instrument as _, field};
use uuid::Uuid;

use crate::context::Context;
use crate::registry;

/// A job in its three phases.
pub trait Job {
    type Prepared: Send + Sync;
    type Outcome: Send;

    /// Reads what the call needs.
    fn prepare(
        txn: &DatabaseTransaction,
        lease: &Lease,
    ) -> impl Future<Output = Result<Preparation<Self::Prepared>, JobError>> + Send;

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

/// What [`Job::prepare`] found.
#[derive(Debug)]
pub enum Preparation<T> {
    Ready(T),
    /// Nothing is left to do; what was to be written is written, but for what closes with the job. The ids of what changed,
    /// whose waiters are woken after the commit.
    Done(Vec<Uuid>, Option<Closing>),
    /// Something else must happen first: come back after this time.
    NotYet(Duration),
}

/// What [`Job::record`] has written.
#[derive(Debug)]
pub struct Recorded {
    pub ending: Ending,
    /// The ids of what changed, whose waiters are woken after the commit.
    pub changed: Vec<Uuid>,
    /// Written with the end of the job.
    pub closes: Option<Closing>,
}

impl Recorded {
    #[must_use]
    pub fn new(ending: Ending, changed: Vec<Uuid>) -> Self {
        Self { ending, changed, closes: None }
    }

    #[must_use]
    pub fn closing(self, closes: Closing) -> Self {
        Self { closes: Some(closes), ..self }
    }
}

/// A statement or a commit that takes longer comes from a dead connection. Longer than Postgres' own limit of a statement.
const PHASE_MAX: Duration = Duration::from_secs(15);
/// How often a job that was overtaken begins again at once; after that the relay brings it back.
const ROUNDS_MAX: usize = 10;

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("the database")]
    Database(#[from] DbErr),
    /// Somebody else wrote first: begin again with what they wrote.
    #[error("its subject changed meanwhile")]
    Stale,
    /// It cannot be written now; it may be later.
    #[error("{0}")]
    Conflict(String),
    /// Postgres did not answer in time.
    #[error("the database did not answer within {PHASE_MAX:?}")]
    NoAnswer,
    /// What happened contradicts what is recorded: a person must look.
    #[error("a contradiction")]
    Contradiction(#[from] IllegalTransition),
    /// The row that the job is about is not there.
    #[error("its subject is gone")]
    SubjectGone,
    #[error("the job panicked: {0}")]
    Panicked(String),
    /// Another worker has the job now.
    #[error("the lease was lost")]
    LeaseLost,
}

/// Leases the job and runs it. Never fails: what goes wrong is written to the job, or happens again after the lease.
pub async fn run(context: &Context, job_id: JobId) {
    for _ in 0..ROUNDS_MAX {
        if !run_once(context, job_id).await {
            return;
        }
    }
}

/// One lease of the job. Whether it wants to go on at once.
async fn run_once(context: &Context, job_id: JobId) -> bool {
    let leased = async {
        let txn = context.db.begin().await?;
        let lease = jobs::lease(&txn, job_id, &context.worker).await?;
        Ok::<_, DbErr>(lease.map(|lease| (txn, lease)))
    };
    let (txn, lease) = match tokio::time::timeout(PHASE_MAX, leased).await {
        Ok(Ok(Some(leased))) => leased,
        // Done already, or in other hands: a ring too many.
        Ok(Ok(None)) => return false,
        Ok(Err(error)) => {
            tracing::warn!(%error, job.id = %job_id, "not leased; the relay will ring again");
            return false;
        }
        Err(_) => {
            tracing::warn!(job.id = %job_id, "not leased in time; the relay will ring again");
            return false;
        }
    };
    let _held = context.hold(lease.job_id, lease.attempts);
    let span = tracing::info_span!(
        "job",
        job.id = %lease.job_id,
        job.kind = lease.kind,
        job.subject = %lease.subject_id,
        job.attempts = lease.attempts,
        trace.id = field::Empty,
        payment.id = field::Empty,
        payment.trace = field::Empty
    );
    let trace = Trace::of(&span, lease.trace);
    let began = Instant::now();
    let again = tally::scope(trace.scope(run_leased(context, txn, &lease))).instrument(span).await;
    context.metrics.job_ran(&lease, began.elapsed());
    again
}

/// Whether the job wants to go on at once.
async fn run_leased(context: &Context, txn: DatabaseTransaction, lease: &Lease) -> bool {
    let result = match JobKind::parse(&lease.kind) {
        Some(kind) => caught(registry::dispatch(context, txn, kind, lease)).await,
        None => {
            tracing::warn!("a kind this release does not know; left for a newer one");
            snooze(txn, lease, Duration::from_secs(30)).await.map(|()| false)
        }
    };
    match &result {
        Ok(_) => context.metrics.committed(),
        // What was rolled back did not happen.
        Err(_) => drop(tally::take()),
    }
    match result {
        Ok(again) => again,
        Err(error) => {
            let again = matches!(error, JobError::Stale);
            fail(context, lease, &error).await;
            again
        }
    }
}

/// The phases of one job; `txn` holds the lease just taken. Whether the job wants to go on at once. (Boxed: a job takes no
/// more room than its own kind needs.)
pub(crate) fn three_phases<'a, J: Job>(
    context: &'a Context,
    txn: DatabaseTransaction,
    lease: &'a Lease,
) -> BoxFuture<'a, Result<bool, JobError>> {
    Box::pin(async move {
        match bounded(prepare::<J>(context, txn, lease)).await? {
            Some(prepared) => {
                context.metrics.committed();
                let outcome = J::call(context, &prepared).await;
                bounded(record::<J>(context, lease, prepared, outcome)).await
            }
            None => Ok(false),
        }
    })
}

/// A panic is an error of the job's, which is written to it and spends an attempt.
async fn caught<T>(work: impl Future<Output = Result<T, JobError>>) -> Result<T, JobError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        Err(JobError::Panicked(said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()))
    })
}

async fn bounded<T>(phase: impl Future<Output = Result<T, JobError>>) -> Result<T, JobError> {
    tokio::time::timeout(PHASE_MAX, phase).await.unwrap_or(Err(JobError::NoAnswer))
}

/// Phase one, committed. `None`: there is nothing to call, and the job has ended or waits.
///
/// # Errors
/// See [`JobError`]; then nothing is written, also not the lease.
pub async fn prepare<J: Job>(
    context: &Context,
    txn: DatabaseTransaction,
    lease: &Lease,
) -> Result<Option<J::Prepared>, JobError> {
    match J::prepare(&txn, lease).await? {
        Preparation::Ready(prepared) => {
            txn.commit().await?;
            Ok(Some(prepared))
        }
        Preparation::NotYet(delay) => snooze(txn, lease, delay).await.map(|()| None),
        Preparation::Done(changed, closes) => match jobs::end(&txn, lease, &Ending::Done, closes.as_ref()).await? {
            Ended::As(_) => {
                txn.commit().await?;
                for changed in changed {
                    context.ringer.announce(changed);
                }
                Ok(None)
            }
            Ended::LeaseLost => Err(JobError::LeaseLost),
        },
    }
}

/// Phase three: all of it, or nothing if the lease was lost meanwhile. Whether the job wants to go on at once.
///
/// # Errors
/// See [`JobError`]; then nothing is written.
pub async fn record<J: Job>(
    context: &Context,
    lease: &Lease,
    prepared: J::Prepared,
    outcome: J::Outcome,
) -> Result<bool, JobError> {
    let txn = context.db.begin().await?;
    let recorded = J::record(&txn, lease, prepared, outcome).await?;
    let Ended::As(state) = jobs::end(&txn, lease, &recorded.ending, recorded.closes.as_ref()).await? else {
        return Err(JobError::LeaseLost);
    };
    txn.commit().await?;
    for changed in recorded.changed {
        context.ringer.announce(changed);
    }
    match (&recorded.ending, state) {
        (Ending::Retry { error, .. } | Ending::Dead { error }, "dead") => {
            tracing::error!(error, "the job is dead");
        }
        (Ending::Retry { delay, error } | Ending::Snooze { delay, error: Some(error) }, _) => {
            tracing::warn!(?delay, error, "the job will run again");
        }
        _ => tracing::debug!(state, "the job ended"),
    }
    Ok(matches!(recorded.ending, Ending::Snooze { delay: Duration::ZERO, .. }))
}

async fn snooze(txn: DatabaseTransaction, lease: &Lease, delay: Duration) -> Result<(), JobError> {
    match jobs::end(&txn, lease, &Ending::Snooze { delay, error: None }, None).await? {
        Ended::As(_) => Ok(txn.commit().await?),
        Ended::LeaseLost => Err(JobError::LeaseLost),
    }
}

/// Writes down that a phase failed. If that fails too, the lease runs out and the job comes back all the same.
async fn fail(context: &Context, lease: &Lease, error: &JobError) {
    let text = shared::providers::chain(error);
    let ending = match error {
        JobError::LeaseLost => {
            tracing::warn!("the lease was lost; nothing was recorded");
            context.metrics.lease_lost(lease);
            return;
        }
        // Nothing is wrong: two pieces of news of one thing came at once.
        JobError::Stale => {
            tracing::debug!("its subject changed meanwhile; beginning again");
            Ending::Snooze { delay: Duration::ZERO, error: None }
        }
        // Postgres will not have what the job wants to write, whenever it comes: spend its attempts, for a person to see.
        JobError::Database(error) if is_refusal(error) => {
            tracing::error!(error = text, "what was to be recorded cannot be");
            Ending::Retry { delay: retry_delay(lease), error: text }
        }
        // Not the job's fault, and its last attempt may have had the answer: none is spent.
        JobError::Database(_) | JobError::NoAnswer => {
            tracing::warn!(error = text, "the database failed the job; it will run again");
            let delay = snooze_delay(lease).clamp(Duration::from_millis(250), Duration::from_secs(30));
            Ending::Snooze { delay, error: Some(text) }
        }
        JobError::Panicked(_) => {
            tracing::error!(error = text, "the job will run again, though it should not have come to this");
            Ending::Retry { delay: retry_delay(lease), error: text }
        }
        JobError::Conflict(_) => {
            tracing::warn!(error = text, "the job will run again");
            Ending::Retry { delay: retry_delay(lease), error: text }
        }
        JobError::Contradiction(_) | JobError::SubjectGone => {
            tracing::error!(error = text, "the job is dead");
            Ending::Dead { error: text }
        }
    };
    // A failed preparation took its lease back with it: take it again, to end it properly.
    let written = async {
        if jobs::end(&context.db, lease, &ending, None).await? == Ended::LeaseLost
            && let Some(again) = jobs::lease(&context.db, lease.job_id, &context.worker).await?
            && jobs::end(&context.db, &again, &ending, None).await? == Ended::LeaseLost
        {
            tracing::debug!("the lease was lost");
        }
        Ok::<_, DbErr>(())
    };
    match bounded(async { written.await.map_err(JobError::from) }).await {
        Ok(()) => context.metrics.committed(),
        Err(error) => tracing::warn!(%error, "the failure was not written; the lease runs out by itself"),
    }
}

/// How long a job waits before it tries again.
#[must_use]
pub fn retry_delay(lease: &Lease) -> Duration {
    backoff(lease.spent(), rand::random())
}

/// How long a job waits that came back through no fault of its own: longer each time that it came.
#[must_use]
pub fn snooze_delay(lease: &Lease) -> Duration {
    backoff(lease.attempts, rand::random())
}

/// A fifth more or less, so that what began together does not stay together.
#[must_use]
pub fn spread(pause: Duration) -> Duration {
    let share: u32 = rand::random_range(80..=120);
    pause.saturating_mul(share) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn missing(n: usize) -> Result<(), JobError> {
        assert!(n < 7, "there is no {n}");
        Err(JobError::SubjectGone)
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_jobs() {
        let panicked = caught(missing(7)).await;
        assert!(matches!(&panicked, Err(JobError::Panicked(said)) if said == "there is no 7"), "{panicked:?}");
        assert!(matches!(caught(missing(6)).await, Err(JobError::SubjectGone)));
    }
}
