//! Refunds. A trigger keeps `payments.amount_refunded` equal to the sum of those that have not failed, and the check
//! on payments keeps that sum within what was captured: no code can write past it.

crate::sql_migration! {
    up: r#"
CREATE TABLE refunds (
    id                    uuid PRIMARY KEY,
    user_id               text NOT NULL,
    payment_id            uuid NOT NULL REFERENCES payments (id),
    provider              text NOT NULL CHECK (provider IN ('stripe')),
    provider_refund_id    text,
    status                text NOT NULL CHECK (status IN
        ('pending', 'processing', 'requires_action', 'succeeded', 'failed', 'canceled')),
    amount                bigint NOT NULL CHECK (amount > 0),
    currency              text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    reason                text,
    failure               jsonb,
    outcome_unknown_since timestamptz,
    metadata              jsonb NOT NULL,
    version               integer NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    completed_at          timestamptz
);
CREATE UNIQUE INDEX refunds_provider_refund_id ON refunds (provider, provider_refund_id);
CREATE INDEX refunds_by_user ON refunds (user_id, id DESC);
CREATE INDEX refunds_by_payment ON refunds (payment_id, id DESC);

CREATE FUNCTION refunds_keep_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bigint := CASE WHEN TG_OP <> 'INSERT' AND OLD.status NOT IN ('failed', 'canceled') THEN OLD.amount ELSE 0 END;
    after  bigint := CASE WHEN TG_OP <> 'DELETE' AND NEW.status NOT IN ('failed', 'canceled') THEN NEW.amount ELSE 0 END;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.payment_id <> NEW.payment_id THEN
        RAISE EXCEPTION 'a refund stays with its payment';
    END IF;
    IF before <> after THEN
        UPDATE payments
        SET amount_refunded = amount_refunded + after - before, version = version + 1, updated_at = clock_timestamp()
        WHERE id = CASE WHEN TG_OP = 'DELETE' THEN OLD.payment_id ELSE NEW.payment_id END;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refunds_keep_sum AFTER INSERT OR UPDATE OR DELETE ON refunds
    FOR EACH ROW EXECUTE FUNCTION refunds_keep_sum();
"#,
    down: r#"
DROP TABLE refunds; DROP FUNCTION refunds_keep_sum;
"#,
}
