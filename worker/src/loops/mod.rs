//! What runs beside the jobs, in every worker. Each is safe to run many times over.

pub mod keep_sweeping;
pub mod reap;
pub mod relay;
pub mod renew_leases;
pub mod renew_swish_certificate;
pub mod sweep_redis;
