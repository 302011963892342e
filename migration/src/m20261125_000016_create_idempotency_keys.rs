//! What clients' `Idempotency-Key`s have done: claimed, and answered, in the transaction of the effect.

crate::sql_migration! {
    up: r#"
CREATE TABLE idempotency_keys (
    user_id     text        NOT NULL,
    method      text        NOT NULL,
    path        text        NOT NULL,
    key         text        NOT NULL,
    -- SHA-256 of the body.
    fingerprint bytea       NOT NULL,
    -- The answer. NULL only inside the transaction that claims the key.
    status      smallint,
    location    text,
    body        text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key, method, path)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
"#,
    down: "DROP TABLE idempotency_keys;",
}
