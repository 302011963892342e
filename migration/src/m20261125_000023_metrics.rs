//! What metrics ask every few seconds is answered by small indexes.

crate::sql_migration! {
    up: r#"
CREATE INDEX refunds_outcome_unknown ON refunds (outcome_unknown_since) WHERE outcome_unknown_since IS NOT NULL;
CREATE INDEX subscriptions_outcome_unknown ON subscriptions (outcome_unknown_since) WHERE outcome_unknown_since IS NOT NULL;
CREATE INDEX subscriptions_active ON subscriptions (status) WHERE status IN ('active', 'trialing', 'past_due');
"#,
    down: r#"
DROP INDEX subscriptions_active;
DROP INDEX subscriptions_outcome_unknown;
DROP INDEX refunds_outcome_unknown;
"#,
}
