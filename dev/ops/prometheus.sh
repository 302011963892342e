#!/bin/sh
# Prints the folder with `prometheus` and `promtool`.
set -eu
folder=$("$(dirname "$0")/unpack.sh" prometheus prometheus)
case $("$folder/usr/bin/promtool" --version 2>&1) in
    *"version 2.42."*) echo "$folder/usr/bin" ;;
    *) echo "promtool is not 2.42: Debian 12's is asked for" >&2; exit 1 ;;
esac
