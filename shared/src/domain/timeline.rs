//! The timeline: every step of a payment, with its cause.

use chrono::{DateTime, Utc};

names! {
    /// What kind of thing caused a step.
    Actor {
        /// A request of the user.
        Api = "api",
        /// A job that called the provider.
        Job = "job",
        /// An event that the provider sent us.
        Webhook = "webhook",
        /// A request of an administrator.
        Admin = "admin",
    }
}

/// A step about to be written.
#[derive(Debug, Clone)]
pub struct Step {
    pub actor: Actor,
    /// The request id, the job's kind, or the provider's event id.
    pub cause: String,
    pub detail: String,
}

/// A step as it stands in the timeline.
#[derive(Debug, Clone)]
pub struct TimelineEntry {
    pub status: String,
    pub actor: String,
    pub cause: String,
    pub detail: String,
    pub created_at: DateTime<Utc>,
}
