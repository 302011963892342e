"""Part 7: requests that wait, a thousand of a kind: what each of them holds, and how soon all are told of a change.

A stream of events has the payment at once and again when it has changed; a held GET is answered when it has.
"""

import re
import selectors
import socket
import time
import urllib.request

from generators import percentiles
from payments import customers_of_all
from processes import memory_mb, wait_until
from service import start_api

MANY = 1_000
# Not all knock at once: each begins with a read, and what is measured is waiting.
AT_ONCE, PAUSE = 20, 0.05
# Of each: the end of its path, its headers, and what it is told.
KINDS = {"streams": ("/events", "Last-Event-ID: 1", b"id: 2\n"),
         "held GETs": ("", 'Prefer: wait=60\r\nIf-None-Match: "1"', b'etag: "2"')}


def run(bench):
    database = bench.servers.fresh("waiters")
    raw = {}
    for kind, asked in KINDS.items():
        # A new process each time: a client that is gone is noticed only later.
        api = start_api(bench.servers, database, bench.issuer.public, "api-waiters")
        customers_of_all(bench, api)
        raw[kind] = measure(bench, api, database, *asked)
        bench.servers.end(api)
        bench.say(f"  {MANY} {kind}: {raw[kind]['kib_each']:.1f} KiB each, {raw[kind]['connections']} connections to Postgres, "
                  f"{raw[kind]['subscriptions']} subscription(s); told after p50 {raw[kind]['told']['p50_ms']:.0f} ms, all after "
                  f"{raw[kind]['told']['p999_ms']:.0f} ms")
    return {"bars": {}, "raw": raw}


def measure(bench, api, database, suffix, header, news):
    servers = bench.servers
    user, payment = servers.rows(database, "SELECT user_id, id FROM payments WHERE version = 1 LIMIT 1")[0]
    asked = (f"GET /api/payments/{payment}{suffix} HTTP/1.1\r\nHost: {api.address}\r\n"
             f"Authorization: Bearer {bench.issuer.token(user)}\r\n{header}\r\n\r\n").encode()
    before, clients = memory_mb(api.pid), []
    for number in range(1, MANY + 1):
        client = socket.create_connection(api.address.split(":"), timeout=10)
        client.sendall(asked)
        clients.append(client)
        if number % AT_ONCE == 0:
            wait_until("all wait", lambda: waiting(api) == number, 10, pause=0.01)
            time.sleep(PAUSE)
    weight, during = bench.weigh(api, database), memory_mb(api.pid)
    subscriptions = len(re.findall(r"\bsub=[1-9]", servers.redis_says("CLIENT LIST TYPE pubsub")))
    for client in clients:
        already(client)
    servers.sql(database, f"UPDATE payments SET version = version + 1, updated_at = now() WHERE id = '{payment}'")
    began = time.monotonic()
    servers.redis_says(f"PUBLISH {database}-payment-changed {payment}")
    told = answered(clients, news, began)
    for client in clients:
        client.close()
    return {"kib_each": round((during - before) * 1_024 / MANY, 1), "connections": weight["connections"],
            "subscriptions": subscriptions, "told": percentiles(told)}


def already(client):
    """Takes what a client has been sent so far."""
    client.setblocking(False)
    try:
        while client.recv(65_536):
            pass
    except BlockingIOError:
        pass


def answered(clients, news, began):
    """When each was told, in ms."""
    told, selector = [], selectors.DefaultSelector()
    for client in clients:
        selector.register(client, selectors.EVENT_READ)
    while len(told) < len(clients):
        ready = selector.select(10)
        if not ready:
            raise SystemExit(f"{len(clients) - len(told)} requests that wait were not told of a change")
        for key, _ in ready:
            said = key.fileobj.recv(65_536)
            if news not in said:
                raise SystemExit(f"told something else: {said[:200]}")
            told.append((time.monotonic() - began) * 1_000)
            selector.unregister(key.fileobj)
    return told


def waiting(api):
    with urllib.request.urlopen(api.url + "/metrics", timeout=5) as answer:
        return int(re.search(r"^payment_service_waiting_requests (\d+)", answer.read().decode(), re.M)[1])
