"""The faults: when each strikes and how is a pure function of the seed.

`schedule` says at which operation what happens; `Adversary` does it. What it stops it wakes again, and what it holds back
it lets go, at the latest in `rest`.

Left out on purpose: the end of the simulators (they play those who never die on us). A full disk of Redis is played by its
memory limit: either way it refuses every write.
"""

import collections
import random
import signal
import threading
import time

# What happens how often.
KINDS = {
    "kill_api": 3, "stop_api": 2, "kill_worker": 8, "stop_worker": 6, "rolling_restart": 2,
    "redis_flush": 4, "redis_kill": 3, "redis_hang": 2, "redis_full": 2,
    "postgres_quit": 1, "postgres_terminate": 3, "postgres_hang": 1, "postgres_lock": 2, "postgres_crowd": 1,
    "stripe_fault": 22, "swish_fault": 18, "stripe_down": 1, "swish_down": 1,
    "stripe_webhook": 8, "swish_webhook": 8, "stripe_hold": 3, "swish_hold": 3,
}
MODES = (
    "error_before:500", "error_before:503", "error_after:500", "error_after:502", "drop_before", "drop_after", "garbage",
    "garbage_after", "gateway:404", "gateway:502", "rate_limit", "delay_ms:700", "delay_ms:8000",
)
OPERATIONS = {
    "stripe": ["*", "*", "payment_intents.create", "payment_intents.create", "payment_intents.capture",
               "payment_intents.cancel", "payment_intents.retrieve", "refunds.create", "refunds.create", "refunds.retrieve",
               "refunds.list", "payment_intents.list", "subscriptions.create", "subscriptions.update",
               "subscriptions.retrieve", "customers.create", "setup_intents.create", "disputes.update", "disputes.retrieve"],
    "swish": ["*", "*", "payments.create", "payments.create", "payments.retrieve", "payments.cancel", "refunds.create",
              "refunds.create", "refunds.retrieve"],
}
WEBHOOKS = {
    "stripe": ("webhook:duplicate", "webhook:twin", "webhook:delay", "webhook:reorder", "webhook:lose"),
    "swish": ("webhook:duplicate", "webhook:delay", "webhook:reorder", "webhook:lose", "webhook:lose"),
}
# How many operations there are to a fault.
EVERY = 4
# A day passes at most so often: for it all must come to rest.
DAY_EVERY = 250

Fault = collections.namedtuple("Fault", "at kind details")


def schedule(seed, operations):
    """The faults of a seed, in the order of the operations at whose beginning they strike."""
    random_ = random.Random(f"{seed}/adversary")
    faults = []
    for _ in range(operations // EVERY):
        kind = random_.choices(list(KINDS), list(KINDS.values()))[0]
        provider = kind.split("_")[0]
        details = {"which": random_.random(), "seconds": round(random_.uniform(0.5, 12), 1), "seed": random_.getrandbits(31)}
        if kind.endswith("_fault"):
            details.update(operation=random_.choice(OPERATIONS[provider]), mode=random_.choice(MODES),
                           times=random_.choice([1, 1, 1, 2, 3]))
        elif kind.endswith("_webhook"):
            details.update(operation="*", mode=random_.choice(WEBHOOKS[provider]), times=random_.choice([1, 1, 2, 4]))
        elif kind.endswith("_down"):
            details.update(operation="*", mode="error_before:503", times=random_.randrange(20, 60))
        faults.append(Fault(random_.randrange(operations), kind, details))
    for number in range(operations // DAY_EVERY):
        at = DAY_EVERY * number + random_.randrange(DAY_EVERY // 3, DAY_EVERY)
        faults.append(Fault(at, "day", {"seconds": 86_400 + random_.randrange(3_600)}))
    return sorted(faults, key=lambda fault: (fault.at, fault.kind, str(fault.details)))


class Adversary:
    def __init__(self, stack, load, faults, rest):
        """`rest` brings all to rest and says whether it came."""
        self.stack, self.load, self.faults, self.rest = stack, load, faults, rest
        self.struck, self.missed = collections.Counter(), collections.Counter()
        self.under_way, self.log, self.began = [], [], time.monotonic()

    def run(self):
        for fault in self.faults:
            while self.load.begun < fault.at and self.load.ended < self.load.operations:
                time.sleep(0.02)
            done = self.strike(fault)
            name = fault.details.get("mode") if "mode" in fault.details else ""
            (self.struck if done else self.missed)[f"{fault.kind} {name}".strip()] += 1
            self.log.append((round(time.monotonic() - self.began, 2), fault.at, fault.kind, fault.details, done))

    def strike(self, fault):
        try:
            what = fault.details
            if "mode" in what:
                provider = fault.kind.split("_")[0]
                set_ = {name: what[name] for name in ("operation", "mode", "times")}
                return "error" not in (self.stack.control(provider, "POST", "/faults", set_) or {})
            return getattr(self, fault.kind)(what)
        except (OSError, ValueError):
            return False

    def later(self, seconds, then):
        """Does something after a while, beside what else goes on."""
        def wait():
            time.sleep(seconds)
            then()
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        self.under_way.append(thread)

    def finish(self):
        """All that was begun is over, all that was stopped is awake, all that was held back is on its way."""
        for thread in self.under_way:
            thread.join()
        self.stack.wake_all()
        for provider in ("stripe", "swish"):
            self.stack.control(provider, "POST", "/webhooks", {"hold": False, "order": "in_order"})

    # What happens

    def one(self, name, which):
        pids = self.stack.pids(name)
        return pids[int(which * len(pids))]

    def stop_for(self, pid, seconds):
        stopped = self.stack.signal(pid, signal.SIGSTOP)
        if stopped:
            self.later(seconds, lambda: self.stack.signal(pid, signal.SIGCONT))
        return stopped

    def kill_api(self, what):
        return self.stack.signal(self.one("api", 0), signal.SIGKILL)

    def stop_api(self, what):
        return self.stop_for(self.one("api", 0), what["seconds"])

    def kill_worker(self, what):
        return self.stack.signal(self.one("workers", what["which"]), signal.SIGKILL)

    def stop_worker(self, what):
        return self.stop_for(self.one("workers", what["which"]), what["seconds"])

    def rolling_restart(self, what):
        """One worker after the other, as a new release comes."""
        def roll():
            for pid in self.stack.pids("workers"):
                self.stack.signal(pid, signal.SIGTERM)
                end = time.monotonic() + 15
                while pid in self.stack.pids("workers") and time.monotonic() < end:
                    time.sleep(0.1)
        self.later(0, roll)
        return True

    def redis_flush(self, what):
        return self.stack.redis("FLUSHALL")

    def redis_kill(self, what):
        return self.stack.signal(self.one("redis", 0), signal.SIGKILL)

    def redis_hang(self, what):
        return self.stop_for(self.one("redis", 0), what["seconds"])

    def redis_full(self, what):
        """It refuses every write, and answers every read."""
        full = self.stack.redis("CONFIG SET maxmemory 1")
        self.later(what["seconds"], lambda: self.stack.redis("CONFIG SET maxmemory 0"))
        return full

    def postgres_quit(self, what):
        """At once and without a word: what was not committed is gone."""
        return self.stack.signal(self.one("postgres", 0), signal.SIGQUIT)

    def postgres_terminate(self, what):
        sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() " \
              "AND datname = current_database()"
        return int(self.stack.psql(sql)) > 0

    def postgres_hang(self, what):
        """Every session stands still: no error, no answer, and its locks are held."""
        stopped = self.stack.signal_sessions(signal.SIGSTOP)
        self.later(what["seconds"], lambda: self.stack.signal_sessions(signal.SIGCONT))
        return stopped > 0

    def postgres_lock(self, what):
        """Whoever needs the table waits, until all connections of a pool do."""
        table = "jobs" if what["which"] < 0.5 else "payments"
        sql = f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({what['seconds']}); COMMIT"
        self.later(0, lambda: self.stack.psql(sql))
        return True

    def postgres_crowd(self, what):
        """Others have all the connections that Postgres allows; ours are cut and cannot come back."""
        self.postgres_terminate(what)
        crowd = self.stack.crowd()
        self.later(what["seconds"], lambda: [connection.close() for connection in crowd])
        return bool(crowd)

    def stripe_hold(self, what):
        return self.hold("stripe", what)

    def swish_hold(self, what):
        return self.hold("swish", what)

    def hold(self, provider, what):
        self.stack.control(provider, "POST", "/webhooks", {"hold": True})
        let_go = {"hold": False, "order": "shuffled", "seed": what["seed"]}
        self.later(what["seconds"], lambda: self.stack.control(provider, "POST", "/webhooks", let_go))
        return True

    def day(self, what):
        """A day of both providers' clocks. Only at rest: their keys live no longer, and our own time does not move."""
        self.load.hold()
        self.finish()
        try:
            if not self.rest():
                return False
            for provider in ("stripe", "swish"):
                self.stack.control(provider, "POST", "/clock", {"advance_seconds": what["seconds"]})
            return True
        finally:
            self.load.go_on()
