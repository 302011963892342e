//! Payments and their timelines. `version` is what concurrent writers compare and swap.

crate::sql_migration! {
    up: r#"
CREATE TABLE payments (
    id                    uuid PRIMARY KEY,
    user_id               text NOT NULL,
    customer_id           uuid NOT NULL REFERENCES customers (id),
    provider              text NOT NULL CHECK (provider IN ('stripe')),
    provider_payment_id   text,
    status                text NOT NULL CHECK (status IN
        ('pending', 'processing', 'requires_action', 'requires_capture', 'succeeded', 'failed', 'canceled')),
    retryable             boolean NOT NULL DEFAULT false CHECK (NOT retryable OR status = 'failed'),
    amount                bigint NOT NULL CHECK (amount > 0),
    currency              text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    amount_captured       bigint NOT NULL DEFAULT 0 CHECK (amount_captured BETWEEN 0 AND amount),
    amount_refunded       bigint NOT NULL DEFAULT 0 CHECK (amount_refunded BETWEEN 0 AND amount_captured),
    capture_method        text NOT NULL CHECK (capture_method IN ('automatic', 'manual')),
    description           text,
    statement_descriptor  text,
    payment_method        text,
    return_url            text,
    client_secret         text,
    next_action           jsonb,
    failure               jsonb,
    outcome_unknown_since timestamptz,
    metadata              jsonb NOT NULL,
    version               integer NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    completed_at          timestamptz,
    expires_at            timestamptz
);
CREATE UNIQUE INDEX payments_provider_payment_id ON payments (provider, provider_payment_id);
-- Newest first, per owner: ids are UUID v7, so their order is the order of creation.
CREATE INDEX payments_by_user ON payments (user_id, id DESC);
CREATE INDEX payments_outcome_unknown ON payments (outcome_unknown_since) WHERE outcome_unknown_since IS NOT NULL;

CREATE TABLE payment_timeline (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id uuid NOT NULL REFERENCES payments (id),
    status     text NOT NULL,
    -- Who or what moved it: api, job or webhook; `cause` names the request, the job or the event.
    actor      text NOT NULL CHECK (actor IN ('api', 'job', 'webhook')),
    cause      text NOT NULL,
    detail     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX payment_timeline_by_payment ON payment_timeline (payment_id, id);
"#,
    down: "DROP TABLE payment_timeline; DROP TABLE payments;",
}
