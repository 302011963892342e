-- The reference of a webhook's acknowledgement: the rows that the API writes for a Stripe event, in one statement, with one commit.
--
-- The rows are those of provider_events::receive (shared/src/store/provider_events.rs); the statement is the plainest that
-- stores one event, where the API's stores many. What the API makes in its own process (two UUIDs v7, which rise) is made of
-- a number that rises with each client.
--   :seq   where this round begins    :body   an event as Stripe sends it
\set seq :seq + 1
WITH event AS (
    INSERT INTO provider_events (id, provider, provider_event_id, event_type, api_version, body, found_by_sweep)
    VALUES ((lpad(to_hex(:seq::bigint), 12, '0') || '7' || lpad(to_hex(:client_id::bigint), 3, '0') || '8000000000000001')::uuid,
            'stripe', 'evt_' || lpad(to_hex(:seq::bigint), 15, '0') || lpad(to_hex(:client_id::bigint), 12, '0'),
            'payment_intent.succeeded', '2026-09-30.endive', :body::bytea, false)
    ON CONFLICT (provider, provider_event_id) DO NOTHING RETURNING id)
INSERT INTO jobs (id, lane, kind, subject_id, max_attempts, rung_until, trace_parent)
SELECT (lpad(to_hex(:seq::bigint), 12, '0') || '7' || lpad(to_hex(:client_id::bigint), 3, '0') || '8000000000000002')::uuid,
       'stripe_webhooks', 'apply_stripe_event', event.id, 30, now() + make_interval(secs => 10),
       '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' FROM event;
