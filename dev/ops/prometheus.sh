#!/bin/sh
# Prints the folder with `prometheus` and `promtool`. They come from Debian's package, unpacked: installing it would start a daemon.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder="$root/target/ops/prometheus"
if [ ! -x "$folder/usr/bin/promtool" ]; then
    mkdir -p "$folder"
    cd "$folder"
    apt-get -qq download prometheus >&2 2>/dev/null || { apt-get -qq update >&2; apt-get -qq download prometheus >&2; }
    dpkg -x prometheus_*.deb .
    rm prometheus_*.deb
fi
case $("$folder/usr/bin/promtool" --version 2>&1) in
    *"version 2.42."*) echo "$folder/usr/bin" ;;
    *) echo "promtool is not 2.42: Debian 12's is asked for" >&2; exit 1 ;;
esac
