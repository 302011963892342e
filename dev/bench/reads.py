"""Part 5: what a history costs: reading a payment, listing a user's, and making one, with few payments in the table and with many.

Two databases on the same server, asked in turn, each by an API of its own. The large one is kept from one run to the next.
"""

import random

import history
import traffic
from processes import memory_mb
from rounds import median
from service import start_api

FEW, MANY = 10_000, 5_000_000
FEW_NAME, MANY_NAME = "bench_few", "bench_many"
# So many that a p99 is not of a handful.
RATE, SECONDS, ROUNDS = 1_000, 3, 5
# Of so many users, spread over all.
ASKERS = 200
KINDS = ("get", "list", "create")
# A small table is vacuumed after a few thousand new rows, a large one is not: what is measured would be that.
UNDISTURBED = """DO $$ DECLARE name regclass; BEGIN
    FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', name);
    END LOOP; END $$"""
# A bar is for these.
GROWTH = ("get", "create")


class Place:
    """An API on a database with a history, and what some of its users may ask."""

    def __init__(self, bench, database, count):
        self.bench, self.servers, self.database = bench, bench.servers, database
        self.api = start_api(self.servers, database, bench.issuer.public, f"api-{database}")
        chance, there = random.Random(1), history.users(count)
        self.users = [f"user-{n}" for n in chance.sample(range(there), min(ASKERS, there))]
        names = ",".join(f"'{user}'" for user in self.users)
        self.known = self.servers.rows(database, f"SELECT user_id, id FROM payments WHERE user_id IN ({names})")
        chance.shuffle(self.known)
        self.asked = 0

    def requests(self, kind, number):
        if kind == "create":
            return list(traffic.payments(self.bench.issuer, number, self.users))
        if kind == "list":
            return [self.get("/api/payments", self.users[n % len(self.users)]) for n in range(number)]
        # No payment twice, as long as there are others.
        self.asked += number
        chosen = (self.known[n % len(self.known)] for n in range(self.asked - number, self.asked))
        return [self.get("/api/payments/" + id_, user) for user, id_ in chosen]

    def get(self, path, user):
        return traffic.Request("GET", path, {"Authorization": "Bearer " + self.bench.issuer.token(user)})

    def round(self, kind):
        return self.bench.at_rate(self.api, self.requests(kind, RATE * SECONDS + 1), RATE, SECONDS)


def run(bench):
    loaded = prepare(bench)
    # Both are in memory: what is compared is the work, not the disk.
    bench.servers.warm(FEW_NAME, MANY_NAME)
    few, many = Place(bench, FEW_NAME, FEW), Place(bench, MANY_NAME, MANY)
    rounds = {kind: [] for kind in KINDS}
    for kind in KINDS:
        # Connections and statements are there, and tokens are signed.
        for place in (few, many):
            place.round(kind)
        for number in range(ROUNDS):
            first, second = (few, many) if number % 2 else (many, few)
            one, other = first.round(kind), second.round(kind)
            small, large = (one, other) if number % 2 else (other, one)
            rounds[kind].append({"growth_p99": round(large["p99_ms"] / small["p99_ms"], 3), "few": small, "many": large})
        found = {size: median(one[size]["p99_ms"] for one in rounds[kind]) for size in ("few", "many")}
        bench.say(f"  {kind}: p99 {found['few']:.2f} ms with {FEW:,} payments, {found['many']:.2f} ms with {MANY:,}")
    growth = {kind: round(median(one["growth_p99"] for one in rounds[kind]), 3) for kind in KINDS}
    memory = {place.database: round(memory_mb(place.api.pid, "VmHWM"), 1) for place in (few, many)}
    size = bench.servers.sql("postgres", f"SELECT pg_database_size('{MANY_NAME}') / 2^30")
    bench.servers.end(few.api, many.api)
    forget(bench.servers)
    return {"bars": {"growth_p99_ratio": max(growth[kind] for kind in GROWTH)},
            "raw": {"growth_p99": growth, "rate": RATE, "loaded_seconds": loaded, "many_gb": round(float(size), 2),
                    "rss_peak_mb": memory, "rounds": rounds}}


def prepare(bench):
    """Both databases, with this release's schema. How many seconds the large one took, if it was not there."""
    servers, took = bench.servers, 0
    if history.is_there(servers, MANY_NAME, MANY):
        servers.migrate(MANY_NAME)
    else:
        bench.say(f"  {MANY:,} payments are written, once; that takes some minutes")
        took = round(history.load(servers, MANY_NAME, MANY), 1)
        bench.say(f"  that took {took:.0f} s")
    history.load(servers, FEW_NAME, FEW)
    for name in (FEW_NAME, MANY_NAME):
        servers.sql(name, UNDISTURBED)
    return took


def forget(servers):
    """The large database is kept as it was: without what this run made."""
    servers.sql(MANY_NAME, "SET session_replication_role = replica; "
                "DELETE FROM payment_timeline WHERE payment_id IN (SELECT subject_id FROM jobs WHERE state = 'queued'); "
                "DELETE FROM payments WHERE id IN (SELECT subject_id FROM jobs WHERE state = 'queued'); "
                "DELETE FROM idempotency_keys WHERE key LIKE 'order-%'; DELETE FROM jobs WHERE state = 'queued'",
                "VACUUM payments, payment_timeline, jobs, idempotency_keys")
