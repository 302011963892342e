//! How often in a row a job's worker went silent: a job that ends processes is put aside after a few. And what finds the
//! old rows that may be forgotten, at next to no cost for those who write.

crate::sql_migration! {
    up: r#"
ALTER TABLE jobs ADD COLUMN silences integer NOT NULL DEFAULT 0;
CREATE INDEX jobs_by_end ON jobs USING brin (finished_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX provider_events_by_time ON provider_events USING brin (received_at)
    WITH (pages_per_range = 32, autosummarize = on);
"#,
    down: r#"
DROP INDEX provider_events_by_time;
DROP INDEX jobs_by_end;
ALTER TABLE jobs DROP COLUMN silences;
"#,
}
