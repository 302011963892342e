//! `payment-migrate`: brings the database that `DATABASE_URL` names up to date.
//!
//! Safe to run at any time and many times at once: Postgres' advisory lock lets one run at a time.

use anyhow::Context as _;
use clap::Parser;
use migration::Migrator;
use sea_orm_migration::prelude::MigratorTrait as _;
use sea_orm_migration::sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbErr};

/// Any number, the same in every release.
const LOCK: i64 = 7_310_579_001;

#[derive(Parser)]
#[command(name = "payment-migrate", version, about = "Brings the database up to date")]
struct Options {
    /// Postgres, for example postgres://user:password@host:5432/payments
    #[arg(long, env, hide_env_values = true)]
    database_url: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // A second provider in the dependency graph must never make rustls guess.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let url = Options::parse().database_url;
    // One connection: the advisory lock belongs to it.
    let mut options = ConnectOptions::new(url);
    options.max_connections(1);
    let db = Database::connect(options).await.context("cannot connect to Postgres")?;
    db.execute_unprepared(&format!("SELECT pg_advisory_lock({LOCK})")).await?;
    if let Some(newer) = newer(&db).await? {
        // A release that is rolled back to finds this: it works on the newer schema, and takes nothing away from it.
        println!("nothing to do: the database is of a newer release ({newer})");
        return Ok(());
    }
    let pending = Migrator::get_pending_migrations(&db).await?.len();
    Migrator::up(&db, None).await.context("a migration failed; the ones before it are in")?;
    println!("{pending} migration(s) applied");
    Ok(())
}

/// A migration that was applied and is not of this release.
async fn newer(db: &DatabaseConnection) -> Result<Option<String>, DbErr> {
    Migrator::install(db).await?;
    let applied = Migrator::get_migration_models(db).await?;
    let known: Vec<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    Ok(applied.into_iter().map(|migration| migration.version).find(|version| !known.contains(version)))
}
