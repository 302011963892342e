"""Part 1: how fast Stripe's events are acknowledged, which is when they are durable. No worker runs.

The reference: pgbench writes the same rows with one commit each, in a database of its own on the same server.
"""

import traffic
from generators import CONNECTIONS, HERE
from rounds import median, medians
from service import start_api

SECONDS, ROUNDS = 4, 5
DUPLICATES = 0.2


def run(bench):
    servers = bench.servers
    database, other = servers.fresh("webhooks"), servers.fresh("webhooks_reference")
    api = start_api(servers, database, bench.issuer.public)
    body = traffic.event_body(0).decode()
    # How fast it is, that no round runs out of requests.
    found = bench.saturated(api, traffic.events(80_000), 2)["per_second"]
    enough = int(found * SECONDS * 2.2) + 1_000

    steady = []

    def ours():
        full = bench.saturated(api, traffic.events(enough), SECONDS)
        half = full["per_second"] / 2
        # Right after it: what else Postgres does now and then meets only some rounds.
        steady.append(bench.at_rate(api, traffic.events(int(half * SECONDS) + CONNECTIONS), half, SECONDS))
        return full

    pairs = bench.against(ours, lambda: bench.reference(other, HERE / "webhook.sql", SECONDS, "provider_events", body=body), ROUNDS)
    saturation = median(pair["ours"]["per_second"] for pair in pairs)
    doubled = [bench.saturated(api, traffic.events(enough, DUPLICATES), SECONDS) for _ in range(ROUNDS)]
    latency = medians(steady, "p50_ms", "p99_ms", "p999_ms")
    weight = bench.weigh(api, database)
    servers.end(api)
    bench.say(f"  with 20 % duplicates {median(one['per_second'] for one in doubled):,.0f}/s; "
              f"at {saturation / 2:,.0f}/s p50 {latency['p50_ms']:.2f} ms, p99 {latency['p99_ms']:.2f} ms, p99.9 {latency['p999_ms']:.2f} ms")
    return {
        "bars": {"webhook_ack_ratio": median(pair["ratio"] for pair in pairs),
                 "webhook_p50_ms": latency["p50_ms"], "webhook_p99_ms": latency["p99_ms"],
                 "rss_load_mb": weight["rss_peak_mb"]},
        "raw": {"per_second": saturation, "per_second_with_duplicates": median(one["per_second"] for one in doubled),
                "at_half": latency, "weight": weight, "all_different": pairs, "duplicates": doubled, "half": steady},
    }
