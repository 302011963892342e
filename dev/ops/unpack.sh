#!/bin/sh
# unpack.sh FOLDER PACKAGE...: Debian's packages in target/ops/FOLDER, whose path it prints. Installing them would start daemons.
set -eu
folder=$(cd "$(dirname "$0")/../.." && pwd)/target/ops/$1
shift
if [ ! -e "$folder/unpacked" ]; then
    mkdir -p "$folder"
    cd "$folder"
    apt-get -qq download "$@" >&2 2>/dev/null || { apt-get -qq update >&2; apt-get -qq download "$@" >&2; }
    for package in *.deb; do dpkg -x "$package" .; done
    rm ./*.deb
    touch unpacked
fi
echo "$folder"
