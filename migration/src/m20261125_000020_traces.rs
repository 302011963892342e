//! A job keeps the trace of what made it (W3C `traceparent`): a request can be followed to the provider and back.

crate::sql_migration! {
    up: "ALTER TABLE jobs ADD COLUMN trace_parent text;",
    down: "ALTER TABLE jobs DROP COLUMN trace_parent;",
}
