//! A refund that exceeds what was captured is refused by the trigger itself: a check that fails makes Postgres write the
//! payment's whole row to its log, client secret and all. The check stays, under what else may write.

crate::sql_migration! {
    up: r#"
CREATE OR REPLACE FUNCTION refunds_keep_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before  bigint := CASE WHEN TG_OP <> 'INSERT' AND OLD.status NOT IN ('failed', 'canceled') THEN OLD.amount ELSE 0 END;
    after   bigint := CASE WHEN TG_OP <> 'DELETE' AND NEW.status NOT IN ('failed', 'canceled') THEN NEW.amount ELSE 0 END;
    payment uuid   := CASE WHEN TG_OP = 'DELETE' THEN OLD.payment_id ELSE NEW.payment_id END;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.payment_id <> NEW.payment_id THEN
        RAISE EXCEPTION 'a refund stays with its payment';
    END IF;
    IF before <> after THEN
        UPDATE payments
        SET amount_refunded = amount_refunded + after - before, version = version + 1, updated_at = clock_timestamp()
        WHERE id = payment AND amount_refunded + after - before BETWEEN 0 AND amount_captured;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'payments_refunds_within_captured: the refunds of payment % exceed what was captured', payment
                USING ERRCODE = 'check_violation', TABLE = 'payments', CONSTRAINT = 'payments_refunds_within_captured';
        END IF;
    END IF;
    RETURN NULL;
END $$;
"#,
    down: r#"
CREATE OR REPLACE FUNCTION refunds_keep_sum() RETURNS trigger LANGUAGE plpgsql AS $$
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
"#,
}
