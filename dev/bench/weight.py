"""Part 6: what an API weighs before anybody asks it anything: memory, time until it is ready, the size of the programs.

What it holds under load is measured where the load is.
"""

import gzip
import os
import time

from processes import memory_mb
from rounds import median
from service import start_api

STARTS = 5
# A process that has just started has done all it does by itself.
SETTLES = 2
PROGRAMS = ("payment-api", "payment-worker", "payment-migrate")
# What each image has above its base (the Dockerfiles say which).
IMAGES = {"api": ("payment-api", "payment-migrate"), "worker": ("payment-worker",)}


def run(bench):
    servers = bench.servers
    database = servers.fresh("weight")
    ready, idle = [], []
    for number in range(STARTS):
        servers.calm()
        api = start_api(servers, database, bench.issuer.public)
        ready.append(round(api.ready_ms, 1))
        if number >= STARTS - 2:
            time.sleep(SETTLES)
            idle.append(round(memory_mb(api.pid), 1))
            connections = bench.weigh(api, database)["connections"]
        servers.end(api)
    sizes = {name: round(os.path.getsize(servers.programs / name) / 2**20, 1) for name in PROGRAMS}
    packed = {image: round(sum(map(packed_mb, (servers.programs / name for name in names))), 1) for image, names in IMAGES.items()}
    bench.say(f"  ready after {median(ready):.0f} ms, {median(idle):.1f} MB; the programs have "
              + ", ".join(f"{size} MB ({name})" for name, size in sizes.items())
              + "; ours of an image, packed: " + ", ".join(f"{size} MB ({image})" for image, size in packed.items()))
    return {"bars": {"rss_idle_mb": median(idle), "ready_ms": median(ready)},
            "raw": {"ready_ms": ready, "rss_idle_mb": idle, "connections_idle": connections, "binaries_mb": sizes,
                    "image_layer_mb": packed}}


def packed_mb(program):
    """As a registry keeps it."""
    return len(gzip.compress(program.read_bytes(), 6)) / 2**20
