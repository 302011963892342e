//! `poll_swish`: reads a payment or a refund at Swish until it has ended: its callback may have been lost.
//!
//! If we crash: it is read again.

use std::time::Duration;

use sea_orm::DatabaseTransaction;
use shared::domain::job::Lease;
use shared::domain::timeline::Actor;
use shared::providers::ProviderError;
use shared::store::jobs::Ending;

use crate::context::Context;
use crate::creation::retry;
use crate::runner::{Job, JobError, Preparation, Recorded};
use crate::swish::{Seen, Target};

/// Swish ends a payment in some five minutes and a refund in hours; what is open after this, a person must look at.
const HORIZON: Duration = Duration::from_secs(24 * 3_600);
const LEAST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(30 * 60);

pub struct PollSwish;

impl Job for PollSwish {
    type Prepared = Target;
    type Outcome = Result<Seen, ProviderError>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Preparation<Target>, JobError> {
        let target = Target::find(txn, lease.subject_id).await?.ok_or(JobError::SubjectGone)?;
        Ok(if target.is_settled() { Preparation::Done } else { Preparation::Ready(target) })
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
        let age = target.age();
        let seen = match outcome {
            Ok(seen) => seen,
            Err(error) => return Ok(Recorded { ending: retry(lease, &error), changed: Vec::new() }),
        };
        let Some(changed) = target.record(txn, seen, Actor::Job, "poll_swish").await? else {
            let error = "Swish does not show a request that it took".to_owned();
            return Ok(Recorded { ending: Ending::Retry { delay: pause(age), error }, changed: Vec::new() });
        };
        let now = Target::find(txn, lease.subject_id).await?.ok_or(JobError::SubjectGone)?;
        let ending = if now.is_settled() {
            Ending::Done
        } else if age > HORIZON {
            Ending::Dead { error: "still open at Swish after a day".to_owned() }
        } else {
            Ending::Snooze { delay: pause(age), error: None }
        };
        Ok(Recorded { ending, changed })
    }
}

/// The older, the longer; a fifth more or less, so that what began together does not stay together.
fn pause(age: Duration) -> Duration {
    let base = (age / 3).clamp(LEAST, MOST);
    let share: u32 = rand::random_range(80..=120);
    base.saturating_mul(share) / 100
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
