//! What only administrators may see and do.

pub mod disputes;
pub mod provider_events;

pub use disputes::AdminDisputesApi;
pub use provider_events::ProviderEventsApi;
