//! What the work at hand has changed, for the metrics: noted by the store as it writes, counted once it is committed, forgotten
//! if it is rolled back.

use std::cell::RefCell;
use std::time::Duration;

use chrono::Utc;

use crate::domain::dispute::{Dispute, DisputeStatus};
use crate::domain::money::Money;
use crate::domain::payment::{Payment, PaymentStatus, ProviderName};
use crate::domain::refund::{Refund, RefundStatus};
use crate::domain::subscription::{Subscription, SubscriptionStatus};

tokio::task_local! {
    static CURRENT: RefCell<Vec<Happened>>;
}

/// Something that metrics count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A payment came to a status. `settled_after`: so long after it was accepted it has ended, for the first time.
    Payment {
        provider: ProviderName,
        status: PaymentStatus,
        money: Money,
        settled_after: Option<Duration>,
    },
    Refund {
        provider: ProviderName,
        status: RefundStatus,
        money: Money,
    },
    Dispute(DisputeStatus),
    Subscription(SubscriptionStatus),
    /// A run of a job ended: `done`, `retried`, `snoozed` or `dead`, after so many.
    Job {
        kind: String,
        lane: String,
        outcome: &'static str,
        attempts: i32,
    },
    /// An event was found that no webhook had told.
    MissedEvent(ProviderName),
}

/// Runs `work`, whose notes [`take`] gives.
pub async fn scope<T>(work: impl Future<Output = T>) -> T {
    CURRENT.scope(RefCell::default(), work).await
}

/// Notes it, where somebody counts.
pub fn note(happened: Happened) {
    let _ = CURRENT.try_with(|notes| notes.borrow_mut().push(happened));
}

/// What was noted since it was last asked: call it after each commit.
#[must_use]
pub fn take() -> Vec<Happened> {
    CURRENT.try_with(RefCell::take).unwrap_or_default()
}

/// A payment as it is written, and as it was before.
pub(crate) fn payment(before: Option<&Payment>, after: &Payment) {
    let has_ended =
        |status| matches!(status, PaymentStatus::Succeeded | PaymentStatus::Failed | PaymentStatus::Canceled);
    if before.is_some_and(|before| before.status == after.status) {
        return;
    }
    let ends = has_ended(after.status) && !before.is_some_and(|before| has_ended(before.status));
    // Of hosts' clocks: one may be a little ahead.
    let settled_after = ends.then(|| (Utc::now() - after.created_at).to_std().unwrap_or_default());
    note(Happened::Payment { provider: after.provider, status: after.status, money: after.money, settled_after });
}

pub(crate) fn refund(before: Option<&Refund>, after: &Refund) {
    if before.is_none_or(|before| before.status != after.status) {
        note(Happened::Refund { provider: after.provider, status: after.status, money: after.money });
    }
}

pub(crate) fn dispute(before: Option<&Dispute>, after: &Dispute) {
    if before.is_none_or(|before| before.status != after.status) {
        note(Happened::Dispute(after.status));
    }
}

pub(crate) fn subscription(before: Option<&Subscription>, after: &Subscription) {
    if before.is_none_or(|before| before.status != after.status) {
        note(Happened::Subscription(after.status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn notes_are_of_the_work_at_hand_and_taken_once() {
        let missed = || Happened::MissedEvent(ProviderName::Stripe);
        note(missed());
        let taken = scope(async {
            note(missed());
            let inner = scope(async {
                note(missed());
                take().len()
            });
            (inner.await, take(), take())
        });
        assert_eq!(taken.await, (1, vec![missed()], vec![]));
        assert_eq!(take(), vec![], "where nobody counts, nothing is kept");
    }
}
