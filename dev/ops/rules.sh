#!/bin/sh
# Whether the alert rules are right, fire when they must and not when they must not, and whether each has a runbook.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
promtool="$("$here/prometheus.sh")/promtool"
python="$root/target/ops/python"
if [ ! -x "$python/bin/python" ]; then python3 -m venv "$python"; fi
"$python/bin/pip" install --quiet --disable-pip-version-check pyyaml==6.0.3

echo "== names, runbooks, cases"
"$python/bin/python" "$here/rules.py"

echo "== promtool"
"$promtool" check rules "$root/grafana/alerts.yaml"
"$promtool" test rules "$root/grafana/alerts_test.yaml"
