"""Each object against the schema of its kind; unknown fields are errors.

Kubernetes' own kinds: PyPI's kubernetes-validate. Custom kinds: the types of npm's @kubernetes-models, which are generated
from the operators' sources, held against the objects by the TypeScript compiler.
"""
import json
import os
import subprocess
from pathlib import Path

import kubernetes_validate

import chart

# The oldest that Chart.yaml allows, and the newest that there are schemas of.
KUBERNETES = ["1.30.0", "1.37.0"]

# Group and kind, and where their type is.
CUSTOM = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): "prometheus-operator",
    ("monitoring.coreos.com/v1", "PodMonitor"): "prometheus-operator",
    ("monitoring.coreos.com/v1", "PrometheusRule"): "prometheus-operator",
    ("keda.sh/v1alpha1", "ScaledObject"): "keda",
    ("external-secrets.io/v1", "ExternalSecret"): "external-secrets",
    ("argoproj.io/v1alpha1", "Application"): "argo-cd",
    ("argoproj.io/v1alpha1", "ApplicationSet"): "argo-cd",
}


def key(thing):
    return thing.get("apiVersion"), thing.get("kind")


def core(version, name, objects):
    findings = []
    minor = ".".join(version.split(".")[:2])
    for thing in objects:
        if key(thing) in CUSTOM:
            continue
        try:
            kubernetes_validate.validate(thing, minor, strict=True)
        except Exception as error:  # of several kinds, one for each thing that can be wrong
            where = ".".join(map(str, getattr(error, "path", [])))
            findings.append(f"{name}: {chart.title(thing)}: Kubernetes {minor}: {where} {getattr(error, 'message', error)}")
    return findings


def custom(sets):
    """One TypeScript file of all custom objects, each a literal of its type."""
    cache = Path(os.environ["CACHE"])
    imports, lines, places = set(), [], []
    for name, objects in sets.items():
        for thing in objects:
            package = CUSTOM.get(key(thing))
            if package:
                version, kind = key(thing)
                imports.add(f'import type {{ I{kind} }} from "@kubernetes-models/{package}/{version}/{kind}";')
                places.append(f"{name}: {chart.title(thing)}")
                lines.append(f"export const object{len(lines)}: I{kind} = {json.dumps(thing)};")
    seen = {key(thing) for objects in sets.values() for thing in objects} & CUSTOM.keys()
    findings = [f"no value set renders a {kind}" for _, kind in CUSTOM.keys() - seen]
    head = sorted(imports)
    (cache / "objects.ts").write_text("\n".join(head + lines) + "\n")
    options = "--noEmit --strict --skipLibCheck --module esnext --moduleResolution bundler --target es2022 --pretty false"
    result = subprocess.run(["node_modules/.bin/tsc", *options.split(), "objects.ts"], cwd=cache, capture_output=True, text=True)
    for line in result.stdout.splitlines():
        if line.startswith("objects.ts("):
            number = int(line.split("(")[1].split(",")[0]) - 1 - len(head)
            findings.append(f"{places[number] if number >= 0 else 'types'}: {line.split(': ', 1)[1]}")
        else:
            findings.append(line.strip())
    if result.returncode and not findings:
        findings.append(f"tsc: {result.stderr}")
    return findings
