"""Part 3, workers: what 2 and 4 do against 1, when the provider takes 100 ms and the processors are not full.

They do few jobs at a time, so that waiting for the provider is what limits them. How full the machine was is a raw figure.
"""

import time

from journeys import rest, settled_between
from payments import customers_of_all, payments
from rounds import median
from service import start_api, start_simulator, start_worker

WORKERS, ROUNDS, DELAY_MS = (1, 2, 4), 3, 100
CONCURRENCY = 1
# Until they are all at work, and how long they are watched then.
WARM, SECONDS = 1.5, 7
# More than could be done in a time.
BACKLOG = int(ROUNDS * sum(WORKERS) * (WARM + SECONDS + 2) * CONCURRENCY * 1_000 / DELAY_MS)


def run(bench):
    servers = bench.servers
    database = servers.fresh("scaling")
    servers.calm()
    api = start_api(servers, database, bench.issuer.public)
    simulator = start_simulator(servers, api, DELAY_MS)
    first = start_worker(servers, database, simulator)
    customers_of_all(bench, api)
    rest(servers, database)
    servers.end(first)
    bench.generators.all_of(api, list(payments(bench, BACKLOG)))
    found = {number: [] for number in WORKERS}
    for _ in range(ROUNDS):
        for number in WORKERS:
            found[number].append(watch(bench, database, simulator, number))
    left = int(servers.sql(database, "SELECT count(*) FROM jobs WHERE kind = 'create_payment' AND state = 'queued'"))
    if not left:
        raise SystemExit("the backlog was too small: workers had nothing to do")
    servers.end(simulator, api)
    rates = {number: median(one["per_second"] for one in rounds) for number, rounds in found.items()}
    ratios = [four["per_second"] / one["per_second"] for one, four in zip(found[1], found[4])]
    bench.say("  " + ", ".join(f"{number} worker(s) {rate:.1f}/s" for number, rate in rates.items())
              + f"; 4 against 1: {median(ratios):.2f}; the machine was {median(one['machine_busy'] for one in found[4]):.0%} busy with 4")
    return {"bars": {"scaling_4_over_1": round(median(ratios), 3)},
            "raw": {"per_second": rates, "concurrency": CONCURRENCY, "provider_ms": DELAY_MS, "rounds": found}}


def watch(bench, database, simulator, number):
    """A stretch of time of so many workers at work on the backlog."""
    servers = bench.servers
    workers = [start_worker(servers, database, simulator, f"worker-{n + 1}", WORKER_CONCURRENCY=str(CONCURRENCY))
               for n in range(number)]
    time.sleep(WARM)
    began, meter = time.time(), bench.meter()
    time.sleep(SECONDS)
    ended, costs = time.time(), meter.read(1)
    servers.end(*workers)
    return {"per_second": round(settled_between(servers, database, began, ended), 2), "machine_busy": costs["machine_busy"]}
