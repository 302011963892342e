//! Stripe merges metadata: what was removed with us must be cleared there by its key.

crate::sql_migration! {
    up: "ALTER TABLE customers ADD COLUMN removed_metadata text[] NOT NULL DEFAULT '{}';",
    down: "ALTER TABLE customers DROP COLUMN removed_metadata;",
}
