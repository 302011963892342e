//! The clock: real time, moved forward on demand, and what falls due.

use std::time::Duration;

use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::world::{Actor, Inner, World};
use super::{disputes, holds, refunds, subscriptions};

/// What falls due, and for which object. Whether it still applies is seen when it is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Due {
    /// A period or a trial ends.
    PeriodEnds(String),
    TrialWillEnd(String),
    /// A first invoice was not paid for 23 hours.
    IncompleteExpires(String),
    InvoiceRetry(String),
    HoldExpires(String),
    RefundSettles(String),
    /// The day by which evidence had to come.
    DisputeLost(String),
}

impl Inner {
    pub(crate) fn now(&self) -> i64 {
        self.frozen.unwrap_or_else(|| Utc::now().timestamp() + self.ahead)
    }
}

impl World {
    /// The simulator's time, in Unix seconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.lock().now()
    }

    /// Moves the clock forward and carries out, in the order of time, what falls due. Tells how many things did.
    pub fn advance(&self, by: Duration) -> usize {
        let _serial = self.one_at_a_time();
        let before = self.now();
        let by = i64::try_from(by.as_secs()).unwrap_or(i64::MAX / 4);
        let done = self.carry_out(before.saturating_add(by));
        let mut inner = self.lock();
        inner.ahead = inner.ahead.saturating_add(by);
        done
    }

    pub(crate) fn schedule(&self, at: i64, due: Due) {
        self.lock().agenda.add(at, due);
    }

    /// What fell due while real time passed. Called between two operations.
    pub(crate) fn catch_up(&self) {
        let now = self.now();
        self.carry_out(now);
    }

    fn carry_out(&self, until: i64) -> usize {
        let mut done = 0;
        loop {
            let taken = self.lock().agenda.take(until);
            let Some((at, due)) = taken else { break };
            self.lock().frozen = Some(at);
            happen(Actor::nobody(self), at, &due);
            done += 1;
        }
        self.lock().frozen = None;
        done
    }
}

fn happen(actor: Actor<'_>, at: i64, due: &Due) {
    match due {
        Due::PeriodEnds(id) => subscriptions::cycle::period_ends(actor, id, at),
        Due::TrialWillEnd(id) => subscriptions::cycle::trial_will_end(actor, id),
        Due::IncompleteExpires(id) => subscriptions::cycle::incomplete_expires(actor, id),
        Due::InvoiceRetry(id) => subscriptions::cycle::retry(actor, id, at),
        Due::HoldExpires(id) => holds::expire(actor, id),
        Due::RefundSettles(id) => refunds::settle_when_due(actor, id),
        Due::DisputeLost(id) => disputes::due_day_passed(actor, id),
    }
}
