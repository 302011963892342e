"""What must hold of the rendered objects beyond their schemas."""
import json
import math
import re

import promql_parser
import yaml

import chart
import cluster

# What a real secret, or a URL with a password, looks like.
SECRET = re.compile(r"whsec_|\b[sr]k_(live|test)_|://[^/\s:@]*:[^/\s@]+@|PRIVATE KEY")
CONTAINER = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def findings(rendered):
    result = []
    for name, objects in rendered.items():
        result += [f"{name}: {finding}" for part in PARTS for finding in part(name, objects)]
    return result + versions() + checksums() + nobody() + long_names() + cluster.findings()


def unique(_, objects):
    titles = [chart.title(thing) for thing in objects]
    yield from (f"{title} is there twice" for title in {title for title in titles if titles.count(title) > 1})
    yield from (f"{chart.title(thing)} has a namespace" for thing in objects if "namespace" in thing["metadata"])


def locked_down(_, objects):
    for thing, pod in chart.pods(objects):
        context = pod.get("securityContext", {})
        user = 999 if thing["kind"] == "StatefulSet" else 65532
        wanted = {"runAsNonRoot": True, "runAsUser": user, "seccompProfile": {"type": "RuntimeDefault"}}
        if not wanted.items() <= context.items():
            yield f"{chart.title(thing)}: the pod's security context is {context}"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{chart.title(thing)}: a token of the API server is mounted"
        for container in pod.get("initContainers", []) + pod["containers"]:
            if container.get("securityContext") != CONTAINER:
                yield f"{chart.title(thing)}: the security context of {container['name']} is {container.get('securityContext')}"
            if "memory" not in container.get("resources", {}).get("limits", {}):
                yield f"{chart.title(thing)}: {container['name']} has no limit of memory"
        for volume in pod.get("volumes", []):
            if volume.keys() & {"hostPath"}:
                yield f"{chart.title(thing)}: hostPath"
    for thing in chart.of_kind(objects, "ServiceAccount"):
        if thing["automountServiceAccountToken"] is not False:
            yield f"{chart.title(thing)} mounts its token"


def no_secrets(name, objects):
    for thing in objects:
        if thing["kind"] == "Secret":
            if name != "trial" or thing["metadata"]["name"] != "payment-service-trial":
                yield f"{chart.title(thing)}: secrets are not values"
        elif SECRET.search(json.dumps(thing)):
            yield f"{chart.title(thing)} has a secret in it: {SECRET.search(json.dumps(thing)).group(0)}"


def exact_values(name, objects):
    """As in the values: not 1e+06, not False."""
    maps = {thing["metadata"]["name"]: thing["data"] for thing in chart.of_kind(objects, "ConfigMap")}
    for section, settings in chart.values(name).get("config", {}).items():
        for component in ("api", "worker") if section == "common" else (section,):
            for key, value in settings.items():
                wanted = str(value).lower() if isinstance(value, bool) else str(value)
                have = maps[f"payment-service-{component}"].get(key)
                if have != wanted:
                    yield f"{key} of {component} is {have}, not {wanted}"


def scaled(name, objects):
    """Whoever scales a Deployment owns its replicas."""
    scalers = {thing["spec"]["scaleTargetRef"]["name"]: thing["kind"] for thing in chart.of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")}
    deployments = {thing["metadata"]["name"]: thing for thing in chart.of_kind(objects, "Deployment")}
    yield from (f"{target} is scaled and not there" for target in scalers.keys() - deployments.keys())
    for title, thing in deployments.items():
        if ("replicas" in thing["spec"]) == (title in scalers):
            yield f"Deployment {title}: replicas {'and' if title in scalers else 'nor'} a scaler"
        if thing["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] != 0:
            yield f"Deployment {title}: a rollout takes pods away before there are others"
    keda = chart.values(name).get("keda", {}).get("enabled", False)
    workers = [title for title in deployments if "-worker-" in title]
    if keda != all(scalers.get(title) == "ScaledObject" for title in workers):
        yield f"KEDA is {keda}, and scales {scalers}"


def queries(_, objects):
    lanes = {thing["metadata"]["name"]: variable["value"] for thing, pod in chart.pods(objects) for variable in pod["containers"][0].get("env", []) if variable["name"] == "WORKER_LANES"}
    for thing in chart.of_kind(objects, "ScaledObject"):
        wanted = lanes.get(thing["metadata"]["name"])
        asked = set()
        for trigger in thing["spec"]["triggers"]:
            query = trigger["metadata"]["query"]
            try:
                promql_parser.parse(query)
            except ValueError as error:
                yield f"{chart.title(thing)}: {query}: {error}"
            asked |= set(re.findall(r"payment_service_\w+", query))
            for selector in re.findall(r"{(.*?)}", query):
                lane = re.search(r'lane=~"(.*?)"', selector)
                if (lane and lane.group(1)) != (wanted and wanted.replace(",", "|")) or 'namespace="payments"' not in selector:
                    yield f"{chart.title(thing)}: asks of {selector}, and works on {wanted}"
            # Without metrics KEDA must not believe that there is nothing to do.
            if trigger["metadata"]["ignoreNullValues"] != "false" or "fallback" not in thing["spec"]:
                yield f"{chart.title(thing)}: no metrics count as no work"
        if asked != {"payment_service_oldest_job_age_seconds", "payment_service_jobs", "payment_service_lane_paused"}:
            yield f"{chart.title(thing)} asks of {sorted(asked)}"


def migrated(name, objects):
    job, = chart.of_kind(objects, "Job")
    pod = job["spec"]["template"]["spec"]
    container, = pod["containers"]
    notes = job["metadata"]["annotations"]
    late = chart.values(name).get("trial", {}).get("postgres", {}).get("enabled", False)
    if notes["helm.sh/hook"] != f"{'post' if late else 'pre'}-install,pre-upgrade":
        yield f"the migration is a hook of {notes['helm.sh/hook']}"
    if "before-hook-creation" not in notes["helm.sh/hook-delete-policy"]:
        yield "the migration of the next release cannot be created"
    if container["command"] != ["/usr/local/bin/payment-migrate"]:
        yield f"the migration runs {container['command']}"
    api, = [pod["containers"][0] for thing, pod in chart.pods(objects) if thing["metadata"]["name"] == "payment-service-api"]
    if container["image"] != api["image"]:
        yield f"the migration is of {container['image']}, the API of {api['image']}"
    # What a hook needs is there before it: hooks with a lower weight, or what is none of ours.
    earlier = {thing["metadata"]["name"] for thing in objects if thing is not job and "helm.sh/hook" in thing["metadata"].get("annotations", {})
               and int(thing["metadata"]["annotations"]["helm.sh/hook-weight"]) < int(notes["helm.sh/hook-weight"])}
    ours = {thing["metadata"]["name"] for thing in chart.of_kind(objects, "Secret", "ExternalSecret", "ConfigMap", "ServiceAccount")}
    needs = {variable["valueFrom"]["secretKeyRef"]["name"] for variable in container["env"]} | {pod.get("serviceAccountName")}
    if not late and needs & (ours - earlier):
        yield f"the migration needs what comes after it: {needs & (ours - earlier)}"
    if chart.values(name).get("networkPolicy", {}).get("enabled", True) and "payment-service-migrate" not in earlier:
        yield "the migration has no network policy before it"
    for thing in chart.of_kind(objects, "ExternalSecret"):
        if thing["spec"]["target"] != {"name": "payment-service", "creationPolicy": "Orphan", "deletionPolicy": "Retain"}:
            yield "the Secret would go when the hook that makes it is made anew"


def patient(_, objects):
    """Who is told to stop has the time to finish."""
    maps = {thing["metadata"]["name"]: thing["data"] for thing in chart.of_kind(objects, "ConfigMap")}
    for thing in chart.of_kind(objects, "Deployment"):
        pod = thing["spec"]["template"]["spec"]
        grace = pod["terminationGracePeriodSeconds"]
        settings = maps[pod["containers"][0]["envFrom"][0]["configMapRef"]["name"]]
        if pod["containers"][0]["name"] == "api":
            needs = math.ceil(int(settings["DRAIN_MS"]) / 1000) + 20
        else:
            needs = math.ceil(max(int(settings["STRIPE_TIMEOUT_MS"]), int(settings["SWISH_TIMEOUT_MS"])) / 1000) + 15
        if not needs < grace <= needs + 30:
            yield f"{chart.title(thing)}: {grace} s to stop, needs {needs}"


def matches(selector, labels):
    return selector.items() <= labels.items()


def connected(name, objects):
    """Selectors find pods, names of ports are there."""
    found = [(thing, thing["spec"]["template"]["metadata"]["labels"], pod) for thing, pod in chart.pods(objects)]
    ports = lambda pod: {port["name"] for port in pod["containers"][0].get("ports", [])}
    guarded = set()
    for thing in chart.of_kind(objects, "Deployment", "StatefulSet"):
        selector = thing["spec"]["selector"]["matchLabels"]
        if [other for other, labels, _ in found if matches(selector, labels)] != [thing]:
            yield f"{chart.title(thing)}: its selector finds pods of others, or not its own"
    for thing in chart.of_kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        spec = thing["spec"]
        selector = spec.get("podSelector", spec["selector"] if "selector" in spec else {})
        hits = [(other, pod) for other, labels, pod in found if matches(selector.get("matchLabels", selector), labels)]
        if not hits:
            yield f"{chart.title(thing)} finds no pods"
        named = {port.get("targetPort", port["name"]) for port in spec.get("ports", [])}
        named |= {end["port"] for end in spec.get("podMetricsEndpoints", [])} | {port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]}
        yield from (f"{chart.title(thing)}: no port {port}" for port in named for _, pod in hits if port not in ports(pod))
        if thing["kind"] == "PodDisruptionBudget":
            guarded |= {other["metadata"]["name"] for other, _ in hits}
            if len(hits) != 1:
                yield f"{chart.title(thing)} guards {len(hits)} Deployments"
    yield from (f"{chart.title(thing)} has no PodDisruptionBudget" for thing in chart.of_kind(objects, "Deployment") if thing["metadata"]["name"] not in guarded)
    services = {thing["metadata"]["name"]: thing for thing in chart.of_kind(objects, "Service")}
    for thing in chart.of_kind(objects, "ServiceMonitor"):
        hits = [service for service in services.values() if matches(thing["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])]
        if len(hits) != 1 or thing["spec"]["endpoints"][0]["port"] != hits[0]["spec"]["ports"][0]["name"]:
            yield f"{chart.title(thing)} finds no Service"
    for thing in chart.of_kind(objects, "Ingress"):
        for path in thing["spec"]["rules"][0]["http"]["paths"]:
            if path["backend"]["service"]["name"] not in services:
                yield f"{chart.title(thing)}: no such Service"
            for inner in ("/metrics", "/health"):
                if inner.startswith(path["path"]):
                    yield f"{chart.title(thing)}: {inner} is for all the world"
    for _, _, pod in found:
        for container in pod["containers"]:
            for probe in (container.get("livenessProbe"), container.get("readinessProbe")):
                if probe and "httpGet" in probe and probe["httpGet"]["port"] not in ports(pod):
                    yield f"{container['name']}: a probe of the port {probe['httpGet']['port']}"


def watched(name, objects):
    """The alerts and dashboards are those of grafana/, unchanged."""
    monitoring = chart.values(name).get("monitoring", {})
    rules = [thing["spec"] for thing in chart.of_kind(objects, "PrometheusRule")]
    alerts = yaml.safe_load((chart.ROOT / "grafana/alerts.yaml").read_text())
    if rules != ([{"groups": alerts["groups"]}] if monitoring.get("enabled") else []):
        yield "the PrometheusRule is not grafana/alerts.yaml"
    boards = [thing for thing in chart.of_kind(objects, "ConfigMap") if "grafana_dashboard" in thing["metadata"]["labels"]]
    files = {path.name: json.loads(path.read_text()) for path in (chart.ROOT / "grafana/dashboards").glob("*.json")}
    if {key: json.loads(text) for thing in boards for key, text in thing["data"].items()} != (files if monitoring.get("dashboards") else {}):
        yield "the dashboards are not those of grafana/dashboards"
    yield from (f"{chart.title(thing)} is larger than a ConfigMap may be" for thing in boards if len(json.dumps(thing)) > 1_000_000)


PARTS = [unique, locked_down, no_secrets, exact_values, scaled, queries, migrated, patient, connected, watched]


def versions():
    cargo = re.search(r'^version = "(.*)"', (chart.ROOT / "Cargo.toml").read_text(), re.M).group(1)
    about = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
    return [f"Chart.yaml: {key} is {about[key]}, the service is {cargo}" for key in ("version", "appVersion") if about[key] != cargo]


def checksums():
    """A changed setting restarts those whom it concerns, and nobody else."""
    def sums(*args):
        result = chart.documents(chart.template("-f", chart.CHART / "ci/per-lane.yaml", *args).stdout)
        return {thing["metadata"]["name"].split("-")[2]: thing["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for thing in chart.of_kind(result, "Deployment")}
    before, result = sums(), []
    for setting, concerned in (("config.common.RUST_LOG=debug", {"api", "worker"}), ("config.api.DRAIN_MS=1", {"api"}), ("config.worker.WORKER_CONCURRENCY=2", {"worker"}), ("api.jwtPublicKey=-----BEGIN PUBLIC KEY-----x", {"api"})):
        after = sums("--set", setting)
        changed = {component for component in before if before[component] != after[component]}
        if changed != concerned:
            result.append(f"{setting} restarts {sorted(changed)}, not {sorted(concerned)}")
    return result


def nobody():
    """Where nobody may call, there is no rule: an empty `from` would let everybody in."""
    objects = chart.documents(chart.template("-f", chart.CHART / "ci/minimal.yaml", "--set-json", "networkPolicy.clients=[]", "--set-json", "networkPolicy.prometheus=[]").stdout)
    return [f"{chart.title(thing)}: open to all" for thing in chart.of_kind(objects, "NetworkPolicy") if thing["spec"].get("ingress") or "Ingress" not in thing["spec"]["policyTypes"]]


def long_names():
    """Names and labels of the longest release and group still fit."""
    groups = json.dumps({"a" * 15: {"lanes": ["stripe_payments", "swish_payments", "stripe_webhooks", "swish_webhooks"], "replicas": 1, "maxReplicas": 1}})
    result = chart.template("-f", chart.CHART / "ci/minimal.yaml", "--set-json", f"worker.groups={groups}", "--set", "trial.redis.enabled=true", release="r" * 53)
    names = [thing["metadata"]["name"] for thing in chart.documents(result.stdout)] or ["nothing is rendered" * 9]
    return [f"{name} is too long" for name in names if len(name) > 63]
