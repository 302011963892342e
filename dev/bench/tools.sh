#!/bin/sh
# Prints the program of the load generator, wrk. If it is missing it is fetched from Debian, below target/ops.
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
