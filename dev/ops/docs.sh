#!/usr/bin/env bash
# Whether docs/deployment.md names what there is: events, settings, values of the chart; and whether links lead somewhere.
# PROGRAMS: where the programs are.
set -euo pipefail
cd "$(dirname "$0")/../.."
# The helm of chart.sh: its version, in its place.
version=$(sed -n 's/^helm_version=//p' dev/ops/chart.sh)
tools=$PWD/target/ops/chart/$version
[ -x "$tools/helm" ] || GOBIN="$tools" go install "helm.sh/helm/v3/cmd/helm@$version"
export HELM_CONFIG_HOME="$tools/home" HELM_DATA_HOME="$tools/home" HELM_CACHE_HOME="$tools/home" KUBECONFIG=/dev/null
PROGRAMS=${PROGRAMS:-target/debug} HELM="$tools/helm" exec python3 -B dev/ops/docs.py
