"""`make bench`: how fast the service is, against what Postgres allows on the same machine in the same run.

    make bench                          all parts; writes bench/results.json
    make bench ONLY="webhooks payments" some of them; writes nothing
    make bench PROGRAMS=dir             the programs of another build

Nothing is measured that failed: a request that is refused ends the benchmark. A bar that is missed is shown, and no error.
"""

import datetime
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

from generators import Generators
from rounds import Bench
from servers import Servers
from traffic import Issuer

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("PROGRAMS") or ROOT / "target/release").resolve()
# A file each; their order is that of the rounds.
PARTS = ("weight", "waiters", "webhooks", "payments", "endtoend", "scaling", "reads")
# What each figure is to be: at least, or at most.
BARS = {
    "webhook_ack_ratio": (">=", 1.0), "payments_ratio": (">=", 0.7), "webhook_p50_ms": ("<=", 2), "webhook_p99_ms": ("<=", 10),
    "pickup_idle_p50_ms": ("<=", 3), "pickup_idle_p99_ms": ("<=", 10), "pickup_load_p99_ms": ("<=", 50),
    "settle_p50_ms": ("<=", 25), "rss_idle_mb": ("<=", 25), "rss_load_mb": ("<=", 80), "ready_ms": ("<=", 250),
    "growth_p99_ratio": ("<=", 1.3), "scaling_4_over_1": (">=", 3.6),
}


def say(text=""):
    print(text, flush=True)


def measure(parts):
    """What the parts give: the bars, and the raw figures of each."""
    servers = Servers(PROGRAMS, ROOT / ".dev/bench")
    bars, raw = {}, {}
    try:
        servers.start()
        servers.must_be_durable()
        bench = Bench(servers, Generators(), Issuer(servers.directory), say)
        for part in parts:
            began = time.monotonic()
            say(part)
            result = importlib.import_module(part).run(bench)
            # Two parts may weigh the same thing: what counts is the most.
            for name, value in result["bars"].items():
                bars[name] = max(bars[name], value) if name in bars else value
            raw[part] = {**result["raw"], "seconds": round(time.monotonic() - began, 1)}
    finally:
        servers.stop()
    return {name: round(bars[name], 3) for name in BARS if name in bars}, raw


def table(bars):
    say(f"\n{'measure':<22}{'value':>10}{'bar':>10}")
    for name, (sign, bar) in BARS.items():
        if name in bars:
            met = bars[name] >= bar if sign == ">=" else bars[name] <= bar
            say(f"{name:<22}{bars[name]:>10.2f}{sign + ' ' + str(bar):>10}  {'met' if met else 'MISSED'}")


def machine():
    words = dict(line.split(":", 1) for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    model = next((value.strip() for name, value in words.items() if name.strip() == "model name"), "unknown")
    return {"cores": os.cpu_count(), "cpu": model, "memory_gb": round(memory / 2**30, 1)}


def commit():
    said = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def main():
    # Whoever ends us ends the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
    only = (os.environ.get("ONLY") or "").split()
    unknown = [part for part in only if part not in PARTS]
    if unknown:
        raise SystemExit(f"no part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    began = time.monotonic()
    bars, raw = measure([part for part in PARTS if part in only or not only])
    table(bars)
    say(f"\n{time.monotonic() - began:.0f} s")
    if only:
        say(json.dumps(raw, indent=1) if os.environ.get("RAW") else "ONLY: nothing was written; RAW=1 prints the raw figures")
        return 0
    results = {"commit": commit(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
               "machine": machine(), "bars": bars, "raw": raw}
    (ROOT / "bench").mkdir(exist_ok=True)
    (ROOT / "bench/results.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
