"""A trial's passwords are kept across upgrades: helm asks a cluster, here one that knows only one Secret."""
import base64
import json
import os
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

import chart

KEPT = {"POSTGRES_PASSWORD": "kept-of-postgres", "REDIS_PASSWORD": "kept-of-redis"}
SECRET = "/api/v1/namespaces/payments/secrets/payment-service-trial"


class Cluster(BaseHTTPRequestHandler):
    def do_GET(self):
        answers = {
            "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [
                {"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret", "verbs": ["get"]}]},
            SECRET: {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "payment-service-trial", "namespace": "payments"},
                     "data": {key: base64.b64encode(value.encode()).decode() for key, value in KEPT.items()}},
        }
        answer = answers.get(self.path.split("?")[0])
        body = json.dumps(answer or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def secret(*args):
    answer = chart.template("-f", chart.CHART / "ci/trial.yaml", *args)
    found = [thing for thing in chart.documents(answer.stdout) if thing["kind"] == "Secret"]
    return found[0]["stringData"] if found else {"error": chart.words(answer.stderr)}


def findings():
    result = []
    one, other = secret(), secret()
    for key in KEPT:
        if len(one.get(key, "")) != 32 or one[key] == other.get(key):
            result.append(f"trial: {key} is not made at random")
    if one.get("POSTGRES_PASSWORD", "?") not in one.get("DATABASE_URL", "") or one.get("REDIS_PASSWORD", "?") not in one.get("REDIS_URL", ""):
        result.append("trial: the URLs do not have the passwords")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=os.environ["CACHE"]) as config:
        yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "it",
                        "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}], "users": [{"name": "it", "user": {}}]}, config)
        config.flush()
        kept = secret("--kubeconfig", config.name, "--dry-run=server", "--is-upgrade")
    server.shutdown()
    result += [f"trial: {key} is not kept across an upgrade: {kept.get(key, kept)}" for key in KEPT if kept.get(key) != KEPT[key]]
    return result
