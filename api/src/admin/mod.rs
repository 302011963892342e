//! What only administrators may see and do.

pub mod actions;
pub mod disputes;
pub mod jobs;
pub mod payments;
pub mod provider_events;
pub mod queues;
pub mod unknown_outcomes;

pub use actions::AdminActionsApi;
pub use disputes::AdminDisputesApi;
pub use jobs::AdminJobsApi;
pub use payments::AdminPaymentsApi;
pub use provider_events::ProviderEventsApi;
pub use queues::AdminQueuesApi;
pub use unknown_outcomes::UnknownOutcomesApi;
