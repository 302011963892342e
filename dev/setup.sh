#!/bin/sh
# Installs what is missing of: Postgres, Redis, a C compiler. Says what it does; does nothing when nothing is missing.
set -eu

has() { command -v "$1" >/dev/null 2>&1; }
has_postgres() { has postgres || ls /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres /opt/homebrew/opt/postgresql*/bin/postgres >/dev/null 2>&1; }

missing=""
has_postgres || missing="$missing postgres"
has redis-server || missing="$missing redis"
has cc || missing="$missing compiler"
has cargo || { echo "Rust is missing: install it first, see https://rustup.rs" >&2; exit 1; }
[ -n "$missing" ] || exit 0
echo "missing:$missing"

sudo=""
if [ "$(id -u)" != 0 ]; then
    has brew || { has sudo || { echo "neither root nor sudo: please install by hand:$missing" >&2; exit 1; }; sudo="sudo"; }
fi
# $1: what, then its package with apt, dnf, brew
name() {
    case "$manager-$1" in
        apt-postgres) echo postgresql ;;
        dnf-postgres) echo postgresql-server ;;
        brew-postgres) echo postgresql@17 ;;
        apt-redis) echo redis-server ;;
        dnf-redis | brew-redis) echo redis ;;
        *-compiler) echo gcc ;;
    esac
}
if has apt-get; then manager=apt; elif has dnf; then manager=dnf; elif has brew; then manager=brew
else echo "no apt-get, dnf or brew: please install by hand:$missing" >&2; exit 1; fi
packages=""
for what in $missing; do packages="$packages $(name "$what")"; done
echo "installing with $manager:$packages"
case "$manager" in
    apt)
        # Only the programs: no server is to be started by the system.
        $sudo mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
        $sudo apt-get update -qq
        # shellcheck disable=SC2086 # one word a package
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y $packages
        ;;
    # shellcheck disable=SC2086 # one word a package
    dnf) $sudo dnf install -y $packages ;;
    # shellcheck disable=SC2086 # one word a package
    brew) brew install $packages ;;
esac
