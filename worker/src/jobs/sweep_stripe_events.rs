//! `sweep_stripe_events`: reads Stripe's event feed for what no webhook has told us, and puts it into the inbox, if
//! its type is used. It never ends: each run says when the next one is due.
//!
//! If we crash: the same stretch is read again, and what is in the inbox already stays as it is.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::DatabaseTransaction;
use shared::domain::job::Lease;
use shared::domain::payment::ProviderName;
use shared::providers::stripe::{Event, FedEvent};
use shared::providers::{CallError, ProviderError};
use shared::store::jobs::Ending;
use shared::store::provider_events::{NewEvent, Received};
use shared::store::{event_sweeps, provider_events};

use crate::context::Context;
use crate::runner::{Job, JobError, Preparation, Recorded};

const PERIOD: Duration = Duration::from_secs(60);
/// Read once more each time: the feed may show an event late, and webhooks take a moment.
const OVERLAP: TimeDelta = TimeDelta::minutes(5);
/// What is read at once while there is much to catch up with.
const STRETCH: TimeDelta = TimeDelta::hours(6);
/// Pages of a hundred events that are read at once; where there are more, half of the time is read.
const PAGES: usize = 50;
/// What is read of the shortest time.
const PAGES_MAX: usize = 500;
/// No less is read at once; it must be longer than the overlap, or nothing would be read beyond it.
const SHORTEST: TimeDelta = TimeDelta::minutes(6);
/// A webhook that is younger than this may still be on its way.
const MOMENT: TimeDelta = TimeDelta::seconds(30);

/// As many are stored by one statement.
const AT_ONCE: usize = 100;

pub struct SweepStripeEvents;

pub struct Prepared {
    swept_until: DateTime<Utc>,
    from: DateTime<Utc>,
    /// `None`: up to now.
    to: Option<DateTime<Utc>>,
}

fn too_many() -> ProviderError {
    let source = CallError::Unreadable("more events in a few minutes than can be read at once".to_owned());
    ProviderError::Unknown { source, look_up: false }
}

impl Job for SweepStripeEvents {
    type Prepared = Prepared;
    /// The events, and until when they were read; `None`: up to now.
    type Outcome = Result<(Vec<FedEvent>, Option<DateTime<Utc>>), ProviderError>;

    async fn prepare(txn: &DatabaseTransaction, _: &Lease) -> Result<Preparation<Prepared>, JobError> {
        let swept_until = event_sweeps::swept_until(txn, ProviderName::Stripe).await?;
        let from = swept_until - OVERLAP;
        let to = (Utc::now() - from > STRETCH).then(|| from + STRETCH);
        Ok(Preparation::Ready(Prepared { swept_until, from, to }))
    }

    async fn call(context: &Context, prepared: &Prepared) -> Self::Outcome {
        let mut to = prepared.to;
        loop {
            let half = (to.unwrap_or_else(Utc::now) - prepared.from) / 2;
            let pages = if half < SHORTEST { PAGES_MAX } else { PAGES };
            match context.stripe.list_events(prepared.from, to, pages).await? {
                Some(events) => return Ok((events, to)),
                None if half < SHORTEST => return Err(too_many()),
                None => to = Some(prepared.from + half),
            }
        }
    }

    async fn record(
        txn: &DatabaseTransaction,
        _: &Lease,
        prepared: Prepared,
        outcome: Self::Outcome,
    ) -> Result<Recorded, JobError> {
        let (events, to) = match outcome {
            Ok(read) => read,
            // It goes on asking: spending attempts would end it.
            Err(error) => {
                let ending = Ending::Snooze { delay: PERIOD, error: Some(error.chain()) };
                return Ok(Recorded::new(ending, Vec::new()));
            }
        };
        let old_enough = Utc::now() - MOMENT;
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let known = provider_events::which_are_known(txn, ProviderName::Stripe, ids).await?;
        // The webhook endpoint need not be sent what is not used: that is not missing.
        let new = |event: &FedEvent| {
            let label = Some(Event::label(&event.body)).filter(|label| label.used)?;
            Some(NewEvent::swept(ProviderName::Stripe, label, event.body.clone()))
        };
        let missing = events.iter().filter(|event| event.created_at <= old_enough && !known.contains(&event.id));
        let mut missing: Vec<&FedEvent> = missing.collect();
        // In the order in which webhooks store them: neither must wait for the other.
        missing.sort_by(|one, other| one.id.cmp(&other.id));
        let missing: Vec<NewEvent> = missing.into_iter().filter_map(new).collect();
        let mut missed = 0;
        for some in missing.chunks(AT_ONCE) {
            // The relay rings.
            let received = provider_events::receive(txn, some, |_| false).await?;
            missed += received.iter().filter(|received| **received != Received::Duplicate).count();
        }
        if missed > 0 {
            tracing::warn!(missed, "events came by no webhook and were found in Stripe's feed");
        }
        let until = to.unwrap_or(old_enough).max(prepared.swept_until);
        event_sweeps::advance(txn, ProviderName::Stripe, prepared.swept_until, until).await?;
        let delay = if to.is_some() { Duration::from_secs(1) } else { PERIOD };
        Ok(Recorded::new(Ending::Snooze { delay, error: None }, Vec::new()))
    }
}
