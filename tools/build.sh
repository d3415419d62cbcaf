#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Configures a preset when it is new or its options change, and builds it: tools/build.sh PRESET [-DNAME=VALUE ...].
# MARTY_TARGETS names targets to build, else it is all. Quiet unless something is wrong; MARTY_VERBOSE=1 shows all.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
folder=build-$preset
[ "$preset" = dev ] && folder=build
log=$folder/build.log
mkdir -p "$folder"

run() {
    if [ "${MARTY_VERBOSE:-}" = 1 ]; then
        "$@"
    elif ! "$@" >"$log" 2>&1; then
        echo >&2
        grep -v '^-- \|^\[[0-9]*/[0-9]*\] \|^[^ ]*/\(gcc\|clang\|cc\|ar\) ' "$log" >&2 || true
        echo "build: $preset failed; the whole log: $log" >&2
        exit 1
    fi
}

started=$SECONDS
printf ' building %s ............' "$preset"
if [ ! -f "$folder/build.ninja" ] || [ $# -gt 0 ]; then
    run cmake --preset "$preset" "$@"
fi
# shellcheck disable=SC2086
run cmake --build "$folder" ${MARTY_TARGETS:+--target $MARTY_TARGETS}
echo " done ($((SECONDS - started)) s)"
