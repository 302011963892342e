//! Reading Stripe's event feed, for webhooks that never came: how far it was read, and which events it found.

crate::sql_migration! {
    up: r#"
CREATE TABLE event_sweeps (
    provider    text        PRIMARY KEY CHECK (provider IN ('stripe')),
    swept_until timestamptz NOT NULL
);
ALTER TABLE provider_events ADD COLUMN found_by_sweep boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX jobs_one_sweep ON jobs (kind)
    WHERE kind = 'sweep_stripe_events' AND state IN ('queued', 'running');
"#,
    down: r#"
DROP INDEX jobs_one_sweep;
ALTER TABLE provider_events DROP COLUMN found_by_sweep;
DROP TABLE event_sweeps;
"#,
}
