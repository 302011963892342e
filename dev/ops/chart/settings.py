"""Every setting of the programs has exactly one place in the chart, and the chart has none that the programs lack.

The programs' --help is the list. It says `[env: NAME=]`, and `[env: NAME]` of what is a secret.
"""
import json
import os
import re
import subprocess

import yaml

import chart

# What the chart itself decides, and where.
OWN = {
    "LISTEN": "templates/config.yaml",
    "WORKER_LISTEN": "templates/config.yaml",
    "JWT_PEM_FILE": "api.jwtPublicKey",
    "WORKER_LANES": "worker.groups",
    "SWISH_CERTIFICATE": "swish.certificate",
    "SWISH_CERTIFICATE_KEY": "swish.key",
    "SWISH_CA": "swish.ca",
}
# Secrets that are somewhere else than in `existingSecret`.
ELSEWHERE = {"SWISH_CERTIFICATE_PASSWORD"}
DEVELOPMENT = {"JWT_DEVELOPMENT_SECRET"}


def asked(program):
    """The settings of a program, and those of them that are secret."""
    # Without the environment: --help shows the values of what is set.
    text = subprocess.run([f"{os.environ['PROGRAMS']}/{program}", "--help"], capture_output=True, text=True, check=True, env={}).stdout
    found = re.findall(r"\[env: ([A-Z0-9_]+)(=?)\]", text)
    return {name for name, _ in found}, {name for name, shown in found if not shown}, text


def given(objects, component):
    """What the containers of a component get: name to whether it is from a Secret. And what is wrong with it."""
    maps = {thing["metadata"]["name"]: thing["data"] for thing in chart.of_kind(objects, "ConfigMap")}
    everything, wrong = {}, []
    for thing, pod in chart.pods(objects):
        for container in pod["containers"]:
            if container["name"] == component:
                variables = {name: False for source in container["envFrom"] for name in maps[source["configMapRef"]["name"]]}
                for variable in container["env"]:
                    if variable["name"] in variables:
                        wrong.append(f"{chart.title(thing)}: {variable['name']} comes from two places")
                    variables[variable["name"]] = "secretKeyRef" in variable.get("valueFrom", {})
                everything |= variables
    return everything, wrong


def compare(what, left, right):
    return [f"{what}: {name}" for name in sorted(left - right)]


def findings(rendered, examples):
    result = []
    declared = yaml.safe_load((chart.CHART / "values.yaml").read_text())["config"]
    schema = json.loads((chart.CHART / "values.schema.json").read_text())["properties"]["config"]["properties"]
    names, secrets, helps = {}, {}, {}
    for component in ("api", "worker"):
        names[component], secrets[component], helps[component] = asked(f"payment-{component}")
        if len(names[component]) < 10:
            result.append(f"payment-{component} --help tells of no settings")
    for section in ("common", "api", "worker"):
        keys = set(declared[section])
        result += compare(f"config.{section}: in values.yaml, not in the schema", keys, set(schema[section]["properties"]))
        result += compare(f"config.{section}: in the schema, not in values.yaml", set(schema[section]["properties"]), keys)
    for component in ("api", "worker"):
        both = set(declared["common"]) & set(declared[component])
        result += [f"{name} is in config.common and in config.{component}" for name in both]
        keys = set(declared["common"]) | set(declared[component])
        open_ones = names[component] - secrets[component] - OWN.keys()
        result += compare(f"config: payment-{component} has a setting that the chart lacks", open_ones, keys)
        result += compare(f"config: the chart has what is no setting of payment-{component}", keys, open_ones)
        # As rendered, in whichever value set.
        seen = {}
        for name, objects in rendered.items():
            variables, wrong = given(objects, component)
            result += [f"{name}: {finding}" for finding in wrong]
            seen |= variables
        result += compare(f"no value set renders, for payment-{component}", names[component], set(seen))
        result += compare(f"rendered, but no setting of payment-{component}", set(seen), names[component])
        for variable, secret in seen.items():
            if secret != (variable in secrets[component]):
                result.append(f"{component}: {variable} {'is no secret, but comes from one' if secret else 'is a secret, and comes from a ConfigMap'}")
    wanted = (secrets["api"] | secrets["worker"]) - ELSEWHERE - DEVELOPMENT
    example = set(examples["k8s/secret.yaml"][0]["stringData"])
    result += compare("k8s/secret.yaml lacks", wanted, example)
    result += compare("k8s/secret.yaml has what is no secret setting", example, wanted)
    return result + lanes(helps["worker"]) + defaults(declared, helps)


def lanes(text):
    """The lanes are the program's."""
    known = set(re.search(r"\[env: WORKER_LANES=\]\s+\[default: ([a-z_ ]+)\]", text).group(1).split())
    schema = set(json.loads((chart.CHART / "values.schema.json").read_text())["definitions"]["lane"]["enum"])
    guard = set(re.findall(r'"([a-z]+_[a-z]+)" 0', (chart.CHART / "templates/guards.yaml").read_text()))
    return [f"{where} has the lanes {sorted(have)}, the worker {sorted(known)}"
            for where, have in (("values.schema.json", schema), ("templates/guards.yaml", guard)) if have != known]


def defaults(declared, helps):
    """A default that values.yaml repeats is the program's."""
    result = []
    for section in ("api", "worker"):
        for name, value in declared[section].items():
            default = re.search(rf"\[env: {name}=\]\s+\[default: (.+?)\]", helps[section])
            if value != "" and (default is None or default.group(1) != str(value)):
                result.append(f"config.{section}.{name} is {value}; the program's default is {default and default.group(1)}")
    return result
