//! Customers get metadata, and may get another Stripe customer when theirs was deleted there.

crate::sql_migration! {
    up: r#"
ALTER TABLE customers
    ADD COLUMN metadata          jsonb NOT NULL DEFAULT '{}',
    -- Part of the key that the next Stripe customer is made under.
    ADD COLUMN stripe_generation integer NOT NULL DEFAULT 0;
"#,
    down: r#"
ALTER TABLE customers DROP COLUMN metadata, DROP COLUMN stripe_generation;
"#,
}
