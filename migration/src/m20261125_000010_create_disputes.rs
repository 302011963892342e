//! Disputes. A trigger keeps `payments.amount_disputed` equal to what they have taken back and not returned.

crate::sql_migration! {
    up: r#"
CREATE TABLE disputes (
    id                  uuid PRIMARY KEY,
    user_id             text NOT NULL,
    payment_id          uuid NOT NULL REFERENCES payments (id),
    provider            text NOT NULL CHECK (provider IN ('stripe')),
    provider_dispute_id text NOT NULL,
    status              text NOT NULL CHECK (status IN ('warning_needs_response', 'warning_under_review',
        'warning_closed', 'needs_response', 'under_review', 'won', 'lost', 'prevented')),
    reason              text NOT NULL,
    amount              bigint NOT NULL CHECK (amount >= 0),
    currency            text NOT NULL CHECK (currency ~ '^[a-z]{3}$'),
    funds               text NOT NULL CHECK (funds IN ('held', 'withdrawn', 'reinstated')),
    evidence_due_by     timestamptz,
    evidence_submitted  boolean NOT NULL DEFAULT false,
    last_operation      jsonb,
    version             integer NOT NULL DEFAULT 1,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    closed_at           timestamptz
);
CREATE UNIQUE INDEX disputes_provider_dispute_id ON disputes (provider, provider_dispute_id);
CREATE INDEX disputes_by_user ON disputes (user_id, id DESC);
CREATE INDEX disputes_by_payment ON disputes (payment_id);

CREATE FUNCTION disputes_keep_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bigint := CASE WHEN TG_OP <> 'INSERT' AND OLD.funds = 'withdrawn' THEN OLD.amount ELSE 0 END;
    after  bigint := CASE WHEN TG_OP <> 'DELETE' AND NEW.funds = 'withdrawn' THEN NEW.amount ELSE 0 END;
BEGIN
    IF before <> after THEN
        UPDATE payments
        SET amount_disputed = amount_disputed + after - before, version = version + 1, updated_at = clock_timestamp()
        WHERE id = CASE WHEN TG_OP = 'DELETE' THEN OLD.payment_id ELSE NEW.payment_id END;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER disputes_keep_sum AFTER INSERT OR UPDATE OR DELETE ON disputes
    FOR EACH ROW EXECUTE FUNCTION disputes_keep_sum();
"#,
    down: r#"
DROP TABLE disputes; DROP FUNCTION disputes_keep_sum;
"#,
}
