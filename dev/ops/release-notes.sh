#!/bin/sh
# Prints the section of CHANGELOG.md of a version: `release-notes.sh 1.2.0`. Fails if there is none or nothing in it.
set -eu
awk -v version="$1" '
    /^## / { ours = $2 == version; next }
    ours { print; if (NF) found = 1 }
    END { if (!found) { print "CHANGELOG.md says nothing of " version > "/dev/stderr"; exit 1 } }
' "$(dirname "$0")/../../CHANGELOG.md"
