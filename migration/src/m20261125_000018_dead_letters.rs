//! What an operator needs of jobs: each error they met, what administrators did and why, lanes that are paused, and an
//! end for a job that is given up.

crate::sql_migration! {
    up: r#"
CREATE TABLE job_errors (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id     uuid        NOT NULL REFERENCES jobs ON DELETE CASCADE,
    -- The lease that met it.
    attempt    integer     NOT NULL,
    error      text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX job_errors_by_job ON job_errors (job_id, id);
CREATE INDEX jobs_dead ON jobs (finished_at) WHERE state = 'dead';
ALTER TABLE jobs DROP CONSTRAINT jobs_state_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_state_check CHECK (state IN ('queued', 'running', 'done', 'dead', 'discarded'));
ALTER TABLE jobs DROP CONSTRAINT jobs_check1;
ALTER TABLE jobs ADD CONSTRAINT jobs_finished_check
    CHECK ((state IN ('done', 'dead', 'discarded')) = (finished_at IS NOT NULL));
CREATE TABLE admin_actions (
    id         uuid        PRIMARY KEY,
    admin_id   text        NOT NULL,
    action     text        NOT NULL,
    -- What it was done to: the id of a job, the name of a lane.
    subject    text        NOT NULL,
    reason     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE paused_lanes (
    lane       text        PRIMARY KEY,
    paused_by  text        NOT NULL,
    reason     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
"#,
    down: r#"
DROP TABLE paused_lanes;
DROP TABLE admin_actions;
DELETE FROM jobs WHERE state = 'discarded';
ALTER TABLE jobs DROP CONSTRAINT jobs_finished_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_check1 CHECK ((state IN ('done', 'dead')) = (finished_at IS NOT NULL));
ALTER TABLE jobs DROP CONSTRAINT jobs_state_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_state_check CHECK (state IN ('queued', 'running', 'done', 'dead'));
DROP INDEX jobs_dead;
DROP TABLE job_errors;
"#,
}
