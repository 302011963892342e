//! Jobs: the truth about every piece of work. Redis only carries their ids.

crate::sql_migration! {
    up: r#"
CREATE TABLE jobs (
    id           uuid PRIMARY KEY,
    lane         text NOT NULL,
    kind         text NOT NULL,
    subject_id   uuid NOT NULL,
    state        text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'dead')),
    -- Also the fencing token: every take of the lease adds one, every later UPDATE checks it.
    attempts     integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL,
    run_at       timestamptz NOT NULL DEFAULT now(),
    rung_until   timestamptz,
    leased_until timestamptz,
    leased_by    text,
    last_error   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    CHECK ((state = 'running') = (leased_until IS NOT NULL)),
    CHECK ((state IN ('done', 'dead')) = (finished_at IS NOT NULL))
);
-- What the relay reads, oldest first.
CREATE INDEX jobs_queued ON jobs (lane, run_at) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (lane, leased_until) WHERE state = 'running';
CREATE INDEX jobs_by_subject ON jobs (subject_id);
"#,
    down: "DROP TABLE jobs;",
}
