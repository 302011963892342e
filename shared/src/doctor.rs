//! `doctor`: what is wrong with a set-up, and how to mend it. What api and worker both need is looked at here.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::sqlx::{self, Connection as _, PgConnection};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use secrecy::ExposeSecret as _;

use crate::config::Common;
use crate::providers::chain;
use crate::queue;
use crate::store::{self, SCHEMA};

/// Clocks may differ by so much.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(2);
const ANSWER_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// It works; somebody should know.
    Doubtful,
    /// It does not work, or loses what it should not.
    Wrong,
}

/// What was found, in the order it was looked at.
#[derive(Debug, Default)]
pub struct Report {
    findings: Vec<(Verdict, String, String)>,
}

impl Report {
    pub fn good(&mut self, what: &str, seen: impl Into<String>) {
        self.findings.push((Verdict::Good, what.to_owned(), seen.into()));
    }

    /// `seen` says what is doubtful, and what to do.
    pub fn doubtful(&mut self, what: &str, seen: impl Into<String>) {
        self.findings.push((Verdict::Doubtful, what.to_owned(), seen.into()));
    }

    /// `seen` says what is wrong, and what to do.
    pub fn wrong(&mut self, what: &str, seen: impl Into<String>) {
        self.findings.push((Verdict::Wrong, what.to_owned(), seen.into()));
    }

    /// Whether nothing is wrong, and a line for each finding.
    #[must_use]
    pub fn text(&self) -> (bool, String) {
        let line = |(verdict, what, seen): &(Verdict, String, String)| {
            let word = match verdict {
                Verdict::Good => "good",
                Verdict::Doubtful => "DOUBTFUL",
                Verdict::Wrong => "WRONG",
            };
            format!("{word:<9} {what}: {seen}\n")
        };
        let wrong = self.findings.iter().any(|(verdict, ..)| *verdict == Verdict::Wrong);
        (!wrong, self.findings.iter().map(line).collect())
    }

    /// Prints it; fails where something is wrong.
    #[expect(clippy::print_stdout, reason = "a command's answer")]
    #[must_use]
    pub fn print(&self) -> ExitCode {
        let (well, text) = self.text();
        print!("{text}");
        if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Postgres and Redis.
pub async fn look_at_servers(report: &mut Report, config: &Common, program: &str) {
    match tokio::time::timeout(ANSWER_MAX, postgres(report, config, program)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => report.wrong("Postgres", format!("{}; look at DATABASE_URL", chain(&error))),
        Err(_) => report.wrong("Postgres", "no answer; look at DATABASE_URL and at the network between"),
    }
    match tokio::time::timeout(ANSWER_MAX, redis(report, config)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => report.wrong("Redis", format!("{error}; look at REDIS_URL")),
        Err(_) => report.wrong("Redis", "no answer; look at REDIS_URL and at the network between"),
    }
}

/// What Postgres itself says, where it does.
fn said(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| chain(error), |refused| refused.message().to_owned())
}

async fn show(db: &DatabaseConnection, setting: &str) -> Result<String, DbErr> {
    let row = db.query_one_raw(store::statement(&format!("SHOW {setting}"))).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(setting.to_owned()))?.try_get_by_index(0)
}

async fn postgres(report: &mut Report, config: &Common, program: &str) -> Result<(), DbErr> {
    // Without the pool, which would try again and forget why.
    if let Err(error) = PgConnection::connect(config.database_url.expose_secret()).await {
        report.wrong("Postgres", format!("{}; look at DATABASE_URL", said(&error)));
        return Ok(());
    }
    let db = store::connect(config.database_url.expose_secret(), program, 1).await?;
    let (version, number) = (show(&db, "server_version").await?, show(&db, "server_version_num").await?);
    match number.parse::<u32>() {
        Ok(number) if number < 140_000 => report.wrong("Postgres", format!("{version}; 14 or newer is needed")),
        _ => report.good("Postgres", version),
    }
    let asked = Instant::now();
    let row = db.query_one_raw(store::statement("SELECT clock_timestamp(), pg_is_in_recovery()")).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the time".to_owned()))?;
    let now = Utc::now() - TimeDelta::from_std(asked.elapsed() / 2).unwrap_or_default();
    let skew = row.try_get_by_index::<DateTime<Utc>>(0)? - now;
    if row.try_get_by_index(1)? {
        report.wrong("Postgres", "it is a replica that takes no writes; DATABASE_URL must name the primary");
    }
    if skew.abs() > SKEW_MAX {
        let seconds = skew.num_seconds();
        report.doubtful("clock", format!("Postgres' is {seconds} s ahead of this host's; have both follow NTP"));
    } else {
        report.good("clock", "as Postgres'");
    }
    for (setting, why) in
        [("fsync", "what was accepted"), ("synchronous_commit", "the last moments of what was accepted")]
    {
        if show(&db, setting).await? == "off" {
            report.wrong("durability", format!("{setting} is off: a crash of Postgres loses {why}; turn it on"));
        }
    }
    connections(report, &db, config).await?;
    migrations(report, &db).await
}

async fn connections(report: &mut Report, db: &DatabaseConnection, config: &Common) -> Result<(), DbErr> {
    let max = show(db, "max_connections").await?;
    let ours = config.database_connections_max;
    match max.parse::<u32>() {
        Ok(max) if max < ours.saturating_mul(2) => report.doubtful(
            "connections",
            format!("each process may open {ours} and Postgres takes {max}: raise its max_connections, lower DATABASE_CONNECTIONS_MAX or put a pooler between"),
        ),
        _ => report.good("connections", format!("each process may open {ours}; Postgres takes {max}")),
    }
    Ok(())
}

async fn migrations(report: &mut Report, db: &DatabaseConnection) -> Result<(), DbErr> {
    let there = "SELECT to_regclass('seaql_migrations') IS NOT NULL";
    let row = db.query_one_raw(store::statement(there)).await?;
    if !row.is_some_and(|row| row.try_get_by_index(0).unwrap_or(false)) {
        report.wrong("migrations", "the database is empty; run payment-migrate");
        return Ok(());
    }
    let row = db.query_one_raw(store::statement("SELECT max(version) FROM seaql_migrations")).await?;
    let newest: Option<String> = row.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
    match newest.as_deref() {
        Some(SCHEMA) => report.good("migrations", SCHEMA),
        Some(newer) if newer > SCHEMA => report.good("migrations", format!("{newer}, of a newer release")),
        older => {
            let older = older.unwrap_or("none");
            report.wrong(
                "migrations",
                format!("the newest is {older}, this release needs {SCHEMA}; run payment-migrate"),
            );
        }
    }
    Ok(())
}

async fn redis(report: &mut Report, config: &Common) -> Result<(), redis::RedisError> {
    let mut connection = queue::connect(config.redis_url.expose_secret()).await?;
    let info: String = redis::cmd("INFO").query_async(&mut connection).await?;
    let value = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().trim().to_owned()
    };
    report.good("Redis", value("redis_version"));
    if value("redis_mode") == "cluster" {
        report.wrong("Redis", "a cluster: the queue's scripts use keys of several slots; use one server");
    }
    if value("aof_enabled") == "0" {
        report.doubtful(
            "Redis",
            "appendonly is off: after its restart jobs are rung again from Postgres, within ten seconds; `appendonly yes` spares that",
        );
    }
    if !matches!(value("maxmemory_policy").as_str(), "noeviction" | "") {
        let policy = value("maxmemory_policy");
        report.doubtful(
            "Redis",
            format!(
                "maxmemory-policy is {policy}: full, it forgets ids of jobs, which are then late; set it to noeviction"
            ),
        );
    }
    Ok(())
}
