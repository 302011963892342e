#!/usr/bin/env bash
# Checks charts/payment-service and k8s/: lints, renders, validates each object, and what must hold of them.
# UPDATE=1 renews what k8s/kustomization has of the chart. PROGRAMS: where payment-api and payment-worker are.
set -euo pipefail
here=$(cd "$(dirname "$0")/chart" && pwd)
root=$(cd "$here/../../.." && pwd)
cache="$root/target/ops/chart"
helm_version=v3.22.0
# Newer ones may ask for a newer Go than CI has.
kustomize_version=v5.7.1
for tool in go node npm python3; do
    command -v "$tool" >/dev/null || { echo "dev/ops/chart.sh needs $tool" >&2; exit 1; }
done
mkdir -p "$cache"

install() { # program, version, Go module
    [ -x "$cache/$2/$1" ] || (cd "$cache" && GOBIN="$cache/$2" go install "$3@$2")
}
install helm "$helm_version" helm.sh/helm/v3/cmd/helm
install kustomize "$kustomize_version" sigs.k8s.io/kustomize/kustomize/v5
cp "$here/package.json" "$cache"
(cd "$cache" && npm install --silent --no-audit --no-fund --no-package-lock)
[ -x "$cache/python/bin/python" ] || python3 -m venv "$cache/python"
"$cache/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"

export HELM="$cache/$helm_version/helm" KUSTOMIZE="$cache/$kustomize_version/kustomize" CACHE="$cache" PROGRAMS="${PROGRAMS:-$root/target/debug}"
# No plugins, repositories or clusters of whoever runs this.
export HELM_CONFIG_HOME="$cache/home" HELM_DATA_HOME="$cache/home" HELM_CACHE_HOME="$cache/home" KUBECONFIG=/dev/null
exec "$cache/python/bin/python" -B "$here/check.py"
