//! The trace in which a payment was asked for: what settles it later, from outside, is found from there.

crate::sql_migration! {
    up: r#"
ALTER TABLE payments ADD COLUMN trace_parent text;
"#,
    down: r#"
ALTER TABLE payments DROP COLUMN trace_parent;
"#,
}
