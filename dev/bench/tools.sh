#!/bin/sh
# Prints the programs of the two load generators, a line each: wrk, vegeta. What is missing is fetched: wrk from Debian, below
# target/ops; vegeta as Go's module, below .dev/bench.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)

if command -v wrk >/dev/null; then
    command -v wrk
else
    folder=$("$root/dev/ops/unpack.sh" bench wrk libluajit-5.1-2)
    libraries=$(find "$folder" -name 'libluajit*' -printf '%h\n' | sort -u | paste -sd:)
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s/usr/bin/wrk "$@"\n' "$libraries" "$folder" >"$folder/wrk"
    chmod +x "$folder/wrk"
    echo "$folder/wrk"
fi

if command -v vegeta >/dev/null; then
    command -v vegeta
else
    bin="$root/.dev/bench/bin"
    [ -x "$bin/vegeta" ] || {
        command -v go >/dev/null || { echo "make bench needs vegeta, or Go to build it" >&2; exit 1; }
        GOBIN="$bin" go install github.com/tsenart/vegeta/v12@v12.12.0 >&2
    }
    echo "$bin/vegeta"
fi
