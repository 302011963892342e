//! Subscriptions. Their payments point to them; the newest of those is the latest.

crate::sql_migration! {
    up: r#"
CREATE TABLE subscriptions (
    id                       uuid PRIMARY KEY,
    user_id                  text NOT NULL,
    customer_id              uuid NOT NULL REFERENCES customers (id),
    provider                 text NOT NULL CHECK (provider IN ('stripe')),
    provider_subscription_id text,
    provider_item_id         text,
    status                   text NOT NULL CHECK (status IN ('pending', 'incomplete', 'incomplete_expired', 'trialing',
        'active', 'past_due', 'unpaid', 'paused', 'canceled', 'failed')),
    amount                   bigint NOT NULL CHECK (amount > 0),
    currency                 text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    interval                 text NOT NULL CHECK (interval IN ('day', 'week', 'month', 'year')),
    interval_count           integer NOT NULL CHECK (interval_count > 0),
    product_name             text NOT NULL,
    trial_period_days        integer,
    payment_method           text,
    current_period_start     timestamptz,
    current_period_end       timestamptz,
    trial_end                timestamptz,
    cancel_at_period_end     boolean NOT NULL DEFAULT false,
    canceled_at              timestamptz,
    ended_at                 timestamptz,
    client_secret            text,
    failure                  jsonb,
    last_operation           jsonb,
    outcome_unknown_since    timestamptz,
    metadata                 jsonb NOT NULL,
    version                  integer NOT NULL DEFAULT 1,
    created_at               timestamptz NOT NULL,
    updated_at               timestamptz NOT NULL
);
CREATE UNIQUE INDEX subscriptions_provider_subscription_id ON subscriptions (provider, provider_subscription_id);
CREATE INDEX subscriptions_by_user ON subscriptions (user_id, id DESC);
"#,
    down: r#"
DROP TABLE subscriptions;
"#,
}
