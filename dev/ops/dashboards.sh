#!/bin/sh
# Whether the dashboards are what generate.py writes, what Grafana's own types say, and what dashboards.py asks of them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work="$root/target/ops/dashboards"
mkdir -p "$work"

echo "== generated"
rm -rf "$work/fresh" && mkdir "$work/fresh"
python3 "$root/grafana/generate.py" "$work/fresh"
diff -r "$work/fresh" "$root/grafana/dashboards" || { echo "the dashboards are stale: run python3 grafana/generate.py" >&2; exit 1; }

echo "== structure"
python3 "$here/dashboards.py"

echo "== types"
cp "$here/dashboards.package.json" "$work/package.json"
cp "$here/dashboards.ts" "$work"
(cd "$work" && npm install --silent --no-audit --no-fund --no-package-lock)
rm -f "$work"/*.check.ts
for file in "$root"/grafana/dashboards/*.json; do
    { echo "import type { Checked } from './dashboards';"; echo "export const dashboard: Checked ="; cat "$file"; } >"$work/$(basename "$file" .json).check.ts"
done
(cd "$work" && node_modules/.bin/tsc --noEmit --strict --module esnext --moduleResolution node10 --target es2022 --skipLibCheck ./*.check.ts)
