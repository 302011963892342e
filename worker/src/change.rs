//! What all jobs share that carry out an operation on something that is at a provider already.
//!
//! If we crash: the operation is still `pending` and the next run carries it out again, under the same key. Where the
//! answer cannot tell, the thing is read, and what it shows decides. A key is given up only when its request is over
//! for certain and the thing shows that nothing came of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::domain::evidence::Failure;
use shared::domain::job::Lease;
use shared::domain::operation::OperationOutcome;
use shared::providers::ProviderError;
use shared::providers::stripe::{Answer, KEY_LIFETIME};
use shared::store::attempts::{Attempt, AttemptOutcome};
use shared::store::closing::Closing;
use shared::store::jobs::Ending;

use crate::creation::{retry, still_unknown, too_late, unreadable};

/// What came of carrying it out.
pub struct Changed<S> {
    /// The thing as it is now, where that was shown.
    pub seen: Option<S>,
    pub operation: OperationOutcome,
    pub attempt: AttemptOutcome,
    pub request_id: Option<String>,
    pub error: Option<ProviderError>,
}

impl<S> Changed<S> {
    fn answered(request_id: Option<String>) -> Self {
        let (operation, attempt) = (OperationOutcome::Done, AttemptOutcome::Done);
        Self { seen: None, operation, attempt, request_id, error: None }
    }

    /// Nothing came of it, and nothing will come of this key: the next try has another one.
    fn key_spent(seen: S, error: ProviderError) -> Self {
        Self { attempt: AttemptOutcome::Rejected, ..Self::open(Some(seen), error) }
    }

    pub(crate) fn open(seen: Option<S>, error: ProviderError) -> Self {
        let attempt = match &error {
            ProviderError::NotSent { .. } => AttemptOutcome::NotSent,
            ProviderError::Unknown { .. } | ProviderError::Rejected { .. } => AttemptOutcome::Unknown,
        };
        Self { seen, operation: OperationOutcome::Open, attempt, request_id: None, error: Some(error) }
    }

    /// What closes with the job: its attempt.
    pub fn closing(&self, attempt: &Attempt) -> Closing {
        Closing::Attempt {
            id: attempt.id,
            outcome: self.attempt,
            provider_request_id: self.request_id.clone(),
            error: self.error.as_ref().map(ProviderError::chain),
        }
    }

    pub fn ending(&self, lease: &Lease) -> Ending {
        match &self.error {
            Some(error) if self.operation == OperationOutcome::Open => retry(lease, error),
            Some(_) | None => Ending::Done,
        }
    }

    /// For the timeline: `what` is the operation in words.
    pub fn describe(&self, lease: &Lease, what: &str) -> String {
        match &self.operation {
            OperationOutcome::Done => format!("{what}: done"),
            OperationOutcome::Refused(failure) => format!("{what}: refused: {}", failure.code),
            OperationOutcome::Open
                if lease.attempts >= lease.max_attempts && self.attempt != AttemptOutcome::NotSent =>
            {
                format!("try {}: {what}: the outcome is unknown; a person must look", lease.attempts)
            }
            OperationOutcome::Open => format!("try {}: {what}: not known to be done; trying again", lease.attempts),
        }
    }
}

/// What a thing shows about an operation on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// It was not done, and cannot be any more: something else came first.
    Overtaken,
    Open,
}

/// Sends the request; where the answer cannot tell, reads the thing and judges by what it shows.
pub async fn carry_out<S>(
    attempt: &Attempt,
    send: impl Future<Output = Result<Answer<S>, ProviderError>> + Send,
    read: impl Future<Output = Result<Option<S>, ProviderError>> + Send,
    judge: impl Fn(&S) -> Verdict + Send,
) -> Changed<S> {
    if attempt.is_too_late() {
        return Changed::open(None, too_late());
    }
    if attempt.age_now() > KEY_LIFETIME {
        return match read.await {
            Ok(seen) => judged(seen, judge, unreadable("the key is too old to be sent again, and it was not done")),
            Err(error) => Changed::open(None, still_unknown(error)),
        };
    }
    match send.await {
        // An earlier try may have been answered with this: then it is as old as that.
        Ok(Answer { request_id, .. }) if attempt.tries > 1 => match read.await {
            Ok(seen) => Changed { seen, ..Changed::answered(request_id) },
            Err(_) => Changed::answered(request_id),
        },
        Ok(Answer { value, request_id }) => Changed { seen: Some(value), ..Changed::answered(request_id) },
        Err(ProviderError::Rejected { failure, request_id, .. }) => match read.await {
            // Somebody else did it, or we did and were not told.
            Ok(Some(seen)) if judge(&seen) == Verdict::Done => {
                Changed { seen: Some(seen), ..Changed::answered(request_id) }
            }
            Ok(seen) => Changed {
                seen,
                operation: OperationOutcome::Refused(failure),
                attempt: AttemptOutcome::Rejected,
                request_id,
                error: None,
            },
            Err(error) => Changed::open(None, still_unknown(error)),
        },
        Err(error @ ProviderError::Unknown { look_up: true, .. }) => match read.await {
            Ok(seen) => judged(seen, judge, error),
            Err(_) => Changed::open(None, error),
        },
        Err(error) => Changed::open(None, error),
    }
}

/// By what the thing shows, where the answer to the request was of no use.
fn judged<S>(seen: Option<S>, judge: impl Fn(&S) -> Verdict, error: ProviderError) -> Changed<S> {
    match seen.map(|seen| (judge(&seen), seen)) {
        Some((Verdict::Done, seen)) => Changed { seen: Some(seen), ..Changed::answered(None) },
        Some((Verdict::Overtaken, seen)) => Changed {
            seen: Some(seen),
            operation: OperationOutcome::Refused(Failure {
                code: "overtaken".to_owned(),
                decline_code: None,
                message: "Something else came first.".to_owned(),
            }),
            attempt: AttemptOutcome::Rejected,
            request_id: None,
            error: None,
        },
        Some((Verdict::Open, seen)) => Changed::key_spent(seen, error),
        None => Changed::open(None, error),
    }
}

/// Why nothing can be changed of what was never made.
pub fn not_made(what: &str) -> Failure {
    let message = format!("The {what} was refused, or given up, before it was made.");
    Failure { code: format!("{what}_not_made"), decline_code: None, message }
}

/// How long an operation waits for its thing to exist: the longer it has waited, the longer.
pub fn patience(requested_at: DateTime<Utc>) -> Duration {
    let waited = Utc::now().signed_duration_since(requested_at).to_std().unwrap_or_default();
    (waited / 4).clamp(Duration::from_millis(500), Duration::from_secs(30))
}
