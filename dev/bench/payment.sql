-- The reference of an accepted payment: the statements of POST /api/payments with an Idempotency-Key, each a round trip, in the
-- API's order, with one commit. Which they are: log_statement=all; where they come from stands beside each.
--
-- Values are as the API's, but for what it makes in its own process: UUIDs v7, which rise, are made of a number that rises with
-- each client. The users and their customers are there.
--   :seq   where this round begins    :answer   what is kept under the key
\set seq :seq + 1
\set user random(0, 49)
-- TransactionTrait::begin
BEGIN;
-- idempotency_keys::claim
INSERT INTO idempotency_keys AS known (user_id, method, path, key, fingerprint)
VALUES ('user-' || :user, 'POST', '/api/payments', 'order-' || :seq || '-' || :client_id,
    '\x6c5bc275f66af2a76a351197cd5339d59efd921591089d81f462331c279f198e'::bytea)
ON CONFLICT (user_id, key, method, path) DO UPDATE
SET fingerprint = excluded.fingerprint, status = NULL, location = NULL, body = NULL, created_at = now()
WHERE known.created_at < now() - interval '24 hours';
-- saved_payment_methods::find_by_provider_id
SELECT id, provider_payment_method_id, user_id, customer_id, status, kind, brand, last4, exp_month, exp_year, version, created_at, updated_at
FROM saved_payment_methods WHERE provider_payment_method_id = 'pm_card_visa' LIMIT 1;
-- customers::ensure
WITH found AS (SELECT * FROM customers WHERE user_id = 'user-' || :user),
     made AS (INSERT INTO customers (id, user_id, email, name)
              SELECT gen_random_uuid(), 'user-' || :user, 'user@example.com', 'user' WHERE NOT EXISTS (SELECT FROM found)
              ON CONFLICT (user_id) DO NOTHING RETURNING *)
SELECT * FROM found UNION ALL SELECT * FROM made;
-- payments::insert
INSERT INTO payments (id, user_id, customer_id, subscription_id, provider, provider_payment_id, status, retryable, amount, currency,
    amount_capturable, amount_captured, amount_refunded, amount_disputed, capture_method, description, statement_descriptor,
    payment_method, off_session, return_url, swish, client_secret, next_action, failure, last_operation, outcome_unknown_since,
    metadata, version, created_at, updated_at, completed_at, expires_at, trace_parent)
VALUES ((lpad(to_hex(:seq::bigint), 12, '0') || '7' || lpad(to_hex(:client_id::bigint), 3, '0') || '8000000000000001')::uuid,
    'user-' || :user, ('00000000000070008000' || lpad(:user::text, 12, '0'))::uuid, NULL, 'stripe', NULL, 'pending', false, 11532,
    'sek', 0, 0, 0, 0, 'automatic', 'Order ' || :seq, NULL, 'pm_card_visa', false, 'https://shop.example/thanks', NULL, NULL, NULL,
    NULL, NULL, NULL, ('{"order": "' || :seq || '"}')::jsonb, 1, now(), now(), NULL, NULL,
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
-- payments::add_step
INSERT INTO payment_timeline (payment_id, status, actor, cause, detail)
SELECT id, status, 'api', '01a22444-bb10-7281-9611-2f3991fb6231', 'accepted' FROM (SELECT id, status FROM payments
    WHERE id = (lpad(to_hex(:seq::bigint), 12, '0') || '7' || lpad(to_hex(:client_id::bigint), 3, '0') || '8000000000000001')::uuid
    FOR NO KEY UPDATE) AS payment;
-- jobs::enqueue
INSERT INTO jobs (id, lane, kind, subject_id, max_attempts, rung_until, trace_parent)
VALUES ((lpad(to_hex(:seq::bigint), 12, '0') || '7' || lpad(to_hex(:client_id::bigint), 3, '0') || '8000000000000002')::uuid,
    'stripe_payments', 'create_payment',
    (lpad(to_hex(:seq::bigint), 12, '0') || '7' || lpad(to_hex(:client_id::bigint), 3, '0') || '8000000000000001')::uuid,
    30, now() + make_interval(secs => 10), '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
-- idempotency_keys::keep
UPDATE idempotency_keys SET status = 202, location = '/api/payments/01a22444-bb13-7180-95bc-f180b6d5e26a', body = :answer
WHERE user_id = 'user-' || :user AND method = 'POST' AND path = '/api/payments' AND key = 'order-' || :seq || '-' || :client_id;
-- DatabaseTransaction::commit
COMMIT;
