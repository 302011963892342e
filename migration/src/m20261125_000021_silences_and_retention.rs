//! How often in a row a job's worker went silent: a job that ends processes is put aside after a few. And what finds the
//! old rows that may be forgotten.

crate::sql_migration! {
    up: r#"
ALTER TABLE jobs ADD COLUMN silences integer NOT NULL DEFAULT 0;
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE state IN ('done', 'discarded');
CREATE INDEX provider_events_done_by_time ON provider_events (received_at) WHERE outcome IN ('applied', 'ignored');
"#,
    down: r#"
DROP INDEX provider_events_done_by_time;
DROP INDEX jobs_by_end;
ALTER TABLE jobs DROP COLUMN silences;
"#,
}
