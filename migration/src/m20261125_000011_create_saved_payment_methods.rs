//! Payment methods that customers have saved, and the setups that save them.

crate::sql_migration! {
    up: r#"
CREATE TABLE setups (
    id                uuid PRIMARY KEY,
    user_id           text NOT NULL,
    customer_id       uuid NOT NULL REFERENCES customers (id),
    provider          text NOT NULL CHECK (provider IN ('stripe')),
    provider_setup_id text,
    status            text NOT NULL CHECK (status IN ('pending', 'requires_payment_method', 'requires_action',
        'processing', 'succeeded', 'canceled', 'failed')),
    client_secret     text,
    payment_method    text,
    failure           jsonb,
    version           integer NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL
);
CREATE UNIQUE INDEX setups_provider_setup_id ON setups (provider, provider_setup_id);

CREATE TABLE saved_payment_methods (
    -- For jobs, whose subjects are UUIDs. Everybody else knows the provider's id.
    id                         uuid PRIMARY KEY,
    provider_payment_method_id text NOT NULL UNIQUE,
    user_id                    text NOT NULL,
    customer_id                uuid NOT NULL REFERENCES customers (id),
    status                     text NOT NULL CHECK (status IN ('saved', 'removing', 'removed')),
    kind                       text NOT NULL,
    brand                      text,
    last4                      text,
    exp_month                  integer,
    exp_year                   integer,
    version                    integer NOT NULL DEFAULT 1,
    created_at                 timestamptz NOT NULL,
    updated_at                 timestamptz NOT NULL
);
CREATE INDEX saved_payment_methods_by_user ON saved_payment_methods (user_id, id DESC);
CREATE INDEX saved_payment_methods_by_customer ON saved_payment_methods (customer_id);
"#,
    down: r#"
DROP TABLE saved_payment_methods; DROP TABLE setups;
"#,
}
