"""The service's own programs, with the settings of production: one process each, its log in a file."""

import os
import time
import urllib.error
import urllib.request

from processes import Process, free_port, wait_until

WEBHOOK_SECRET = "whsec_bench"
# High, but counted: what a limit costs is a part of each request.
LIMITS = {name: "100000000" for name in ("RATE_LIMIT_WRITES", "RATE_LIMIT_READS", "RATE_LIMIT_ANONYMOUS")}
# What the environment may hold that would make it another service.
NOT_OURS = ("DATABASE_", "REDIS_URL", "STRIPE_", "SWISH_", "JWT_", "RATE_LIMIT_", "WORKER_", "SIMULATOR_", "QUEUE_PREFIX",
            "LISTEN", "DRAIN_MS", "RUST_LOG", "LOG_FORMAT", "OTEL_")
# A delay of the simulator is a fault with a number of times: more often than anybody asks.
ALWAYS = 2**32 - 1


def environment(servers, database, **settings):
    known = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}
    if database:
        known.update(DATABASE_URL=servers.url(database), REDIS_URL=servers.redis_url(), QUEUE_PREFIX=database)
    return {**known, **settings}


def start_api(servers, database, public_key, name="api"):
    """An API that is ready; `ready_ms`: how long that took."""
    address = f"127.0.0.1:{free_port()}"
    settings = environment(servers, database, LISTEN=address, JWT_PEM_FILE=str(public_key),
                           STRIPE_WEBHOOK_SECRETS=WEBHOOK_SECRET, DRAIN_MS="0", **LIMITS)
    api = servers.keep(Process(name, [servers.programs / "payment-api"], servers.logs / f"{name}.log", settings))
    api.address, api.url = address, "http://" + address
    wait_until("the API is ready", lambda: api.must_run() or is_ready(api.url), pause=0.001)
    api.ready_ms = (time.monotonic() - api.began) * 1_000
    return api


def start_worker(servers, database, simulator, name="worker", **settings):
    """A worker that is ready."""
    address = f"127.0.0.1:{free_port()}"
    settings = environment(servers, database, STRIPE_BASE_URL=simulator.url, STRIPE_API_KEY="sk_test_bench",
                           WORKER_LISTEN=address, STRIPE_EVENT_SWEEP="false", **settings)
    worker = servers.keep(Process(name, [servers.programs / "payment-worker"], servers.logs / f"{name}.log", settings))
    wait_until("the worker is ready", lambda: worker.must_run() or answers(f"http://{address}/health"), pause=0.01)
    return worker


def start_simulator(servers, api, delay_ms=0, name="simulator"):
    """Stripe, which answers after so long and sends its events to the API."""
    address = f"127.0.0.1:{free_port()}"
    settings = environment(servers, None, SIMULATOR_WEBHOOK_SECRET=WEBHOOK_SECRET)
    command = [servers.programs / "payment-simulator", "--listen", address, "--webhook-url", api.url + "/api/webhooks/stripe"]
    simulator = servers.keep(Process(name, command, servers.logs / f"{name}.log", settings))
    simulator.url = "http://" + address
    wait_until("the simulator answers", lambda: simulator.must_run() or answers(simulator.url + "/_control/clock"))
    if delay_ms:
        body = b'{"operation": "*", "mode": "delay_ms:%d", "times": %d}' % (delay_ms, ALWAYS)
        asked = urllib.request.Request(simulator.url + "/_control/faults", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(asked, timeout=10).close()
    return simulator


def is_ready(url):
    return answers(url + "/health/ready")


def answers(url):
    """Whether it does, and well."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
