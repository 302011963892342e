//! `apply_swish_callback`: a callback of Swish's is a reason to ask Swish, and is not believed in anything.
//!
//! One about an object that is not ours (yet) is put aside under its id and taken up again when it is.
//!
//! If we crash: nothing is written before the last commit, and reading again does no harm.

use std::time::Duration;

use sea_orm::DatabaseTransaction;
use shared::domain::ids::ProviderEventId;
use shared::domain::job::Lease;
use shared::domain::provider_event::ProviderEvent;
use shared::domain::timeline::Actor;
use shared::providers::ProviderError;
use shared::providers::swish::callback::Callback;
use shared::store::closing::Closing;
use shared::store::jobs::Ending;
use shared::store::provider_events;

use crate::context::Context;
use crate::runner::{Job, JobError, Preparation, Recorded, retry_delay, snooze_delay};
use crate::swish::reading::{Seen, Target};

const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// How often Swish is asked again where it does not show what its callback says. Then the callback was wrong.
const BELIEVED_TRIES: i32 = 6;

pub struct ApplySwishCallback;

pub struct Prepared {
    event: ProviderEvent,
    says_final: bool,
    target: Target,
}

impl Job for ApplySwishCallback {
    type Prepared = Prepared;
    type Outcome = Result<Seen, ProviderError>;

    async fn prepare(txn: &DatabaseTransaction, lease: &Lease) -> Result<Preparation<Prepared>, JobError> {
        let id = ProviderEventId(lease.subject_id);
        let event = provider_events::find(txn, id).await?.ok_or(JobError::SubjectGone)?;
        let callback = match Callback::parse(&event.body) {
            Ok(callback) => callback,
            Err(unreadable) => {
                return Ok(Preparation::Done(Vec::new(), Some(Closing::unreadable(id, unreadable.to_string()))));
            }
        };
        let (says_final, instruction) = (callback.says_final(), callback.id);
        let mut target = Target::find_by_instruction(txn, &instruction).await?;
        if target.is_none() {
            // Whoever is making it ours at this moment is waited for; then it is looked for again.
            provider_events::lock_object(txn, &instruction).await?;
            target = Target::find_by_instruction(txn, &instruction).await?;
        }
        match target {
            Some(target) => Ok(Preparation::Ready(Prepared { event, says_final, target })),
            None => {
                let detail = format!("{instruction} is not ours");
                Ok(Preparation::Done(Vec::new(), Some(Closing::ignored(id, detail, Some(instruction)))))
            }
        }
    }

    async fn call(context: &Context, prepared: &Prepared) -> Self::Outcome {
        prepared.target.fetch(context).await
    }

    async fn record(
        txn: &DatabaseTransaction,
        lease: &Lease,
        prepared: Prepared,
        outcome: Self::Outcome,
    ) -> Result<Recorded, JobError> {
        let Prepared { event, says_final, target } = prepared;
        let seen = match outcome {
            Ok(seen) => seen,
            // Asking spends nothing, however long Swish cannot be asked.
            Err(error) => {
                let (delay, error) = (snooze_delay(lease).max(LEAST_PAUSE), Some(error.chain()));
                return Ok(Recorded::new(Ending::Snooze { delay, error }, Vec::new()));
            }
        };
        if says_final && seen.is_open() && lease.attempts < BELIEVED_TRIES {
            let error = "Swish does not show yet what its callback says".to_owned();
            return Ok(Recorded::new(Ending::Retry { delay: retry_delay(lease), error }, Vec::new()));
        }
        match target.record(txn, seen, Actor::Webhook, &event.provider_event_id).await? {
            Some(changed) => {
                let detail = event.event_type.as_deref().unwrap_or_default();
                Ok(Recorded::new(Ending::Done, changed).closing(Closing::applied(event.id, detail)))
            }
            None => {
                let error = "Swish does not show what its callback is about".to_owned();
                Ok(Recorded::new(Ending::Retry { delay: retry_delay(lease), error }, Vec::new()))
            }
        }
    }
}
