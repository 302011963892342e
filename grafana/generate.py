#!/usr/bin/env python3
"""Writes grafana/dashboards/*.json, or into the folder given. Change the panels here, never the JSON."""

import json
import sys
from pathlib import Path

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# The state read from Postgres is told by each API process alike: `max by`, never `sum`. What each process counts is summed.
RATE = "$__rate_interval"


def panel(kind, title, unit, description, targets, width, height, options, defaults):
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": expr, "legendFormat": legend} for number, (expr, legend) in enumerate(targets)
        ],
        "fieldConfig": {"defaults": {"unit": unit, "noValue": "no data", **defaults}, "overrides": []},
        "options": options,
    }


def graph(title, unit, description, *targets, width=8):
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, unit, description, targets, width, 8, options, {"min": 0})


def stat(title, unit, description, *targets, width=6, red=None):
    """`red`: from this value on it is red."""
    steps = [{"color": "green", "value": None}] + ([{"color": "red", "value": red}] if red else [])
    options = {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return panel("stat", title, unit, description, targets, width, 4, options, {"thresholds": {"mode": "absolute", "steps": steps}})


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}


def dashboard(name, title, description, panels):
    x = y = tallest = 0
    for number, each in enumerate(panels, 1):
        place = each["gridPos"]
        if x + place["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        each["id"], place["x"], place["y"] = number, x, y
        x, tallest = x + place["w"], max(tallest, place["h"])
    return {
        "uid": f"payment-service-{name}",
        "title": f"Payment service: {title}",
        "description": description,
        "tags": ["payment-service"],
        "schemaVersion": 39,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "hide": 0}]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def per_minute(metric, by):
    return f"sum by ({by}) (rate({metric}[{RATE}])) * 60"


def per_second(metric, by):
    return f"sum by ({by}) (rate({metric}[{RATE}]))"


def in_an_hour(metric, by):
    return f"sum by ({by}) (increase({metric}[1h]))"


def quantile(q, histogram, by="", window=RATE):
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({histogram}[{window}])))"


PAYMENTS = "payment_service_payments_total"
VOLUME = "payment_service_payment_amount_sum"
ENDED = PAYMENTS + '{status=~"succeeded|failed"}'
SUCCEEDED = PAYMENTS + '{status="succeeded"}'
SETTLED = "payment_service_payment_settled_seconds_bucket"
ESTIMATE = "Estimated from counters: the books are in Postgres and at the providers."


def business():
    succeeded, ended = (f"increase({metric}[$__range])" for metric in (SUCCEEDED, ENDED))
    return [
        row("In the time shown"),
        stat("Payments that succeeded", "short", ESTIMATE, (f"sum by (provider) ({succeeded})", "{{provider}}")),
        stat("Success rate", "percentunit", "Succeeded, of those that succeeded or failed. A payment that failed and was tried again counts both times.",
             (f"sum by (provider) ({succeeded}) / sum by (provider) ({ended})", "{{provider}}")),
        stat("Volume, in minor units", "short", "Of payments that succeeded, as öre or cents: nothing is divided, since currencies have different minor units. " + ESTIMATE,
             (f"sum by (currency) (increase({VOLUME}[$__range]))", "{{currency}}")),
        stat("Active subscriptions", "short", "Now.", ("max(payment_service_subscriptions_active)", "active")),
        row("Payments"),
        graph("Accepted, succeeded, failed", "cpm", "Payments that came to each status, a minute. Accepted is `pending`.",
              (per_minute(PAYMENTS + '{status="pending"}', "status"), "accepted"),
              (per_minute(PAYMENTS + '{status=~"succeeded|failed|canceled"}', "status"), "{{status}}")),
        graph("Accepted, by provider", "cpm", "Payments accepted, a minute.", (per_minute(PAYMENTS + '{status="pending"}', "provider"), "{{provider}}")),
        graph("Success rate, by provider", "percentunit", "Succeeded, of those that succeeded or failed, over half an hour.",
              (f"sum by (provider) (increase({SUCCEEDED}[30m])) / sum by (provider) (increase({ENDED}[30m]))", "{{provider}}")),
        graph("Volume by currency, in minor units", "short", "Of payments that succeeded in the hour before. Nothing is divided. " + ESTIMATE,
              (in_an_hour(VOLUME, "currency, provider"), "{{currency}} {{provider}}")),
        graph("Accepted to settled", "s", "From accepted to succeeded, failed or canceled for the first time, over ten minutes. A person who thinks is in it.",
              (quantile(0.5, SETTLED, "provider", "10m"), "p50 {{provider}}"), (quantile(0.95, SETTLED, "provider", "10m"), "p95 {{provider}}")),
        graph("Waiting for the payer", "cpm", "Payments that came to a status in which the payer or the seller must act, a minute.",
              (per_minute(PAYMENTS + '{status=~"requires_action|requires_capture"}', "status, provider"), "{{status}} {{provider}}")),
        row("Refunds, disputes, subscriptions"),
        graph("Refunds", "short", "Refunds that came to each status in the hour before. Accepted is `pending`.",
              (in_an_hour("payment_service_refunds_total", "status, provider"), "{{status}} {{provider}}")),
        graph("Refunded, in minor units", "short", "Of refunds that succeeded in the hour before. Nothing is divided. " + ESTIMATE,
              (in_an_hour("payment_service_refund_amount_sum", "currency, provider"), "{{currency}} {{provider}}")),
        graph("Disputes", "short", "Disputes that came to each status in the hour before.", (in_an_hour("payment_service_disputes_total", "status"), "{{status}}")),
        graph("Subscriptions", "short", "Subscriptions that came to each status in the hour before.",
              (in_an_hour("payment_service_subscriptions_total", "status"), "{{status}}"), width=12),
        graph("Active subscriptions", "short", "As Postgres has them.", ("max(payment_service_subscriptions_active)", "active"), width=12),
    ]


REQUESTS = 'payment_service_http_requests_total{path!~"/health.*|/metrics"}'
DURATION = 'payment_service_http_request_duration_seconds_bucket{path!~"/health.*|/metrics|/api/payments/{id}/events"}'
WEBHOOKS = "payment_service_webhooks_received_total"
# Only our own processes, with what program they are of.
OURS = "* on (job, instance) group_left (program) payment_service_build_info"


def api():
    errors = REQUESTS.replace("{", '{status=~"5..", ')
    waits = "Requests with `Prefer: wait` are long on purpose; event streams are left out."
    return [
        row("Requests"),
        graph("Requests, by path", "reqps", "Without health checks and scrapes.", (per_second(REQUESTS, "method, path"), "{{method}} {{path}}"), width=12),
        graph("Answers, by status", "reqps", "Without health checks and scrapes.", (per_second(REQUESTS, "status"), "{{status}}"), width=6),
        graph("Share of 5xx", "percentunit", "The alert ApiErrors comes at 5 %.",
              (f"(sum(rate({errors}[{RATE}])) or vector(0)) / sum(rate({REQUESTS}[{RATE}]))", "5xx"), width=6),
        graph("p50, by path", "s", waits, (quantile(0.5, DURATION, "method, path"), "{{method}} {{path}}")),
        graph("p95, by path", "s", waits, (quantile(0.95, DURATION, "method, path"), "{{method}} {{path}}")),
        graph("p99, by path", "s", waits, (quantile(0.99, DURATION, "method, path"), "{{method}} {{path}}")),
        graph("Waiting requests", "short", "Requests that are held until something moves.", ("sum by (instance) (payment_service_waiting_requests)", "{{instance}}")),
        graph("Rate limiter", "reqps", "`unavailable`: Redis did not answer, and the request was let through.",
              (per_second("payment_service_rate_limiter_verdicts_total", "verdict"), "{{verdict}}")),
        graph("Stored together", "short", "How many payments, or events, shared a statement and its commit, on average: 1 when idle; at 64 they wait.",
              (f"sum by (what) (rate(payment_service_stored_together_sum[{RATE}])) / sum by (what) (rate(payment_service_stored_together_count[{RATE}]))", "{{what}}")),
        row("Webhooks"),
        graph("Webhooks, by result", "cpm", "A minute. `refused`: wrong signature or identifier, or not one of the provider's. `failed`: could not be stored; the provider sends it again.",
              (per_minute(WEBHOOKS, "provider, result"), "{{provider}} {{result}}"), width=12),
        graph("Webhooks, by type", "cpm", "A minute.", (per_minute(WEBHOOKS, "provider, event_type"), "{{provider}} {{event_type}}"), width=12),
        row("Processes of API and worker"),
        graph("Connections to Postgres", "short", "`in_use` at `max`: whoever needs a connection waits.",
              (f"payment_service_database_connections {OURS}", "{{program}} {{instance}} {{state}}"), (f"payment_service_database_connections_max {OURS}", "{{program}} {{instance}} max")),
        graph("CPU", "short", "Cores in use.", (f"rate(process_cpu_seconds_total[{RATE}]) {OURS}", "{{program}} {{instance}}")),
        graph("Memory", "bytes", "Resident.", (f"process_resident_memory_bytes {OURS}", "{{program}} {{instance}}")),
        graph("Open files", "short", "Sockets are files.", (f"process_open_fds {OURS}", "{{program}} {{instance}}")),
        graph("Running versions", "short", "Processes of each version.", ("count by (program, version, revision) (payment_service_build_info)", "{{program}} {{version}} {{revision}}")),
        graph("Postgres and Redis", "bool_on_off", "Whether the API reaches them.", ("min by (instance) (payment_service_database_up)", "Postgres {{instance}}"), ("min by (instance) (payment_service_redis_up)", "Redis {{instance}}")),
    ]


def in_state(state):
    return (f'max by (lane) (payment_service_jobs{{state="{state}"}})', "{{lane}}")


def queue():
    return [
        row("Now"),
        stat("Oldest job", "s", "How long the oldest ready job has been due. 0: none waits.", ("max by (lane) (payment_service_oldest_job_age_seconds)", "{{lane}}"), width=8, red=120),
        stat("Dead jobs", "short", "Each needs a person.", in_state("dead"), width=8, red=1),
        stat("Paused lanes", "bool_on_off", "Jobs of a paused lane are accepted and wait.", ("max by (lane) (payment_service_lane_paused)", "{{lane}}"), width=8, red=1),
        row("Jobs in Postgres, by lane"),
        graph("Ready", "short", "Due, and not at work.", in_state("ready"), width=6),
        graph("Running", "short", "At work.", in_state("running"), width=6),
        graph("Scheduled", "short", "Wait for their time. The sweep of Stripe's feed always is one.", in_state("scheduled"), width=6),
        graph("Dead", "short", "Each needs a person.", in_state("dead"), width=6),
        graph("Oldest job", "s", "How long the oldest ready job has been due. The alert OldestJobAge comes at 120 s.",
              ("max by (lane) (payment_service_oldest_job_age_seconds)", "{{lane}}"), width=12),
        graph("Paused", "bool_on_off", "Paused by an administrator.", ("max by (lane) (payment_service_lane_paused)", "{{lane}}"), width=12),
        row("Workers"),
        graph("Runs, by outcome", "cpm", "A minute. `snoozed` spent no attempt. `lost`: the lease was lost, nothing was recorded.", (per_minute("payment_service_jobs_total", "outcome"), "{{outcome}}")),
        graph("Runs, by kind", "cpm", "A minute, whatever came of them.", (per_minute("payment_service_jobs_total", "kind"), "{{kind}}")),
        graph("Runs that failed, by kind", "cpm", "A minute: retried, dead or lost.", (per_minute('payment_service_jobs_total{outcome=~"retried|dead|lost"}', "kind, outcome"), "{{kind}} {{outcome}}")),
        graph("Duration of a run, p95", "s", "With the call of the provider.", (quantile(0.95, "payment_service_job_duration_seconds_bucket", "kind"), "{{kind}}"), width=12),
        graph("Attempts, p95", "short", "Runs that a job took until it was done or dead, over an hour.", (quantile(0.95, "payment_service_job_attempts_bucket", "kind", "1h"), "{{kind}}"), width=12),
        row("What was lost on the way"),
        graph("Rung by the relay", "cpm", "A minute. `due`: its time came. `again`: a ring was lost (Redis), or a worker was.", (per_minute("payment_service_relay_rings_total", "lane, reason"), "{{lane}} {{reason}}")),
        graph("Restarts of lanes", "short", "In the hour before: the loop that takes jobs from Redis was begun anew.", (in_an_hour("payment_service_lane_restarts_total", "lane"), "{{lane}}")),
        graph("Missed events", "short", "In the hour before: found in the provider's feed, and told by no webhook.", (in_an_hour("payment_service_missed_events_total", "provider"), "{{provider}}")),
        graph("Applying events, p95", "s", "One run of the jobs that apply events.", (quantile(0.95, "payment_service_webhook_processing_duration_seconds_bucket", "provider"), "{{provider}}"), width=12),
        graph("Applying events: failed runs", "cpm", "A minute.", (per_minute("payment_service_webhook_processing_errors_total", "provider"), "{{provider}}"), width=12),
    ]


CALLS = "payment_service_provider_requests_total"
LATENCY = "payment_service_provider_request_duration_seconds_bucket"


def providers():
    return [
        row("Now"),
        stat("Breakers", "bool_on_off", "On: nothing is sent for a while. Of any worker.", ("max by (provider, class) (payment_service_provider_breaker_open)", "{{provider}} {{class}}"), red=1),
        stat("Outcome unknown", "short", "Payments and refunds of which nobody knows what became.", ("max by (provider) (payment_service_outcome_unknown)", "{{provider}}"), red=1),
        stat("Oldest unknown outcome", "s", "The alert OutcomeUnknown comes at 15 minutes.", ("max by (provider) (payment_service_outcome_unknown_oldest_age_seconds)", "{{provider}}"), red=900),
        stat("Days until Swish's certificate expires", "d", "The earliest of any worker. No data: none is in use.", ("(min(payment_service_swish_certificate_expiry_timestamp_seconds > 0) - time()) / 86400", "days")),
        row("Requests to providers"),
        graph("By result", "reqps", "`not_sent`: refused connection, 401, 403, 429. `unknown`: looked into.", (per_second(CALLS, "provider, result"), "{{provider}} {{result}}")),
        graph("By operation", "reqps", "Whatever came of them.", (per_second(CALLS, "provider, operation"), "{{provider}} {{operation}}")),
        graph("Share not answered", "percentunit", "Not sent or unknown. The alert ProviderRefusesUs comes at half not sent.",
              (f'sum by (provider, result) (rate({CALLS}{{result=~"not_sent|unknown"}}[{RATE}])) / on (provider) group_left () sum by (provider) (rate({CALLS}[{RATE}]))', "{{provider}} {{result}}")),
        graph("p50, by operation", "s", "How long a request to the provider took.", (quantile(0.5, LATENCY, "provider, operation"), "{{provider}} {{operation}}")),
        graph("p95, by operation", "s", "How long a request to the provider took.", (quantile(0.95, LATENCY, "provider, operation"), "{{provider}} {{operation}}")),
        graph("p99, by operation", "s", "How long a request to the provider took.", (quantile(0.99, LATENCY, "provider, operation"), "{{provider}} {{operation}}")),
        row("What needs a person"),
        graph("Breakers", "bool_on_off", "On: nothing is sent for a while. Of any worker.", ("max by (provider, class) (payment_service_provider_breaker_open)", "{{provider}} {{class}}"), width=6),
        graph("Outcome unknown", "short", "Payments and refunds of which nobody knows what became.", ("max by (provider) (payment_service_outcome_unknown)", "{{provider}}"), width=6),
        graph("Oldest unknown outcome", "s", "Since when the oldest is unknown.", ("max by (provider) (payment_service_outcome_unknown_oldest_age_seconds)", "{{provider}}"), width=6),
        graph("Mismatches of the API version", "short", "Webhooks in the hour before that came in another version than ours.", (in_an_hour("payment_service_webhook_api_version_mismatches_total", "provider"), "{{provider}}"), width=6),
    ]


DASHBOARDS = [
    dashboard("business", "business", "What customers pay, and get back.", business()),
    dashboard("api", "API", "Requests, webhooks, processes.", api()),
    dashboard("queue", "queue and workers", "Jobs, and who works on them.", queue()),
    dashboard("providers", "providers", "Stripe and Swish, as the workers meet them.", providers()),
]


def text(board):
    """JSON with a line for each panel, so that a change of one shows as one."""
    lines = [f'  "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in board.items() if key != "panels"]
    panels = ",\n".join("    " + json.dumps(each, ensure_ascii=False) for each in board["panels"])
    return "{\n" + ",\n".join(lines) + ',\n  "panels": [\n' + panels + "\n  ]\n}\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "dashboards"
    for each in DASHBOARDS:
        name = each["uid"].removeprefix("payment-service-")
        (folder / f"{name}.json").write_text(text(each))
