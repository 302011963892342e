"""What README.md and docs/ say, against what there is. Called by dev/ops/docs.sh, which brings helm."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/payment-service"
DEPLOYMENT = ROOT / "docs/deployment.md"
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EVENTS = "shared/src/providers/stripe/event.rs"
# The pinned version comes with a crate; the simulator has it too, and the tests of `doctor` compare the two.
VERSION = "dev/simulator/src/stripe/events.rs"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
NAME = re.compile(r"(?<![\w$])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?!\w)")


def blocks(text, language):
    return [body for found, body in FENCE.findall(text) if found == language]


def prose(text):
    return FENCE.sub("", text)


def code(text):
    """What stands in backticks, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", prose(text))


def events():
    """The endpoint is sent what the code uses, of the version that it speaks."""
    source = (ROOT / EVENTS).read_text()
    wanted = set(re.findall(r'"([a-z_.]+)"', re.search(r"EVENT_TYPES: &\[&str\] = &\[(.*?)\];", source, re.S).group(1)))
    text = DEPLOYMENT.read_text()
    lists = re.findall(r"^<!-- events.*?<<'END'\n(.*?)^END$", text, re.M | re.S)
    if len(lists) != 1 or len(wanted) < 10:
        return [f"{len(lists)} lists of events in docs/deployment.md, {len(wanted)} in {EVENTS}"]
    listed = lists[0].split()
    result = [f"the event {name} is used and not listed" for name in sorted(wanted - set(listed))]
    result += [f"the event {name} is listed and not used" for name in sorted(set(listed) - wanted)]
    result += [f"the event {name} is listed twice" for name in sorted(set(listed)) if listed.count(name) > 1]
    pinned = re.search(r'API_VERSION: &str = "(.*?)"', (ROOT / VERSION).read_text()).group(1)
    named = set(re.findall(r"\b20\d\d-\d\d-\d\d\.[a-z]+", text))
    return result + [f"the API version is {pinned}, docs/deployment.md says {sorted(named)}"] * (named != {pinned})


def settings():
    """A setting in backticks is one of a program or of the chart."""
    programs = [("payment-api",), ("payment-worker",), ("payment-stack", "run")]
    known, result = set(), []
    for program in programs:
        asked = [f"{os.environ['PROGRAMS']}/{program[0]}", *program[1:], "--help"]
        # Without the environment: --help shows the values of what is set.
        told = set(re.findall(r"\[env: ([A-Z0-9_]+)", subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True, env={}).stdout))
        result += [f"{' '.join(program)} --help tells of no settings"] * (len(told) < 5)
        known |= told
    known |= {name for path in CHART.rglob("*") if path.is_file() for name in NAME.findall(path.read_text())}
    for path in DOCS:
        named = {name for piece in code(path.read_text()) for name in NAME.findall(piece)}
        result += [f"{path.name}: there is no setting {name}" for name in sorted(named - known)]
    return result


def slugs(path):
    """The anchors of a page, as GitHub makes them."""
    seen, found = {}, set()
    for title in re.findall(r"^#+ (.+)$", prose(path.read_text()), re.M):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return found


def links():
    result, number = [], 0
    for path in DOCS:
        for link in re.findall(r"\]\(([^)\s]+)\)", prose(path.read_text())):
            if re.match(r"[a-z]+:", link):
                continue
            number += 1
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            if not target.exists():
                result.append(f"{path.name}: {link} leads nowhere")
            elif anchor and anchor not in slugs(target):
                result.append(f"{path.name}: {link}: the page has no such heading")
    return result + [f"only {number} links were found"] * (number < 20)


def template(files, sets):
    """What helm has against it; None: nothing. The schema refuses values that there are not."""
    args = [arg for file in files for arg in ("-f", file)] + [arg for value in sets for arg in ("--set", value)]
    answer = subprocess.run([os.environ["HELM"], "template", "payment-service", CHART, "--kube-version", "1.37.0", *args], capture_output=True, text=True)
    return None if answer.returncode == 0 else " ".join(line for line in answer.stderr.splitlines() if "symbolic link" not in line)


def paths(schema, prefix=""):
    """Every value that the schema knows."""
    for name, value in schema.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from paths(value, f"{prefix}{name}.")


def values():
    """The first block of YAML is values.yaml; each other one is laid over it. What `helm` is told by --set goes with it too."""
    text = DEPLOYMENT.read_text()
    files = blocks(text, "yaml")
    # As the shell reads them: a line that ends in \ goes on.
    lines = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    told = [re.findall(r"--set[ =](\S+)", line) for line in lines if line.startswith("helm ")]
    told += [[piece.split()[1]] for piece in code(text) if piece.startswith("--set ")]
    known = set(paths(json.loads((CHART / "values.schema.json").read_text())))
    top = {name.split(".")[0] for name in known}
    result = [f"{len(files)} files of values and {len(told)} commands of helm were found"] * (len(files) < 2 or len(told) < 2)
    for piece in code(text):
        name = re.split(r"[:=]", piece)[0]
        if re.fullmatch(r"[a-z]\w*(\.\w+)+", name) and name.split(".")[0] in top and name not in known and not (ROOT / name).exists() and name != "values.yaml":
            result.append(f"deployment.md: the chart has no value {name}")
    with tempfile.TemporaryDirectory() as folder:
        written = []
        for number, body in enumerate(files):
            written.append(Path(folder) / f"{number}.yaml")
            written[-1].write_text(body)
        tried = [(f"block {number + 1} of YAML", written[:1] + [file] * (number > 0), []) for number, file in enumerate(written)]
        tried += [(" ".join(sets), written[:1], sets) for sets in told if sets]
        for what, given, sets in tried:
            refused = template(given, sets)
            if refused:
                result.append(f"deployment.md: {what}: {refused}")
    return result


def main():
    findings = events() + settings() + links() + values()
    for finding in findings:
        print(f"docs: {finding}", file=sys.stderr)
    print(f"docs: {len(DOCS)} pages, {len(findings)} findings")
    sys.exit(1 if findings else 0)


main()
