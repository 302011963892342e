#!/usr/bin/env python3
"""`make check-live`: a stack of its own, a shop's day on it, and live.py, which asks a Prometheus about both."""

import os
import pathlib
import sys
import threading

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "dev/faults"), str(ROOT / "dev/ops")]

import live
from shop import Shop
from stack import Stack

PROGRAMS = pathlib.Path(os.environ.get("PROGRAMS") or ROOT / "target/debug").resolve()
# More than are done while live.py scrapes.
OPERATIONS = 2_000


def main():
    stack = Stack(PROGRAMS, ROOT / "target/ops/underload", workers=2)
    try:
        stack.start()
        shop = Shop(stack, 1, OPERATIONS)
        shop.save_cards()
        # What is only seen when something fails.
        for mode in ("error_before:500", "rate_limit"):
            stack.control("stripe", "POST", "/faults", {"operation": "payment_intents.create", "mode": mode, "times": 20})
        threading.Thread(target=shop.run, daemon=True).start()
        # Payments that cannot be stored meanwhile.
        lock = "BEGIN; LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(10); COMMIT"
        threading.Timer(30, stack.psql, [lock]).start()
        return live.main(stack.known["metrics_urls"])
    finally:
        stack.stop()


if __name__ == "__main__":
    sys.exit(main())
