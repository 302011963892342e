#!/usr/bin/env bash
# Checks the document with public tools, and drives a service of its own through clients that they generate.
# Whatever is missing or fails, fails. SEEDS="1 2 3" EXAMPLES=300 ask schemathesis for more.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work="$root/target/contract"
programs=${PROGRAMS:-$root/target/debug}
document="$work/openapi.json"
for tool in node npm python3; do
    command -v "$tool" >/dev/null || { echo "make contract needs $tool" >&2; exit 1; }
done
mkdir -p "$work"
cp "$root/api/openapi.json" "$here"/{package.json,drive.ts,drive.py,docs.mjs} "$work"
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

echo "== tools"
(cd "$work" && npm install --silent --no-audit --no-fund --no-package-lock)
[ -x "$work/python/bin/python" ] || python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
bin="$work/node_modules/.bin" python="$work/python/bin"

echo "== the document"
(cd "$here" && "$bin/redocly" lint --config redocly.yaml --max-problems 1000 "$root/api/openapi.json" 2>&1) | tee "$work/redocly.log"
if grep -q 'You have .* warning' "$work/redocly.log"; then exit 1; fi
"$bin/spectral" lint --fail-severity hint -r "$here/spectral.yaml" "$document"
"$python/openapi-spec-validator" "$document"

echo "== a service"
service="$work/service"
rm -rf "$service" && mkdir -p "$service"
(cd "$service" && export PORT=${PORT:-18080} RATE_LIMIT_WRITES=0 RATE_LIMIT_READS=0 RATE_LIMIT_ANONYMOUS=0 && exec "$programs/payment-stack" run >stack.log 2>&1) &
stack=$!
trap 'kill -TERM $stack 2>/dev/null || true; wait $stack 2>/dev/null || true' EXIT
for _ in $(seq 600); do
    if grep -q '^Ready' "$service/stack.log" 2>/dev/null; then break; fi
    kill -0 "$stack" || { cat "$service/stack.log" >&2; exit 1; }
    sleep 0.1
done
addresses="$service/.dev/stack.json"
field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$addresses" "$1"; }

echo "== clients"
rm -rf "$work/payment_client"
(cd "$work" && "$python/openapi-python-client" generate --path "$document" --meta none --output-path payment_client >python-client.log 2>&1)
(cd "$work" && "$python/python" drive.py "$addresses")
(cd "$work" && "$bin/openapi-typescript" "$document" --default-non-nullable=false -o schema.d.ts >typescript-client.log 2>&1)
(cd "$work" && "$bin/tsc" --noEmit --strict --module esnext --moduleResolution bundler --target es2022 --skipLibCheck --types node drive.ts)
(cd "$work" && "$bin/tsx" drive.ts "$addresses")

echo "== Swagger UI"
(cd "$work" && node docs.mjs "$addresses" "$document")

for role in token admin_token; do
    for seed in ${SEEDS:-1}; do
        echo "== schemathesis: $role, seed $seed"
        export CONTRACT_USER=user-1
        [ "$role" = token ] || CONTRACT_USER=admin-1
        (cd "$work" && "$python/schemathesis" --config-file "$here/schemathesis.toml" run "$document" \
            --url "$(field api_url)" --header "Authorization: Bearer $(field "$role")" \
            --max-examples "${EXAMPLES:-10}" --seed "$seed" --warnings off)
    done
done
