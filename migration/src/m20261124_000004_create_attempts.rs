//! Attempts: one row for each thing we want a provider to do. Its id is the key the provider sees, on every try.

crate::sql_migration! {
    up: r#"
CREATE TABLE attempts (
    id                  uuid PRIMARY KEY,
    job_id              uuid NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    operation           text NOT NULL,
    tries               integer NOT NULL DEFAULT 1,
    outcome             text NOT NULL DEFAULT 'open' CHECK (outcome IN ('open', 'done', 'not_sent', 'unknown', 'rejected')),
    provider_request_id text,
    last_error          text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    UNIQUE (job_id, operation)
);
"#,
    down: "DROP TABLE attempts;",
}
