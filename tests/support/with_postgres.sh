#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run a command with a PostgreSQL server of its own, on a free port of loopback; its URL takes the place of @URL@ in the
# arguments. The server and all its files are gone at the end. Its programs: $POSTGRES_BIN, a folder; else what setup
# unpacked, else the system's. Exit code 77 (skipped), with the reason, when there are none.
set -euo pipefail

find_programs() {
    local folder
    for folder in "${POSTGRES_BIN:-}" "${MARTY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/marty}"/servers/postgresql/usr/lib/postgresql/*/bin \
        /usr/lib/postgresql/*/bin; do
        if [ -n "$folder" ] && [ -x "$folder/initdb" ]; then
            echo "$folder"
            return
        fi
    done
    echo "skipped: no PostgreSQL server; make setup fetches one" >&2
    exit 77
}

bin=$(find_programs)
folder=$(mktemp -d)
as_user=()
# A port that nobody else is given: it is bound, and not listened on, until this script ends; the server may have it.
coproc PORT { exec python3 -c 'import socket, sys
with socket.socket() as kept:
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    print(kept.getsockname()[1], flush=True)
    sys.stdin.read()'; }
read -r port <&"${PORT[0]}"
stop() {
    "${as_user[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate -w -t 20 stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap stop EXIT
if [ "$(id -u)" -eq 0 ]; then # the server refuses to run as root, and others cannot look into root's home
    case $bin in
    /usr/lib/*) ;;
    *) cp -r "${bin%/usr/lib/postgresql/*}" "$folder/server" && bin=$folder/server/usr/lib/${bin##*/usr/lib/} ;;
    esac
    chmod 711 "$folder"
    mkdir "$folder/data"
    chown nobody "$folder/data"
    as_user=(setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=/tmp)
fi
"${as_user[@]}" "$bin/initdb" -D "$folder/data" -A trust -U postgres -E UTF8 --no-locale >"$folder/initdb.log" 2>&1 ||
    { cat "$folder/initdb.log" >&2; exit 1; }
"${as_user[@]}" "$bin/pg_ctl" -D "$folder/data" -l "$folder/data/log" -w -t 60 \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=''" start >/dev/null ||
    { cat "$folder/data/log" >&2; exit 1; }
"${@//@URL@/postgres://postgres@127.0.0.1:$port/postgres}"
