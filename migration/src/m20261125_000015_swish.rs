//! Swish: what only its payments have, and its name where providers are named.

crate::sql_migration! {
    up: r#"
ALTER TABLE payments ADD COLUMN swish jsonb;
ALTER TABLE payments DROP CONSTRAINT payments_provider_check;
ALTER TABLE payments ADD CONSTRAINT payments_provider_check CHECK (provider IN ('stripe', 'swish'));
ALTER TABLE payments ADD CONSTRAINT payments_swish_check CHECK ((provider = 'swish') = (swish IS NOT NULL));
ALTER TABLE refunds DROP CONSTRAINT refunds_provider_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_provider_check CHECK (provider IN ('stripe', 'swish'));
ALTER TABLE provider_events DROP CONSTRAINT provider_events_provider_check;
ALTER TABLE provider_events ADD CONSTRAINT provider_events_provider_check CHECK (provider IN ('stripe', 'swish'));
"#,
    down: r#"
ALTER TABLE provider_events DROP CONSTRAINT provider_events_provider_check;
ALTER TABLE provider_events ADD CONSTRAINT provider_events_provider_check CHECK (provider IN ('stripe'));
ALTER TABLE refunds DROP CONSTRAINT refunds_provider_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_provider_check CHECK (provider IN ('stripe'));
ALTER TABLE payments DROP CONSTRAINT payments_swish_check;
ALTER TABLE payments DROP CONSTRAINT payments_provider_check;
ALTER TABLE payments ADD CONSTRAINT payments_provider_check CHECK (provider IN ('stripe'));
ALTER TABLE payments DROP COLUMN swish;
"#,
}
