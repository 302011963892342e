//! What runs beside the jobs, in every worker. Each is safe to run many times over.

pub mod relay;
pub mod renew_leases;
pub mod sweep_redis;
