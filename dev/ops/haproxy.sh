#!/bin/sh
# Prints the program of HAProxy. It comes from Debian's packages, unpacked: installing it would start a daemon.
set -eu
folder=$(cd "$(dirname "$0")/../.." && pwd)/target/ops/haproxy
if [ ! -x "$folder/haproxy" ]; then
    mkdir -p "$folder"
    cd "$folder"
    packages="haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1"
    # shellcheck disable=SC2086 # four words
    apt-get -qq download $packages >&2 2>/dev/null || { apt-get -qq update >&2; apt-get -qq download $packages >&2; }
    for package in *.deb; do dpkg -x "$package" .; done
    rm ./*.deb
    libraries=$(find "$folder" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s/usr/sbin/haproxy "$@"\n' "$libraries" "$folder" >haproxy
    chmod +x haproxy
fi
"$folder/haproxy" -v >/dev/null
echo "$folder/haproxy"
