"""Parts 3 and 4: from a payment that is accepted, by way of a worker, the provider and its webhooks, to one that has succeeded.

How soon a worker begins and a payment is settled, when little is to do (with a provider that answers at once, and after 100 ms)
and at half of what can be done; how much can be done, and what a payment costs each process.
"""

import time

from journeys import rest, times
from payments import customers_of_all, payments
from rounds import median
from service import start_api, start_simulator, start_worker

# Few: one has come to rest before the next comes.
IDLE_RATE, SECONDS, ROUNDS = 40, 6, 3
# So many are accepted, then worked off.
BACKLOG = 2_000


class Stack:
    """A service with one worker, and users that Stripe knows."""

    def __init__(self, bench, name, delay_ms):
        self.bench, self.servers = bench, bench.servers
        self.database = self.servers.fresh(name)
        self.servers.calm()
        self.api = start_api(self.servers, self.database, bench.issuer.public)
        self.simulator = start_simulator(self.servers, self.api, delay_ms)
        self.start_worker()
        customers_of_all(bench, self.api)
        rest(self.servers, self.database)

    def start_worker(self):
        self.worker = start_worker(self.servers, self.database, self.simulator)

    def at_rate(self, rate, **headers):
        """A round at a fixed rate."""
        requests = list(payments(self.bench, int(rate * SECONDS) + 1, **headers))
        self.servers.sql("postgres", "CHECKPOINT")
        since = time.time()
        meter = self.meter()
        result = self.bench.generators.at_rate(self.api, requests, rate, SECONDS)
        rest(self.servers, self.database)
        return {"client": result, **times(self.servers, self.database, since, result["requests"]),
                **meter.read(result["requests"])}

    def saturate(self, workers=1):
        """Accepts so many as fast as it can, and works them off: what of a whole day's work is done in a second."""
        self.servers.end(self.worker)
        requests = list(payments(self.bench, BACKLOG))
        self.servers.sql("postgres", "CHECKPOINT")
        since, meter = time.time(), self.meter(worker=None)
        accepted = self.bench.generators.all_of(self.api, requests)
        began = time.time()
        others = [start_worker(self.servers, self.database, self.simulator, f"worker-{n}") for n in range(2, workers + 1)]
        self.start_worker()
        rest(self.servers, self.database)
        worked = float(self.servers.sql(self.database, "SELECT extract(epoch FROM max(finished_at)) FROM jobs")) - began
        costs = meter.read(BACKLOG)
        costs["cpu_ms_each"]["worker"] = round(sum(worker.cpu_ms() for worker in (self.worker, *others)) / BACKLOG, 4)
        self.servers.end(*others)
        times(self.servers, self.database, since, BACKLOG)
        return {"per_second": round(BACKLOG / (accepted + worked), 1), "accepted_seconds": round(accepted, 2),
                "worked_off_seconds": round(worked, 2), **costs}

    def meter(self, **others):
        processes = {"api": self.api, "worker": self.worker, "simulator": self.simulator, **others}
        return self.bench.meter(**{name: process for name, process in processes.items() if process})

    def stop(self):
        self.servers.end(self.worker, self.simulator, self.api)


def run(bench):
    stack = Stack(bench, "end_to_end", 0)
    idle = [stack.at_rate(IDLE_RATE) for _ in range(ROUNDS)]
    seen = stack.at_rate(IDLE_RATE, Prefer="wait=10")
    full = [stack.saturate() for _ in range(2)]
    more = {number: [stack.saturate(number) for _ in range(2)] for number in (2, 4)}
    half = median(one["per_second"] for one in full) / 2
    load = [stack.at_rate(half) for _ in range(ROUNDS)]
    stack.stop()
    slow = Stack(bench, "end_to_end_slow", 100)
    slow_idle, slow_seen = slow.at_rate(IDLE_RATE), slow.at_rate(IDLE_RATE, Prefer="wait=10")
    slow.stop()
    bars = {
        "pickup_idle_p50_ms": of(idle, "pickup", "p50_ms"), "pickup_idle_p99_ms": of(idle, "pickup", "p99_ms"),
        "pickup_load_p99_ms": of(load, "pickup", "p99_ms"), "settle_p50_ms": of(idle, "settle", "p50_ms"),
    }
    bench.say(f"  idle: begun after p50 {bars['pickup_idle_p50_ms']:.2f} ms, p99 {bars['pickup_idle_p99_ms']:.2f} ms; settled "
              f"after p50 {bars['settle_p50_ms']:.1f} ms, p99 {of(idle, 'settle', 'p99_ms'):.1f} ms (seen by a client that "
              f"waits: p50 {seen['client']['p50_ms']:.1f} ms)")
    bench.say(f"  provider at 100 ms: settled after p50 {slow_idle['settle']['p50_ms']:.1f} ms, p99 {slow_idle['settle']['p99_ms']:.1f} ms")
    bench.say(f"  {half * 2:,.0f} payments/s in all, " + ", ".join(f"{median(one['per_second'] for one in rounds):,.0f}/s with {number} workers" for number, rounds in more.items())
              + f"; at half of it begun after p99 {bars['pickup_load_p99_ms']:.1f} ms; "
              f"CPU ms each: {full[-1]['cpu_ms_each']}")
    return {"bars": bars, "raw": {
        "per_second": half * 2, "idle": idle, "idle_client_waits": seen, "full": full, "full_by_workers": more, "half": load,
        "provider_100_ms": slow_idle, "provider_100_ms_client_waits": slow_seen}}


def of(rounds, what, which):
    return round(median(one[what][which] for one in rounds), 3)
