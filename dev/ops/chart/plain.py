"""What those get who do not render the chart from here: k8s/kustomization, the packed chart, Argo CD."""
import os
import shutil
import subprocess
from pathlib import Path

import yaml

import chart

FOLDER = chart.ROOT / "k8s/kustomization"


def findings():
    return kustomization() + package() + argocd()


def kustomization():
    path = FOLDER / "payment-service.yaml"
    text = chart.plain(chart.render("minimal"))
    if os.environ.get("UPDATE") == "1":
        path.write_text(text)
    elif not path.exists() or path.read_text() != text:
        return [f"{path.relative_to(chart.ROOT)} is stale: UPDATE=1 dev/ops/chart.sh renews it"]
    # The overlay that kustomization.yaml suggests, on a copy.
    work = Path(os.environ["CACHE"]) / "overlay"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(FOLDER, work / "base")
    overlay = {"resources": ["base"], "namespace": "elsewhere", "images": [
        {"name": f"payment-{program}", "newName": f"registry.example/payment-{program}", "newTag": "9"} for program in ("api", "worker")]}
    (work / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    built = subprocess.run([os.environ["KUSTOMIZE"], "build", work], capture_output=True, text=True)
    objects = chart.documents(built.stdout)
    result = [f"kustomize build: {built.stderr.strip()}"] if built.returncode else []
    if len(objects) != len(chart.documents(text)):
        result.append(f"kustomize makes {len(objects)} objects of {len(chart.documents(text))}")
    for thing in objects:
        if thing["metadata"].get("namespace") != "elsewhere":
            result.append(f"kustomize: {chart.title(thing)} is not in the overlay's namespace")
    for thing, pod in chart.pods(objects):
        if not all(container["image"].startswith("registry.example/") and container["image"].endswith(":9") for container in pod["containers"]):
            result.append(f"kustomize: {chart.title(thing)} has not the overlay's image")
    return result


def package():
    """The packed chart has the alerts and dashboards, which are symbolic links here."""
    work = Path(os.environ["CACHE"]) / "package"
    shutil.rmtree(work, ignore_errors=True)
    packed = chart.helm("package", chart.CHART, "--destination", work)
    archives = list(work.glob("*.tgz"))
    if len(archives) != 1:
        return [f"helm package: {chart.words(packed.stderr)}"]
    if chart.render("full", folder=archives[0]) != chart.render("full"):
        return ["the packed chart renders something else than the folder"]
    return []


def argocd():
    """The chart takes the values of the examples."""
    result = []
    values = Path(os.environ["CACHE"]) / "argocd.yaml"
    for path in sorted((chart.ROOT / "k8s").glob("argocd-*.yaml")):
        thing, = chart.documents(path.read_text())
        spec, parameters = thing["spec"], [{}]
        if thing["kind"] == "ApplicationSet":
            spec, parameters = spec["template"]["spec"], spec["generators"][0]["list"]["elements"]
        if not (chart.ROOT / spec["source"]["path"] / "Chart.yaml").exists():
            result.append(f"{path.name}: there is no chart in {spec['source']['path']}")
        for given in parameters:
            text = yaml.safe_dump(spec["source"]["helm"]["valuesObject"])
            for key, value in given.items():
                text = text.replace("{{ .%s }}" % key, value)
            values.write_text(text)
            answer = chart.template("-f", values)
            if answer.returncode or "{{" in text:
                result.append(f"{path.name}: {given}: {chart.words(answer.stderr)}")
    return result
