//! Each provider has lanes of its own: one that is slow takes no worker away from the other. No release has enqueued under
//! the old names.

crate::sql_migration! {
    up: r#"
UPDATE jobs SET lane = CASE
    WHEN kind IN ('apply_swish_callback', 'poll_swish') THEN 'swish_webhooks'
    WHEN lane = 'webhooks' THEN 'stripe_webhooks'
    WHEN subject_id IN (SELECT id FROM payments WHERE provider = 'swish'
        UNION ALL SELECT id FROM refunds WHERE provider = 'swish') THEN 'swish_payments'
    ELSE 'stripe_payments' END
WHERE lane IN ('payments', 'webhooks') AND state IN ('queued', 'running', 'dead');
INSERT INTO paused_lanes (lane, paused_by, reason, created_at)
    SELECT provider || '_' || lane, paused_by, reason, created_at FROM paused_lanes, (VALUES ('stripe'), ('swish')) AS of (provider)
    WHERE lane IN ('payments', 'webhooks');
DELETE FROM paused_lanes WHERE lane IN ('payments', 'webhooks');
"#,
    down: r#"
UPDATE jobs SET lane = CASE WHEN lane LIKE '%\_webhooks' THEN 'webhooks' ELSE 'payments' END;
DELETE FROM paused_lanes;
"#,
}
