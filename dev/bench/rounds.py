"""Rounds: what the parts share. One round of ours and one of the reference follow each other, in turn the one or the other first."""

import statistics
import time

from generators import CONNECTIONS, pgbench
from processes import Meter, memory_mb


class Bench:
    """What a part is given."""

    def __init__(self, servers, generators, issuer, say):
        self.servers, self.generators, self.issuer, self.say = servers, generators, issuer, say

    def meter(self, **processes):
        return Meter(postgres=self.servers.postgres, redis=self.servers.redis, **processes)

    def saturated(self, api, requests, seconds):
        """A round of our own."""
        requests = list(requests)
        self.servers.calm()
        meter = self.meter(api=api)
        result = self.generators.saturate(api, requests, seconds)
        return {**result, **meter.read(result["requests"])}

    def at_rate(self, api, requests, rate, seconds):
        requests = list(requests)
        self.servers.calm()
        meter = self.meter(api=api)
        result = self.generators.at_rate(api, requests, rate, seconds)
        return {**result, **meter.read(result["requests"])}

    def reference(self, database, script, seconds, table, **variables):
        """A round of pgbench. Each transaction must have written a row of the table."""
        count = lambda: int(self.servers.sql(database, f"SELECT count(*) FROM {table}"))
        before = count()
        self.servers.calm()
        meter = self.meter()
        # Sixteen numbers a millisecond: no round comes to where another began.
        result = pgbench(self.servers, database, script, seconds, seq=time.time_ns() // 1_000_000 * 16, **variables)
        costs = meter.read(result["requests"])
        # Those that were under way when the time was up are not reported.
        if not 0 <= count() - before - result["requests"] <= CONNECTIONS:
            raise SystemExit(f"{script}: {result['requests']} transactions wrote {count() - before} rows of {table}")
        return {**result, **costs}

    def against(self, ours, reference, rounds):
        """Rounds of both, in turn."""
        pairs = []
        for number in range(rounds):
            if number % 2:
                mine, theirs = ours(), reference()
            else:
                theirs, mine = reference(), ours()
            pairs.append({"ratio": round(mine["per_second"] / theirs["per_second"], 3), "ours": mine, "reference": theirs})
            self.say(f"  {mine['per_second']:,.0f}/s, reference {theirs['per_second']:,.0f}/s: {pairs[-1]['ratio']:.2f}")
        return pairs

    def weigh(self, api, database):
        """What an API holds, after it was under load."""
        connections = self.servers.sql("postgres", f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'")
        return {"rss_peak_mb": round(memory_mb(api.pid, "VmHWM"), 1), "connections": int(connections)}


def median(values):
    return statistics.median(list(values))


def medians(results, *names):
    return {name: round(median(result[name] for result in results), 3) for name in names}
