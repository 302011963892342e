//! A database for each test, cloned from a migrated template.

use migration::Migrator;
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};
use sea_orm_migration::MigratorTrait as _;
use tokio::sync::OnceCell;
use url::Url;
use uuid::Uuid;

const TEMPLATE: &str = "payments_template";

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make test`, or `target/debug/payment-stack with cargo test …`")
    })
}

#[must_use]
pub fn redis_url() -> String {
    setting("TEST_REDIS_URL")
}

/// The URL of another database on the server of the tests.
fn url_of(database: &str) -> String {
    let mut url: Url = setting("TEST_DATABASE_URL").parse().expect("TEST_DATABASE_URL is a URL");
    url.set_path(database);
    url.into()
}

async fn one_connection(url: String) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.expect("Postgres")
}

/// A new, empty, migrated database: its URL.
///
/// # Panics
/// Postgres is not there.
pub async fn fresh() -> String {
    static MADE: OnceCell<()> = OnceCell::const_new();
    MADE.get_or_init(make_template).await;
    let name = format!("test_{}", Uuid::new_v4().simple());
    let server = one_connection(url_of("postgres")).await;
    server.execute_unprepared(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await.expect("a database");
    server.close().await.expect("closed");
    url_of(&name)
}

async fn make_template() {
    let server = one_connection(url_of("postgres")).await;
    server.execute_unprepared(&format!("CREATE DATABASE {TEMPLATE}")).await.expect("the template");
    server.close().await.expect("closed");
    let template = one_connection(url_of(TEMPLATE)).await;
    // Up, down and up again: each change can be taken back.
    Migrator::up(&template, None).await.expect("migrations up");
    Migrator::down(&template, None).await.expect("migrations down");
    Migrator::up(&template, None).await.expect("migrations up again");
    template.close().await.expect("closed");
}
