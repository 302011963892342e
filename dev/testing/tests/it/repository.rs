//! Rules of the repository that a program can check.

use std::path::{Path, PathBuf};
use std::process::Command;

use migration::Migrator;
use sea_orm_migration::MigratorTrait as _;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the root").to_owned()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn the_openapi_document_is_current() {
    let path = root().join("api/openapi.json");
    let current = api::openapi();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &current).expect("written");
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == current, "api/openapi.json is stale: run `make openapi`");
}

#[test]
fn the_list_of_metrics_is_current() {
    let mut described = api::metrics::Metrics::new().registry.described();
    described.extend(worker::metrics::Metrics::new().registry.described());
    described.sort();
    described.dedup();
    let (path, current) = (root().join("grafana/metrics.txt"), described.join("\n") + "\n");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &current).expect("written");
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == current, "grafana/metrics.txt is stale: run `make openapi`");
}

#[test]
fn doctor_asks_for_the_newest_migration() {
    let migrations = Migrator::migrations();
    assert_eq!(migrations.last().expect("some").name(), shared::store::SCHEMA);
}

/// What the files of a directory may not name.
#[test]
fn the_directions_of_dependencies_hold() {
    let rules: [(&str, &[&str]); 15] = [
        (
            "shared/src/domain",
            &[
                "sea_orm",
                "reqwest",
                "redis::",
                "tokio",
                "crate::store",
                "crate::providers",
                "crate::entities",
                "crate::queue",
            ],
        ),
        ("shared/src/entities", &["crate::store", "crate::providers", "crate::queue"]),
        ("shared/src/store", &["crate::providers", "crate::queue", "reqwest", "redis::"]),
        ("shared/src/providers", &["crate::store", "crate::queue", "sea_orm", "redis::"]),
        ("shared/src/queue", &["crate::providers"]),
        ("api/src", &["apalis", "::providers::stripe::Stripe", "worker::"]),
        // A write that does not go through `idempotency::Write` would be done twice.
        ("api/src/payments", &["db.begin()"]),
        ("api/src/refunds", &["db.begin()"]),
        ("api/src/subscriptions", &["db.begin()"]),
        ("api/src/customers", &["db.begin()"]),
        ("api/src/admin", &["db.begin()"]),
        ("worker/src", &["api::"]),
        ("worker/src/jobs", &["apalis", "redis::", "poem"]),
        ("worker/src/loops", &["apalis", "crate::jobs", "poem"]),
        ("migration/src", &["shared::"]),
    ];
    for (dir, forbidden) in rules {
        for file in rust_files(&root().join(dir)) {
            let text = std::fs::read_to_string(&file).expect("a file");
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for name in forbidden {
                    assert!(!line.contains(name), "{} names {name}: {line}", file.display());
                }
            }
        }
    }
}

/// The tables of transitions as ARCHITECTURE.md shows them.
fn state_machines() -> String {
    use shared::domain::transitions::Transitions;
    fn rows<S: Transitions>(resource: &str, name: impl Fn(S) -> &'static str) -> String {
        let mut text = format!("**{resource}**\n\n| From | may become |\n|---|---|\n");
        for (from, to) in S::TABLE {
            let followers: Vec<&str> = to.iter().map(|status| name(*status)).collect();
            let followers = if followers.is_empty() { "nothing: final".to_owned() } else { followers.join(", ") };
            text.push_str(&format!("| {} | {followers} |\n", name(*from)));
        }
        text.push('\n');
        text
    }
    use shared::domain::{dispute, payment, refund, saved_payment_method, setup, subscription};
    [
        rows("Payment", payment::PaymentStatus::as_str),
        rows("Refund", refund::RefundStatus::as_str),
        rows("Subscription", subscription::SubscriptionStatus::as_str),
        rows("Dispute", dispute::DisputeStatus::as_str),
        rows("Setup", setup::SetupStatus::as_str),
        rows("Saved payment method", saved_payment_method::SavedPaymentMethodStatus::as_str),
    ]
    .concat()
}

#[test]
fn the_state_machines_in_the_architecture_are_current() {
    const BEGIN: &str = "<!-- state machines: `make openapi` renews them -->\n\n";
    const END: &str = "<!-- end of the state machines -->";
    let path = root().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).expect("ARCHITECTURE.md");
    let (before, rest) = text.split_once(BEGIN).expect("where they begin");
    let (shown, after) = rest.split_once(END).expect("where they end");
    let current = state_machines();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{current}{END}{after}")).expect("written");
    } else {
        assert!(shown == current, "ARCHITECTURE.md is stale: run `make openapi`");
    }
}

#[test]
fn mutations_replace_what_is_there() {
    let checked = Command::new("python3").arg(root().join("dev/faults/mutations.py")).arg("--check").output();
    let checked = checked.expect("python3");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn files_stay_small() {
    for dir in ["api", "worker", "shared", "migration", "dev"] {
        for file in rust_files(&root().join(dir)) {
            let lines = std::fs::read_to_string(&file).expect("a file").lines().count();
            assert!(lines <= 450, "{} has {lines} lines: it asks for a better cut", file.display());
        }
    }
}

/// The release before runs while a migration is done, and for a while after it.
#[test]
fn migrations_take_nothing_away_before_a_release_has_stopped_using_it() {
    // What a release may still use, or cannot write yet.
    let narrowing = ["DROP TABLE", "DROP COLUMN", "RENAME COLUMN", "RENAME TO", "SET NOT NULL", " TYPE "];
    let mut looked_at = 0;
    for path in rust_files(&root().join("migration/src")) {
        let text = std::fs::read_to_string(&path).expect("a file");
        let Some((up, _)) = text.split_once("    down: ") else { continue };
        looked_at += 1;
        // Whoever takes something away says so, and which release used it last.
        if up.lines().any(|line| line.starts_with("//! Contracts: ")) {
            continue;
        }
        let found: Vec<&str> = narrowing.into_iter().filter(|statement| up.contains(statement)).collect();
        assert!(found.is_empty(), "{}: {found:?}: add first, take away a release later", path.display());
    }
    assert!(looked_at >= 22, "{looked_at}");
}
