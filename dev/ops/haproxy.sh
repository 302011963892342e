#!/bin/sh
# Prints the program of HAProxy.
set -eu
folder=$("$(dirname "$0")/unpack.sh" haproxy haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1)
libraries=$(find "$folder" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s/usr/sbin/haproxy "$@"\n' "$libraries" "$folder" >"$folder/haproxy"
chmod +x "$folder/haproxy"
"$folder/haproxy" -v >/dev/null
echo "$folder/haproxy"
