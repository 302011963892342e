//! What only administrators may see and do.

pub mod actions;
pub mod disputes;
pub mod jobs;
pub mod provider_events;
pub mod queues;

pub use actions::AdminActionsApi;
pub use disputes::AdminDisputesApi;
pub use jobs::AdminJobsApi;
pub use provider_events::ProviderEventsApi;
pub use queues::AdminQueuesApi;
