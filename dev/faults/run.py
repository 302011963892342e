"""`make test-faults`: a stack, a load and an adversary for each seed, then the invariants.

    make test-faults SEEDS=5 FIRST_SEED=1 OPS=500

The same seed asks for the same operations and brings the same faults at the same ones; which of them meet is up to the
machine. What a seed found is kept in `.dev/faults/seed-N`: its logs, its database, the faults with their times.
"""

import collections
import json
import os
import pathlib
import signal
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import adversary
import invariants
import skew
from shop import Shop
from stack import Stack

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Others can be tried: a release, or a service that was broken on purpose.
PROGRAMS = pathlib.Path(os.environ.get("PROGRAMS") or ROOT / "target/debug").resolve()
SKEW_MAX = 120
# How long all may take to come to rest.
PATIENCE = 150


def setting(name, default):
    return int(os.environ.get(name) or default)


def say(text=""):
    print(text, flush=True)


def storm(stack, load, seed):
    """Load and faults together, until the load is done."""
    faults = adversary.schedule(seed, load.operations)
    enemy = adversary.Adversary(stack, load, faults, lambda: not invariants.rest(stack, PATIENCE))
    threads = [threading.Thread(target=enemy.run, daemon=True), threading.Thread(target=load.run, daemon=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    enemy.finish()
    return enemy


def settle(stack):
    """All comes to rest, payers who did not answer have lost their chance, slow refunds come through: what did not rest."""
    violations = []
    for provider, seconds in ((None, 0), ("swish", 181), ("stripe", 3_700)):
        if provider:
            stack.control(provider, "POST", "/clock", {"advance_seconds": seconds})
        left = invariants.rest(stack, PATIENCE)
        if left:
            violations += [f"not quiet: {line}" for line in left]
            break
    return violations


def one_seed(seed, operations, totals):
    """The violations of a seed."""
    say(f"\nseed {seed}: again with make test-faults SEEDS=1 FIRST_SEED={seed} OPS={operations}")
    began = time.monotonic()
    # With every other seed, each process has a clock of its own.
    skewed = seed % 2 == 0
    programs = skew.programs(PROGRAMS, ROOT / ".dev/faults", SKEW_MAX) if skewed else PROGRAMS
    stack = Stack(programs, ROOT / f".dev/faults/seed-{seed}")
    try:
        stack.start()
        load = Shop(stack, seed, operations)
        load.save_cards()
        enemy = storm(stack, load, seed)
        stormed = time.monotonic()
        (stack.directory / "faults.json").write_text("\n".join(json.dumps(line) for line in enemy.log) + "\n")
        violations = settle(stack)
        settled = time.monotonic()
        world = invariants.World(stack, load)
        for check in invariants.CHECKS:
            violations += [f"{check.__name__}: {line}" for line in check(world)]
    finally:
        stack.stop()
    (stack.directory / "violations.txt").write_text("\n".join(violations) + "\n")
    totals["operations"] += load.operations
    totals["faults"] += sum(enemy.struck.values())
    report(load, enemy, world)
    if skewed:
        say(f"  each process of ours had a clock of its own, wrong by {SKEW_MAX} s at most")
    say(f"  storm {stormed - began:.0f} s, until at rest {settled - stormed:.0f} s, "
        f"in all {time.monotonic() - began:.0f} s; {len(violations)} violations")
    for line in violations:
        say(f"  VIOLATION seed {seed}: {line}")
    if violations:
        say(f"  see {stack.directory.relative_to(ROOT)}")
    else:
        stack.forget()
    return violations


def report(load, enemy, world):
    kinds = collections.defaultdict(dict)
    for (kind, answer), count in sorted(load.answers.items()):
        kinds[kind][answer] = count
    say("  operations:")
    for kind, answers in kinds.items():
        say(f"    {kind}: " + ", ".join(f"{answer} ×{count}" for answer, count in answers.items()))
    say("  faults: " + ", ".join(f"{kind} ×{count}" for kind, count in sorted(enemy.struck.items())))
    if enemy.missed:
        say("  faults that found nothing: " + ", ".join(f"{kind} ×{n}" for kind, n in sorted(enemy.missed.items())))
    say(f"  checked: {len(world.payments)} payments, {len(world.refunds)} refunds, {len(world.subscriptions)} subscriptions, "
        f"{len(world.stripe)} entries of Stripe's ledger, {len(world.swish)} of Swish's, "
        f"{sum(1 for write in load.writes if write.key)} keys; {len(world.unknown)} explicitly unknown")


def main():
    # Whoever ends us ends the stack too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
    seeds, first, operations = setting("SEEDS", 5), setting("FIRST_SEED", 1), setting("OPS", 500)
    totals, violations = collections.Counter(), []
    for seed in range(first, first + seeds):
        violations += one_seed(seed, operations, totals)
    say()
    say(f"violations: {len(violations)} (seeds {seeds}, operations {totals['operations']}, faults {totals['faults']})")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
