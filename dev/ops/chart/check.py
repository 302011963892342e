"""Runs all checks of the chart and says what is wrong. Called by dev/ops/chart.sh, which brings the tools."""
import sys

import chart
import plain
import promises
import refusals
import schemas
import settings


def main():
    findings = []
    rendered = {}
    for name in chart.SETS:
        findings += chart.lint(name)
        for version in schemas.KUBERNETES:
            rendered[name] = chart.render(name, kube_version=version)
            findings += schemas.core(version, name, rendered[name])
    examples = {str(path.relative_to(chart.ROOT)): chart.documents(path.read_text()) for path in chart.examples()}
    for name, objects in examples.items():
        findings += schemas.core(schemas.KUBERNETES[-1], name, objects)
    findings += schemas.custom({**rendered, **examples})
    findings += plain.findings()
    findings += settings.findings(rendered, examples)
    findings += promises.findings(rendered)
    findings += refusals.findings()
    for finding in findings:
        print(f"chart: {finding}", file=sys.stderr)
    objects = sum(map(len, rendered.values())) + sum(map(len, examples.values()))
    print(f"chart: {len(rendered)} value sets, {objects} objects, {len(refusals.REFUSED)} refusals, {len(findings)} findings")
    sys.exit(1 if findings else 0)


main()
