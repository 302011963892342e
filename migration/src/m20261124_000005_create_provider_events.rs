//! The inbox: every signed event a provider sent us, as its raw bytes, once.

crate::sql_migration! {
    up: r#"
CREATE TABLE provider_events (
    id                uuid PRIMARY KEY,
    provider          text NOT NULL CHECK (provider IN ('stripe')),
    -- The provider's own id; 'sha256:<hex>' of the body where the body has none that we can read.
    provider_event_id text NOT NULL,
    body              bytea NOT NULL,
    -- What became of it; NULL until a worker has dealt with it.
    outcome           text CHECK (outcome IN ('applied', 'ignored', 'unreadable')),
    detail            text,
    received_at       timestamptz NOT NULL DEFAULT now(),
    processed_at      timestamptz,
    UNIQUE (provider, provider_event_id)
);
"#,
    down: "DROP TABLE provider_events;",
}
