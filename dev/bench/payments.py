"""Part 2: how fast payments are accepted: key, token (RS256) and limits included. No worker runs.

The reference: pgbench does the statements of that transaction, in a database of its own on the same server.
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

    pairs = bench.against(ours, lambda: bench.reference(other, "payment.sql", SECONDS, answer=answer), ROUNDS)
    saturation = median(pair["ours"]["per_second"] for pair in pairs)
    latency = medians(steady, "p50_ms", "p99_ms", "p999_ms")
    weight = bench.weigh(api, database)
    servers.end(api)
    bench.say(f"  at {saturation / 2:,.0f}/s p50 {latency['p50_ms']:.2f} ms, p99 {latency['p99_ms']:.2f} ms, p99.9 {latency['p999_ms']:.2f} ms")
    return {
        "bars": {"payments_ratio": median(pair["ratio"] for pair in pairs), "rss_load_mb": weight["rss_peak_mb"]},
        "raw": {"per_second": saturation, "at_half": latency, "weight": weight, "rounds": pairs, "half": steady},
    }


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
