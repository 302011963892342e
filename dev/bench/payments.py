"""Part 2: how fast payments are accepted: key, token (RS256) and limits included. No worker runs.

The reference: pgbench does the same statement, word for word, for one payment at a time, with one commit each, in a database of
its own on the same server. What all of HTTP, tokens, limits and keys costs is compared so with what sharing a statement gains; what
the statement itself costs is not.
"""

import itertools
import json
import urllib.request

import traffic
from generators import CONNECTIONS
from rounds import median, medians
from service import start_api

SECONDS, ROUNDS = 5, 3


def run(bench):
    servers = bench.servers
    database, other = servers.fresh("payments"), servers.fresh("payments_reference")
    api = start_api(servers, database, bench.issuer.public)
    answer = customers_of_all(bench, api)
    make_customers(servers, other)
    found = bench.saturated(api, payments(bench, 30_000), 2)["per_second"]
    enough = int(found * SECONDS * 2.2) + 1_000

    steady = []

    def ours():
        full = bench.saturated(api, payments(bench, enough), SECONDS)
        half = full["per_second"] / 2
        steady.append(bench.at_rate(api, payments(bench, int(half * SECONDS) + CONNECTIONS), half, SECONDS))
        return full

    script = servers.directory / "payment.sql"
    script.write_text(reference(servers, database))
    pairs = bench.against(ours, lambda: bench.reference(other, script, SECONDS, "payments", answer=json.dumps(answer)[1:-1]), ROUNDS)
    saturation = median(pair["ours"]["per_second"] for pair in pairs)
    latency = medians(steady, "p50_ms", "p99_ms", "p999_ms")
    weight = bench.weigh(api, database)
    servers.end(api)
    bench.say(f"  at {saturation / 2:,.0f}/s p50 {latency['p50_ms']:.2f} ms, p99 {latency['p99_ms']:.2f} ms, p99.9 {latency['p999_ms']:.2f} ms")
    return {
        "bars": {"payments_ratio": median(pair["ratio"] for pair in pairs), "rss_load_mb": weight["rss_peak_mb"]},
        "raw": {"per_second": saturation, "at_half": latency, "weight": weight, "rounds": pairs, "half": steady},
    }


# What the API makes in its own process (UUIDs v7, which rise) is made of a number that rises with each client.
NUMBERS = r"\set seq :seq + 1" "\n" r"\set user random(0, 49)" "\n"
ID = "' || lpad(to_hex(:seq::bigint), 12, '0') || '7' || lpad(to_hex(:client_id::bigint), 3, '0') || '800000000000000"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PAYMENT = {
    "id": ID + "1", "user_id": "user-' || :user || '", "customer_id": "00000000000070008000' || lpad(:user::text, 12, '0') || '",
    "subscription_id": None, "provider": "stripe", "provider_payment_id": None, "status": "pending", "retryable": False,
    "amount": 11_532, "currency": "sek", "amount_capturable": 0, "amount_captured": 0, "amount_refunded": 0, "amount_disputed": 0,
    "capture_method": "automatic", "description": "Order ' || :seq || '", "statement_descriptor": None,
    "payment_method": "pm_card_visa", "off_session": False, "return_url": "https://shop.example/thanks", "swish": None,
    "client_secret": None, "next_action": None, "failure": None, "last_operation": None, "outcome_unknown_since": None,
    "metadata": {"order": "' || :seq || '"}, "version": 1, "created_at": "2026-11-28T22:56:24.113204Z",
    "updated_at": "2026-11-28T22:56:24.113204Z", "completed_at": None, "expires_at": None, "trace_parent": TRACE,
}
BESIDE = {
    "id": ID + "1", "job_id": ID + "2", "lane": "stripe_payments", "rung": True, "cause": "01a22444-bb10-7281-9611-2f3991fb6231",
    "trace_parent": TRACE, "user_id": "user-' || :user || '", "payment_method": "pm_card_visa", "off_session": False,
    "key": "order-' || :seq || '-' || :client_id || '", "method": "POST", "path": "/api/payments",
    "fingerprint": "6c5bc275f66af2a76a351197cd5339d59efd921591089d81f462331c279f198e", "answer_status": 202,
    "location": "/api/payments/' || :seq || '-' || :client_id || '", "answer": "' || :answer::text || '",
}
# The values of the API's statement, in their order: the last two are `MAX_ATTEMPTS` and `RING_TTL`.
VALUES = [f"('{json.dumps([row])}')::jsonb" for row in (PAYMENT, BESIDE)] + ["30", "10"]


def reference(servers, database):
    """pgbench's script: the statement that the API has just done, as Postgres knows it."""
    text = servers.sql("postgres", f"""SELECT query FROM pg_stat_activity
        WHERE datname = '{database}' AND query LIKE '-- new_payments::accept%' LIMIT 1""")
    if not text:
        raise SystemExit("Postgres does not know what the API did for a payment")
    for number, value in enumerate(VALUES, 1):
        text = text.replace(f"${number}", value)
    return f"{NUMBERS}{text};\n"


def payments(bench, number, **headers):
    return traffic.payments(bench.issuer, number, **headers)


def customers_of_all(bench, api):
    """Has each user pay once, that all are known. Gives an answer, as it is kept under a key."""
    for request in itertools.islice(payments(bench, traffic.USERS), traffic.USERS):
        asked = urllib.request.Request(api.url + request.path, request.body, request.headers)
        with urllib.request.urlopen(asked, timeout=10) as answer:
            body = answer.read().decode()
            if answer.status != 202 or not answer.headers.get("RateLimit"):
                raise SystemExit(f"not accepted, or not limited: {answer.status} {answer.headers} {body}")
    return json.dumps(json.loads(body), separators=(",", ":"))


def make_customers(servers, database):
    servers.sql(database, f"""INSERT INTO customers (id, user_id, email, name)
        SELECT ('00000000000070008000' || lpad(n::text, 12, '0'))::uuid, 'user-' || n, 'user-' || n || '@example.com', 'user-' || n
        FROM generate_series(0, {traffic.USERS - 1}) n""", "ANALYZE")
