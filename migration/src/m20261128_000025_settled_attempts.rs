//! Attempts that an administrator has given up: what is found of them still counts, but nothing is sent again.

crate::sql_migration! {
    up: r#"
ALTER TABLE attempts ADD COLUMN given_up_at timestamptz;
"#,
    down: r#"
ALTER TABLE attempts DROP COLUMN given_up_at;
"#,
}
