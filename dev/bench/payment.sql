-- The reference of an accepted payment: the statement of POST /api/payments with an Idempotency-Key, for one payment, with one commit.
--
-- It is new_payments::accept (shared/src/store/new_payments.rs), the same but for its values: what the API makes in its own process
-- (UUIDs v7, which rise) is made of a number that rises with each client. The users and their customers are there.
--   :seq   where this round begins    :answer   what is kept under the key
\set seq :seq + 1
\set user random(0, 49)
WITH beside AS (
    SELECT * FROM jsonb_to_recordset(('[{"id": "' || lpad(to_hex(:seq::bigint), 12, '0') || '7' || lpad(to_hex(:client_id::bigint), 3, '0')
        || '8000000000000001", "job_id": "' || lpad(to_hex(:seq::bigint), 12, '0') || '7' || lpad(to_hex(:client_id::bigint), 3, '0')
        || '8000000000000002", "lane": "stripe_payments", "rung": true, "payment_method": "pm_card_visa", "off_session": false, "cause": "01a22444-bb10-7281-9611-2f3991fb6231", "trace_parent": '
        || '"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "user_id": "user-' || :user || '", "key": "order-' || :seq || '-'
        || :client_id || '", "method": "POST", "path": "/api/payments", "fingerprint": '
        || '"6c5bc275f66af2a76a351197cd5339d59efd921591089d81f462331c279f198e", "answer_status": 202, "location": "/api/payments/'
        || :seq || '-' || :client_id || '"}]')::jsonb) AS beside (
        id uuid, job_id uuid, lane text, rung bool, cause text, trace_parent text, user_id text, payment_method text, off_session bool,
        key text, method text, path text, fingerprint text, answer_status smallint, location text, answer text)),
usable AS (
    SELECT beside.* FROM beside
    LEFT JOIN saved_payment_methods AS saved ON saved.provider_payment_method_id = beside.payment_method
    WHERE CASE WHEN saved.id IS NULL THEN NOT beside.off_session
               ELSE saved.user_id = beside.user_id AND saved.status = 'saved' END),
claimed AS (
    INSERT INTO idempotency_keys AS known (user_id, method, path, key, fingerprint, status, location, body)
    SELECT DISTINCT ON (user_id, key) user_id, method, path, key, decode(fingerprint, 'hex'), answer_status, location, :answer::text
    FROM usable WHERE key IS NOT NULL ORDER BY user_id, key, id
    ON CONFLICT (user_id, key, method, path) DO UPDATE
    SET fingerprint = excluded.fingerprint, status = excluded.status, location = excluded.location, body = excluded.body,
        created_at = now()
    WHERE known.created_at < now() - interval '24 hours'
    RETURNING location),
accepted AS (
    SELECT * FROM usable WHERE key IS NULL OR location IN (SELECT location FROM claimed)),
payment AS (
    INSERT INTO payments (id, user_id, customer_id, subscription_id, provider, provider_payment_id, status, retryable, amount,
        currency, amount_capturable, amount_captured, amount_refunded, amount_disputed, capture_method, description,
        statement_descriptor, payment_method, off_session, return_url, swish, client_secret, next_action, failure, last_operation,
        outcome_unknown_since, metadata, version, created_at, updated_at, completed_at, expires_at, trace_parent)
    SELECT id, user_id, customer_id, subscription_id, provider, provider_payment_id, status, retryable, amount,
        currency, amount_capturable, amount_captured, amount_refunded, amount_disputed, capture_method, description,
        statement_descriptor, payment_method, off_session, return_url, swish, client_secret, next_action, failure, last_operation,
        outcome_unknown_since, metadata, version, created_at, updated_at, completed_at, expires_at, trace_parent
    FROM jsonb_populate_recordset(NULL::payments, ('[{"id": "' || lpad(to_hex(:seq::bigint), 12, '0') || '7'
        || lpad(to_hex(:client_id::bigint), 3, '0') || '8000000000000001", "user_id": "user-' || :user
        || '", "customer_id": "00000000000070008000' || lpad(:user::text, 12, '0') || '", "subscription_id": null, "provider": "stripe", '
        || '"provider_payment_id": null, "status": "pending", "retryable": false, "amount": 11532, "currency": "sek", '
        || '"amount_capturable": 0, "amount_captured": 0, "amount_refunded": 0, "amount_disputed": 0, "capture_method": "automatic", '
        || '"description": "Order ' || :seq || '", "statement_descriptor": null, "payment_method": "pm_card_visa", '
        || '"off_session": false, "return_url": "https://shop.example/thanks", "swish": null, "client_secret": null, '
        || '"next_action": null, "failure": null, "last_operation": null, "outcome_unknown_since": null, "metadata": {"order": "'
        || :seq || '"}, "version": 1, "created_at": "2026-11-28T22:56:24.113204Z", "updated_at": "2026-11-28T22:56:24.113204Z", '
        || '"completed_at": null, "expires_at": null, "trace_parent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}]')::jsonb)
    WHERE id IN (SELECT id FROM accepted)),
step AS (
    INSERT INTO payment_timeline (payment_id, status, actor, cause, detail)
    SELECT id, 'pending', 'api', cause, 'accepted' FROM accepted)
INSERT INTO jobs (id, lane, kind, subject_id, max_attempts, rung_until, trace_parent)
SELECT job_id, lane, 'create_payment', id, 30, CASE WHEN rung THEN now() + make_interval(secs => 10) END, trace_parent FROM accepted
RETURNING id;
