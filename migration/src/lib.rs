//! The schema, one change a file, in order. A released migration is never edited: the next one changes it.

use sea_orm_migration::prelude::{MigrationTrait, MigratorTrait};

mod m20261124_000001_create_customers;
mod m20261124_000002_create_payments;
mod m20261124_000003_create_jobs;
mod m20261124_000004_create_attempts;
mod m20261124_000005_create_provider_events;
mod m20261125_000006_customers_at_stripe;
mod m20261125_000007_create_subscriptions;
mod m20261125_000008_payments_in_full;
mod m20261125_000009_create_refunds;
mod m20261125_000010_create_disputes;
mod m20261125_000011_create_saved_payment_methods;
mod m20261125_000012_attempts_pin_the_customer;
mod m20261125_000013_inbox;
mod m20261125_000014_customers_removed_metadata;
mod m20261125_000015_swish;
mod m20261125_000016_create_idempotency_keys;
mod m20261125_000017_sweeps;
mod m20261125_000018_dead_letters;
mod m20261125_000019_refusals_without_rows;
mod m20261125_000020_traces;
mod m20261125_000021_silences_and_retention;
mod m20261125_000022_lanes_by_provider;
mod m20261125_000023_metrics;
mod m20261125_000024_traces_of_payments;
mod m20261128_000025_settled_attempts;
mod m20261128_000026_bodies_by_lz4;
mod m20261129_000027_lock_provider_objects;

pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261124_000001_create_customers::Migration),
            Box::new(m20261124_000002_create_payments::Migration),
            Box::new(m20261124_000003_create_jobs::Migration),
            Box::new(m20261124_000004_create_attempts::Migration),
            Box::new(m20261124_000005_create_provider_events::Migration),
            Box::new(m20261125_000006_customers_at_stripe::Migration),
            Box::new(m20261125_000007_create_subscriptions::Migration),
            Box::new(m20261125_000008_payments_in_full::Migration),
            Box::new(m20261125_000009_create_refunds::Migration),
            Box::new(m20261125_000010_create_disputes::Migration),
            Box::new(m20261125_000011_create_saved_payment_methods::Migration),
            Box::new(m20261125_000012_attempts_pin_the_customer::Migration),
            Box::new(m20261125_000013_inbox::Migration),
            Box::new(m20261125_000014_customers_removed_metadata::Migration),
            Box::new(m20261125_000015_swish::Migration),
            Box::new(m20261125_000016_create_idempotency_keys::Migration),
            Box::new(m20261125_000017_sweeps::Migration),
            Box::new(m20261125_000018_dead_letters::Migration),
            Box::new(m20261125_000019_refusals_without_rows::Migration),
            Box::new(m20261125_000020_traces::Migration),
            Box::new(m20261125_000021_silences_and_retention::Migration),
            Box::new(m20261125_000022_lanes_by_provider::Migration),
            Box::new(m20261125_000023_metrics::Migration),
            Box::new(m20261125_000024_traces_of_payments::Migration),
            Box::new(m20261128_000025_settled_attempts::Migration),
            Box::new(m20261128_000026_bodies_by_lz4::Migration),
            Box::new(m20261129_000027_lock_provider_objects::Migration),
        ]
    }
}

/// Declares `Migration` from two SQL texts: what brings the change in, and what takes it out again.
macro_rules! sql_migration {
    (up: $up:literal, down: $down:literal $(,)?) => {
        #[derive(sea_orm_migration::prelude::DeriveMigrationName)]
        pub(crate) struct Migration;

        #[sea_orm_migration::async_trait::async_trait]
        impl sea_orm_migration::prelude::MigrationTrait for Migration {
            async fn up(
                &self,
                manager: &sea_orm_migration::prelude::SchemaManager,
            ) -> Result<(), sea_orm_migration::prelude::DbErr> {
                use sea_orm_migration::sea_orm::ConnectionTrait;
                manager.get_connection().execute_unprepared($up).await.map(drop)
            }

            async fn down(
                &self,
                manager: &sea_orm_migration::prelude::SchemaManager,
            ) -> Result<(), sea_orm_migration::prelude::DbErr> {
                use sea_orm_migration::sea_orm::ConnectionTrait;
                manager.get_connection().execute_unprepared($down).await.map(drop)
            }
        }
    };
}
use sql_migration;
