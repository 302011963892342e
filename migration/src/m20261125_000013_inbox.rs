//! The inbox: what an event is, for those who look through them; and the provider's object that decided that it was
//! not ours, so that the event is taken up again if it turns out to be.

crate::sql_migration! {
    up: r#"
ALTER TABLE provider_events
    ADD COLUMN event_type  text,
    ADD COLUMN api_version text,
    ADD COLUMN object_id   text;
CREATE INDEX provider_events_not_ours ON provider_events (object_id) WHERE outcome = 'ignored' AND object_id IS NOT NULL;
"#,
    down: r#"
DROP INDEX provider_events_not_ours;
ALTER TABLE provider_events DROP COLUMN event_type, DROP COLUMN api_version, DROP COLUMN object_id;
"#,
}
