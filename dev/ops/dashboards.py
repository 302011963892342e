#!/usr/bin/env python3
"""What must hold of the dashboards beyond their types."""

import json
import re
import sys

sys.dont_write_bytecode = True
import contract

UNITS = {"short", "percentunit", "s", "d", "reqps", "cpm", "bytes", "bool_on_off"}


def overlap(one, other):
    return all(one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in (("x", "w"), ("y", "h")))


def of_panel(panel, known):
    """What is wrong with a panel that shows something."""
    if not panel.get("description"):
        yield "no description"
    if panel["fieldConfig"]["defaults"].get("unit") not in UNITS:
        yield f"unit {panel['fieldConfig']['defaults'].get('unit')}"
    if panel["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
        yield "another data source than the variable"
    if not panel["targets"]:
        yield "no target"
    if len({target["refId"] for target in panel["targets"]}) != len(panel["targets"]):
        yield "two targets with one refId"
    for target in panel["targets"]:
        expr, legend = target.get("expr", ""), target.get("legendFormat", "")
        if not expr:
            yield "a target without expr"
            continue
        wrong = contract.faults(expr, known)
        yield from (f"{fault}: {expr}" for fault in wrong)
        if wrong:
            continue
        shown = set(re.findall(r"{{(\w+)}}", legend))
        grouped = contract.grouped_by(expr) - {"le"}
        had = grouped or contract.TARGET_LABELS.union(*(known[metric][1] for metric, _, _ in contract.selectors(expr)))
        yield from (f"the legend shows {label}, which is not in {expr}" for label in shown - had)
        # Two series with one name cannot be told apart.
        yield from (f"the legend does not show {label} of {expr}" for label in grouped - shown if not one_value(expr, label))
        if not legend:
            yield f"no legend: {expr}"


def one_value(expr, label):
    """Whether the selectors let the label have one value only."""
    return all((label, "=") in [(name, operator) for name, operator, _ in matchers] for _, matchers, _ in contract.selectors(expr))


def main():
    known = contract.metrics()
    wrong, uids, used = [], set(), set()
    for path in sorted((contract.ROOT / "grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        panels, ids = board["panels"], [panel["id"] for panel in board["panels"]]
        say = lambda what, where="": wrong.append(f"{path.name}{where}: {what}")
        if board["uid"] in uids:
            say("its uid is taken")
        uids.add(board["uid"])
        if len(set(ids)) != len(ids):
            say("two panels with one id")
        if [variable["name"] for variable in board["templating"]["list"]] != ["datasource"]:
            say("not the one variable `datasource`")
        for number, panel in enumerate(panels):
            where, place = f": {panel['title']}", panel["gridPos"]
            if place["x"] < 0 or place["x"] + place["w"] > 24:
                say("beyond the grid", where)
            for other in panels[number + 1 :]:
                if overlap(place, other["gridPos"]):
                    say(f"overlaps {other['title']}", where)
            if panel["type"] != "row":
                for what in of_panel(panel, known):
                    say(what, where)
                used |= {metric for target in panel["targets"] for metric, _, _ in contract.selectors(target.get("expr", ""))}
    ours = {re.sub("_(bucket|sum|count)$", "", metric) for metric in used}
    for line in (contract.ROOT / "grafana/metrics.txt").read_text().splitlines():
        name = line.split(" ")[0]
        if name.startswith("payment_service_") and name not in ours:
            wrong.append(f"{name} is on no dashboard")
    print("\n".join(wrong) or f"{len(uids)} dashboards are in order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
