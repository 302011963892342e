//! What every job is given, and the leases that this process holds.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sea_orm::DatabaseConnection;
use shared::domain::ids::JobId;
use shared::providers::stripe::Stripe;
use shared::providers::swish::Swish;
use shared::providers::{CallError, ProviderError};
use shared::queue::ringer::Ringer;
use uuid::Uuid;

use crate::metrics::Metrics;

pub struct Context {
    pub db: DatabaseConnection,
    pub stripe: Stripe,
    swish: Option<Swish>,
    pub metrics: Metrics,
    pub ringer: Ringer,
    /// The name of this process in `jobs.leased_by`; new at every start.
    pub worker: String,
    held: Mutex<HashMap<JobId, i32>>,
}

impl Context {
    #[must_use]
    pub fn new(db: DatabaseConnection, stripe: Stripe, swish: Option<Swish>, ringer: Ringer, metrics: Metrics) -> Self {
        let worker = format!("{}-{}", std::process::id(), Uuid::new_v4().simple());
        if let Some(swish) = &swish {
            metrics.swish_certificate(swish.certificate().not_after);
        }
        Self { db, stripe, swish, metrics, ringer, worker, held: Mutex::default() }
    }

    /// # Errors
    /// This worker has no Swish certificate: another one may.
    pub fn swish(&self) -> Result<&Swish, ProviderError> {
        self.swish.as_ref().ok_or_else(|| ProviderError::NotSent {
            source: CallError::NotConfigured("Swish (SWISH_CERTIFICATE)"),
            retry_after: None,
        })
    }

    /// Counts a lease as held, to be renewed, until the guard is dropped: also when the job panics.
    pub fn hold(&self, job_id: JobId, attempts: i32) -> Held<'_> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(job_id, attempts);
        Held { context: self, job_id, attempts }
    }

    /// The leases held now, each with its fencing token.
    #[must_use]
    pub fn held(&self) -> Vec<(JobId, i32)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(id, n)| (*id, *n)).collect()
    }
}

pub struct Held<'a> {
    context: &'a Context,
    job_id: JobId,
    attempts: i32,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut held = self.context.held.lock().unwrap_or_else(PoisonError::into_inner);
        // A later lease of the same job, taken by this same process, is not ours to drop.
        if held.get(&self.job_id) == Some(&self.attempts) {
            held.remove(&self.job_id);
        }
    }
}
