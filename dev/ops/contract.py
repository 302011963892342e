"""What a PromQL expression names: compared with grafana/metrics.txt, the list of our metrics. Imported by the checks beside it.

Expressions are written in one way, so that this can be simple: `sum by (lane) (…)`, never `sum (…) by (lane)`."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What Prometheus itself adds to each series.
TARGET_LABELS = {"instance", "job"}
# What others tell: kube-state-metrics.
OTHERS = {"kube_pod_container_status_restarts_total": ("counter", {"namespace", "pod", "container"})}
OPERATORS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
CLAUSES = {"by", "without", "on", "ignoring", "group_left", "group_right"}
AGGREGATORS = {"sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile"}
OVER_TIME = {"rate", "increase"}
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[0-9.]+[a-z0-9]*|[a-zA-Z_:][a-zA-Z0-9_:]*|[=!]~|[=!<>]=|\S')
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def metrics():
    """The series that may be named: name to type and labels. A histogram is its three series."""
    known = dict(OTHERS)
    for line in (ROOT / "grafana/metrics.txt").read_text().splitlines():
        name, kind, *labels = line.split(" ")
        labels = set(labels[0].split(",")) if labels else set()
        if kind == "histogram":
            known[f"{name}_bucket"] = ("counter", labels | {"le"})
            known[f"{name}_sum"] = known[f"{name}_count"] = ("counter", labels)
        else:
            known[name] = (kind, labels)
    return known


def runbook_expressions():
    """Those of docs/runbooks.md: each line of a block of PromQL is one."""
    blocks = re.findall(r"```promql\n(.*?)```", (ROOT / "docs/runbooks.md").read_text(), re.S)
    return [line for block in blocks for line in block.splitlines()]


def listed(tokens, at):
    """The names in the parentheses that begin at `at`, and where what follows begins."""
    end = tokens.index(")", at)
    return {token for token in tokens[at + 1 : end] if token != ","}, end + 1


def selectors(expr):
    """Each selector of the expression: the metric, its matchers (label, operator, value), the function it is given to."""
    return list(_read(expr)[0])


def grouped_by(expr):
    """All labels of its `by`."""
    return set().union(*(labels for word, labels, _ in _read(expr)[1] if word == "by"))


def _read(expr):
    tokens = TOKEN.findall(expr)
    found, clauses, open_groups, pending, joined, at = [], [], [], None, [], 0
    while at < len(tokens):
        token = tokens[at]
        if token in CLAUSES:
            if token in ("by", "without") and tokens[at - 1] not in AGGREGATORS:
                raise ValueError(f"`{token}` must follow the aggregation's name")
            labels, at = listed(tokens, at + 1) if tokens[at + 1] == "(" else (set(), at + 1)
            if token in ("by", "without"):
                pending = (token, labels, [])
                clauses.append(pending)
            else:
                joined.append((token, labels))
            continue
        if token == "(":
            open_groups.append(pending)
            pending = None
        elif token == ")":
            open_groups.pop()
        elif NAME.fullmatch(token) and token not in OPERATORS and token not in AGGREGATORS and tokens[at + 1 : at + 2] != ["("]:
            function = tokens[at - 2] if at > 1 and tokens[at - 1] == "(" else ""
            matchers = []
            if tokens[at + 1 : at + 2] == ["{"]:
                at += 2
                while tokens[at] != "}":
                    label, operator, value = tokens[at : at + 3]
                    matchers.append((label, operator, value.strip('"')))
                    at += 4 if tokens[at + 3] == "," else 3
            found.append((token, matchers, function))
            for group in open_groups:
                if group:
                    group[2].append(token)
        at += 1
    clauses += [(word, labels, [metric for metric, _, _ in found]) for word, labels in joined]
    return found, clauses


def faults(expr, known):
    """What is wrong with the names in an expression."""
    try:
        found, clauses = _read(expr)
    except (ValueError, IndexError) as error:
        return [f"cannot be read: {error}"]
    wrong = []
    for metric, matchers, function in found:
        if metric not in known:
            wrong.append(f"no such metric: {metric}")
            continue
        kind, labels = known[metric]
        wrong += [f"{metric} has no label {label}" for label, _, _ in matchers if label not in labels | TARGET_LABELS]
        if kind == "gauge" and function in OVER_TIME:
            wrong.append(f"{metric} is a gauge: no {function}()")
        if kind == "counter" and function not in OVER_TIME | {"absent"}:
            wrong.append(f"{metric} is a counter: rate() or increase()")
    for word, labels, within in clauses:
        had = set(TARGET_LABELS).union(*(known[metric][1] for metric in within if metric in known))
        wrong += [f"no metric in it has the label of `{word} ({label})`" for label in labels - had]
    return wrong
