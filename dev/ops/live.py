#!/usr/bin/env python3
"""Asks a Prometheus of its own every question of the dashboards, alerts and runbooks, against running processes.

    dev/ops/live.py http://127.0.0.1:8080/metrics http://127.0.0.1:9090/metrics

Give all of api and worker, and let payments, refunds, subscriptions and disputes be made meanwhile: it scrapes for ninety seconds.
An expression that fails or tells nothing fails the check. Of an alert each side of `and`, `or`, `unless` and of a comparison is
asked by itself, without what is only a number; of `absent(x)` it is x. An alert must be silent where all is well, so asking for
the whole would tell nothing."""

import json
import math
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
import contract

SECONDS = 90
WORK = contract.ROOT / "target/ops/live"
# What may be empty, and why.
MAY_BE_EMPTY = {"kube_pod_container_status_restarts_total": "the cluster tells it, not we"}
VARIABLES = {"$__rate_interval": "30s", "$__range": "1m", "$__interval": "15s"}


def splits(expr):
    """The sides of its comparisons and set operators that name a metric."""
    sides, side, depth = [], "", 0
    tokens = contract.TOKEN.findall(expr)
    at = 0
    while at < len(tokens):
        token = tokens[at]
        depth += (token in "({") - (token in ")}")
        if depth == 0 and token in {"and", "or", "unless", ">", "<", ">=", "<=", "==", "!="}:
            sides.append(side)
            side = ""
            if tokens[at + 1] in ("on", "ignoring"):
                at = tokens.index(")", at)
        else:
            side += token + (" " if contract.NAME.fullmatch(token) else "")
        at += 1
    sides = [re.sub(r"^absent \((.*)\)$", r"\1", each) for each in [*sides, side]]
    return [each for each in sides if contract.selectors(each)]


def questions(alerts):
    """Where an expression stands, the expression, and the labels that its legend shows."""
    for path in sorted((contract.ROOT / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.stem}: {panel['title']}", target["expr"], re.findall(r"{{(\w+)}}", target["legendFormat"])
    for alert in alerts:
        for side in splits(alert["query"]):
            yield f"alert {alert['name']}", side, []
    for expr in contract.runbook_expressions():
        yield "docs/runbooks.md", expr, []


class Prometheus:
    def __init__(self, binary, urls):
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir(parents=True)
        targets = [urllib.parse.urlsplit(url) for url in urls]
        scrapes = [
            {"job_name": f"process-{number}", "scheme": target.scheme, "metrics_path": target.path, "static_configs": [{"targets": [target.netloc]}]}
            for number, target in enumerate(targets)
        ]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "5s"},
            "rule_files": [str(contract.ROOT / "grafana/alerts.yaml")],
            "scrape_configs": scrapes,
        }
        # JSON is YAML.
        (WORK / "prometheus.yaml").write_text(json.dumps(config))
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}/api/v1/"
        arguments = [f"--config.file={WORK}/prometheus.yaml", f"--storage.tsdb.path={WORK}/data", f"--web.listen-address={address}"]
        with (WORK / "prometheus.log").open("w") as log:
            self.process = subprocess.Popen([f"{binary}/prometheus", *arguments], stderr=log)

    def ask(self, path, **parameters):
        with urllib.request.urlopen(self.url + path + "?" + urllib.parse.urlencode(parameters), timeout=30) as answer:
            return json.load(answer)["data"]

    def all_up(self, count, within=30):
        for _ in range(within):
            time.sleep(1)
            try:
                if sum(target["health"] == "up" for target in self.ask("targets")["activeTargets"]) == count:
                    return True
            except OSError:
                if self.process.poll() is not None:
                    break
        return False


def told(prometheus, where, expr, legend):
    """What is wrong with what Prometheus answers to an expression."""
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    try:
        answer = prometheus.ask("query", query=expr)
    except urllib.error.HTTPError as error:
        return [f"{where}: {json.load(error)['error']}: {expr}"]
    series = [one for one in answer["result"] if not math.isnan(float(one["value"][1]))]
    if not series and not any(metric in MAY_BE_EMPTY for metric, _, _ in contract.selectors(expr)):
        return [f"{where}: tells {'only NaN' if answer['result'] else 'nothing'}: {expr}"]
    return [f"{where}: no series has the label {label}: {expr}" for label in legend if not any(label in one["metric"] for one in series)]


def main(urls):
    if not urls:
        print(__doc__)
        return 2
    binary = subprocess.run([contract.ROOT / "dev/ops/prometheus.sh"], check=True, capture_output=True, text=True).stdout.strip()
    wrong = []
    for url in urls:
        try:
            text = urllib.request.urlopen(url, timeout=10).read()
        except OSError as error:
            print(f"{url}: {error}")
            return 1
        lint = subprocess.run([f"{binary}/promtool", "check", "metrics"], input=text, capture_output=True)
        if lint.returncode:
            wrong.append(f"{url}: promtool: {(lint.stdout + lint.stderr).decode().strip()}")
    prometheus = Prometheus(binary, urls)
    try:
        if not prometheus.all_up(len(urls)):
            print(f"not all of {urls} can be scraped: see {WORK}/prometheus.log")
            return 1
        time.sleep(SECONDS)
        groups = prometheus.ask("rules")["groups"]
        alerts = [rule for group in groups for rule in group["rules"]]
        wrong += [f"alert {rule['name']}: {rule.get('lastError') or rule['health']}" for rule in alerts if rule["health"] != "ok"]
        asked = list(questions(alerts))
        there = set(prometheus.ask("label/__name__/values"))
        named = {metric for _, expr, _ in asked for metric, _, _ in contract.selectors(expr)}
        wrong += [f"{metric} is named, and in no scrape" for metric in sorted(named - there - MAY_BE_EMPTY.keys())]
        for where, expr, legend in asked:
            wrong += told(prometheus, where, expr, legend)
        firing = prometheus.ask("alerts")["alerts"]
        wrong += [f"alert {alert['labels']['alertname']}: {text}" for alert in firing for text in alert["annotations"].values() if "<error" in text]
    finally:
        prometheus.process.terminate()
        prometheus.process.wait()
    print("\n".join(wrong) or f"{len(asked)} expressions of dashboards, alerts and runbooks tell something")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
