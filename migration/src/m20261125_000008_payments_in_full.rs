//! Payments: holds, disputes, operations, and the subscription that made them.
//!
//! The check on refunds gets a name that errors and people can speak of.

crate::sql_migration! {
    up: r#"
ALTER TABLE payments
    ADD COLUMN subscription_id   uuid REFERENCES subscriptions (id),
    ADD COLUMN amount_capturable bigint NOT NULL DEFAULT 0 CHECK (amount_capturable >= 0),
    ADD COLUMN amount_disputed   bigint NOT NULL DEFAULT 0 CHECK (amount_disputed >= 0),
    ADD COLUMN off_session       boolean NOT NULL DEFAULT false,
    ADD COLUMN last_operation    jsonb;
DO $$
DECLARE unnamed text;
BEGIN
    SELECT conname INTO STRICT unnamed FROM pg_constraint
    WHERE conrelid = 'payments'::regclass AND contype = 'c' AND pg_get_constraintdef(oid) LIKE '%amount_refunded%';
    EXECUTE format('ALTER TABLE payments RENAME CONSTRAINT %I TO payments_refunds_within_captured', unnamed);
END $$;
CREATE INDEX payments_by_subscription ON payments (subscription_id, id DESC) WHERE subscription_id IS NOT NULL;
ALTER TABLE payment_timeline DROP CONSTRAINT payment_timeline_actor_check;
ALTER TABLE payment_timeline
    ADD CONSTRAINT payment_timeline_actor_check CHECK (actor IN ('api', 'job', 'webhook', 'admin'));
"#,
    down: r#"
DELETE FROM payment_timeline WHERE actor = 'admin';
ALTER TABLE payment_timeline DROP CONSTRAINT payment_timeline_actor_check;
ALTER TABLE payment_timeline
    ADD CONSTRAINT payment_timeline_actor_check CHECK (actor IN ('api', 'job', 'webhook'));
ALTER TABLE payments RENAME CONSTRAINT payments_refunds_within_captured TO payments_check2;
ALTER TABLE payments DROP COLUMN subscription_id, DROP COLUMN amount_capturable, DROP COLUMN amount_disputed,
    DROP COLUMN off_session, DROP COLUMN last_operation;
"#,
}
