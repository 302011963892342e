"""Helm, and what it renders."""
import os
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts/payment-service"
SETS = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))


def helm(*args):
    return subprocess.run([os.environ["HELM"], *map(str, args)], capture_output=True, text=True)


def values(name):
    return yaml.safe_load((CHART / f"ci/{name}.yaml").read_text())


def words(stderr):
    """What helm says, without its news of each symbolic link."""
    return " ".join(line for line in stderr.splitlines() if "found symbolic link" not in line)


def lint(name):
    result = helm("lint", "--strict", CHART, "-f", CHART / f"ci/{name}.yaml")
    return [] if result.returncode == 0 else [f"{name}: helm lint: {result.stdout} {words(result.stderr)}"]


def template(*args, release="payment-service", kube_version="1.37.0", folder=CHART):
    return helm("template", release, folder, "--namespace", "payments", "--kube-version", kube_version, *args)


def render(name, **where):
    result = template("-f", CHART / f"ci/{name}.yaml", **where)
    if result.returncode != 0:
        raise SystemExit(f"chart: {name}: helm template: {words(result.stderr)}")
    return documents(result.stdout)


class Strict(yaml.SafeLoader):
    """A key given twice is an error: the second would win without a word."""


def mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise SystemExit(f"chart: the key {key} is there twice, {node.start_mark}")
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def documents(text):
    return [document for document in yaml.load_all(text, Loader=Strict) if document]


def title(thing):
    return f"{thing.get('kind')} {thing.get('metadata', {}).get('name')}"


def of_kind(objects, *kinds):
    return [thing for thing in objects if thing["kind"] in kinds]


def pods(objects):
    """Each object that makes pods, with the pod's spec."""
    return [(thing, thing["spec"]["template"]["spec"]) for thing in of_kind(objects, "Deployment", "StatefulSet", "Job")]


def examples():
    return [path for path in sorted((ROOT / "k8s").rglob("*.yaml")) if path.name != "kustomization.yaml"]


def plain(objects):
    """The same objects for those without Helm."""
    for thing in objects:
        for places in (thing["metadata"].get("labels", {}), thing["metadata"].get("annotations", {})):
            for key in [key for key in places if key.startswith("helm.sh/") or key == "app.kubernetes.io/managed-by"]:
                del places[key]
        if thing["metadata"].get("annotations") == {}:
            del thing["metadata"]["annotations"]
    head = "# Rendered from charts/payment-service with ci/minimal.yaml. Do not edit: UPDATE=1 dev/ops/chart.sh\n"
    return head + yaml.safe_dump_all(objects, sort_keys=False, width=120)
