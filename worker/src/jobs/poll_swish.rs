//! `poll_swish`: reads a payment or a refund at Swish until it has ended: its callback may have been lost.
//!
//! If we crash: it is read again.

use std::time::Duration;

use chrono::Utc;
use sea_orm::DatabaseTransaction;
use shared::domain::job::Lease;
use shared::domain::timeline::Actor;
use shared::providers::ProviderError;
use shared::store::jobs::Ending;

use crate::context::Context;
use crate::runner::{Job, JobError, Preparation, Recorded, spread};
use crate::swish::reading::{Seen, Target};

/// Swish ends a payment in some five minutes; what is open after this, a person must look at.
const HORIZON: Duration = Duration::from_secs(24 * 3_600);
/// The bank of who gets a refund may be slow.
const HORIZON_OF_REFUNDS: Duration = Duration::from_secs(14 * 24 * 3_600);
const LEAST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(30 * 60);

pub struct PollSwish;

impl Job for PollSwish {
    type Prepared = Target;
    type Outcome = Result<Seen, ProviderError>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Preparation<Target>, JobError> {
        Ok(match Target::find(txn, lease.subject_id).await? {
            Some(target) if !target.is_settled() => Preparation::Ready(target),
            Some(_) | None => Preparation::Done(Vec::new(), None),
        })
    }

    async fn call(context: &Context, target: &Target) -> Self::Outcome {
        target.fetch(context).await
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        target: Target,
        outcome: Self::Outcome,
    ) -> Result<Recorded, JobError> {
        let age = Utc::now().signed_duration_since(lease.created_at).to_std().unwrap_or_default();
        let horizon = if target.is_refund() { HORIZON_OF_REFUNDS } else { HORIZON };
        let again = |error: Option<String>| {
            if age > horizon {
                Ending::Dead { error: error.unwrap_or_else(|| "still open at Swish".to_owned()) }
            } else {
                // Asking spends nothing: this is the net under what was lost, and must not wear out.
                Ending::Snooze { delay: pause(age), error }
            }
        };
        let seen = match outcome {
            Ok(seen) if seen.is_nothing() && target.is_refused() => {
                return Ok(Recorded::new(Ending::Done, Vec::new()));
            }
            Ok(seen) => seen,
            Err(error) => return Ok(Recorded::new(again(Some(error.chain())), Vec::new())),
        };
        let Some(changed) = target.record(txn, seen, Actor::Job, "poll_swish").await? else {
            let error = "Swish does not show a request that it took".to_owned();
            return Ok(Recorded::new(again(Some(error)), Vec::new()));
        };
        let now = Target::find(txn, lease.subject_id).await?.ok_or(JobError::SubjectGone)?;
        let ending = if now.is_settled() || now.is_refused() { Ending::Done } else { again(None) };
        Ok(Recorded::new(ending, changed))
    }
}

/// The older, the longer; a fifth more or less, so that what began together does not stay together.
fn pause(age: Duration) -> Duration {
    spread((age / 3).clamp(LEAST, MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_the_age_and_are_spread() {
        for (age, least, most) in [(0, 8, 12), (30, 8, 12), (180, 48, 72), (600, 160, 240), (86_400, 1_440, 2_160)] {
            for _ in 0..50 {
                let pause = pause(Duration::from_secs(age)).as_secs();
                assert!((least..=most).contains(&pause), "{age}: {pause}");
            }
        }
    }
}
