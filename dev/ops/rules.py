#!/usr/bin/env python3
"""What promtool does not see: names of metrics and labels, runbooks, and that each alert has a case and a near miss."""

import json
import re
import sys

sys.dont_write_bytecode = True
import contract
import yaml

HTTP = "payment_service_http_request_duration_seconds_bucket"


def read(path):
    return (contract.ROOT / path).read_text()


def of_alert(rule, known):
    """What is wrong with one alert."""
    name, expr, notes = rule["alert"], rule["expr"], rule.get("annotations", {})
    yield from contract.faults(expr, known)
    if rule.get("labels", {}).get("severity") not in ("critical", "warning"):
        yield "severity is neither critical nor warning"
    if not notes.get("summary") or not notes.get("description"):
        yield "no summary or no description"
    if notes.get("runbook_url") != f"docs/runbooks.md#{name.lower()}":
        yield f"its runbook_url is not docs/runbooks.md#{name.lower()}"
    had = contract.grouped_by(expr) - {"le"} or contract.TARGET_LABELS
    for label in re.findall(r"\$labels\.(\w+)", " ".join(notes.values())):
        if label not in had:
            yield f"its text names the label {label}, which it does not have"


def of_tests(names, tests):
    """Each alert must be seen firing, and seen not to."""
    fires, silent = set(), set()
    for test in tests:
        for case in test["promql_expr_test"]:
            name = re.fullmatch(r'ALERTS{alertname="(\w+)",alertstate="firing"}', case["expr"])
            if not name:
                yield f"alerts_test.yaml: a case must ask for ALERTS{{alertname=…,alertstate=\"firing\"}}: {case['expr']}"
            else:
                (fires if case.get("exp_samples") else silent).add(name[1])
    yield from (f"{name}: no case in which it fires" for name in sorted(names - fires))
    yield from (f"{name}: no near miss" for name in sorted(names - silent))
    yield from (f"alerts_test.yaml: no such alert: {name}" for name in sorted((fires | silent) - names))


def matches(matchers, series):
    for label, operator, value in matchers:
        hit = series[label] == value if operator in ("=", "!=") else bool(re.fullmatch(value, series[label]))
        if hit != (operator in ("=", "=~")):
            return False
    return True


def that_wait(rules):
    """No operation that is long on purpose may count as slow."""
    document = json.loads(read("api/openapi.json"))
    for path, methods in document["paths"].items():
        series = {"path": path}
        for method, operation in methods.items():
            waits = any(parameter.get("name") == "Prefer" for parameter in operation.get("parameters", []))
            if not waits and "text/event-stream" not in json.dumps(operation.get("responses", {})):
                continue
            series["method"] = method.upper()
            for rule in rules:
                for metric, matchers, _ in contract.selectors(rule["expr"]):
                    if metric == HTTP and matches([matcher for matcher in matchers if matcher[0] in series], series):
                        yield f"{rule['alert']} counts {method.upper()} {path}, which waits on purpose"


def of_runbooks(names, known):
    text = read("docs/runbooks.md")
    sections = set(re.findall(r"^## (\w+)$", text, re.M))
    yield from (f"{name}: no section in docs/runbooks.md" for name in sorted(names - sections))
    yield from (f"docs/runbooks.md: no such alert: {name}" for name in sorted(sections - names))
    for word in re.findall(r"\*([A-Z][a-z]+[A-Z]\w+)\*", text):
        if word not in names:
            yield f"docs/runbooks.md: no such alert: {word}"
    for expr in contract.runbook_expressions():
        yield from (f"docs/runbooks.md: {fault}: {expr}" for fault in contract.faults(expr, known))
    paths = json.loads(read("api/openapi.json"))["paths"]
    for method, path in re.findall(r"admin (GET|POST) [\"']?([^\s\"'?`)]+)", text):
        asked = f"/api/admin/{path}"
        if not any(method.lower() in methods and re.fullmatch(re.sub(r"{\w+}", "[^/]+", each), asked) for each, methods in paths.items()):
            yield f"docs/runbooks.md: no such operation: {method} {path}"


def main():
    known = contract.metrics()
    rules = [rule for group in yaml.safe_load(read("grafana/alerts.yaml"))["groups"] for rule in group["rules"]]
    tests = yaml.safe_load(read("grafana/alerts_test.yaml"))["tests"]
    names = {rule["alert"] for rule in rules}
    wrong = [] if len(names) == len(rules) else ["two alerts with one name"]
    for rule in rules:
        wrong += [f"{rule['alert']}: {what}" for what in of_alert(rule, known)]
    wrong += [*of_tests(names, tests), *that_wait(rules), *of_runbooks(names, known)]
    print("\n".join(wrong) or f"{len(rules)} alerts are in order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
