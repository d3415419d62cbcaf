#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs tests of a preset's build folder: tools/ctest.sh PRESET [arguments of ctest]. Tests find the pinned servers that
# `make setup` fetched. The thread sanitizer of these compilers needs fixed addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
folder=build-$preset
[ "$preset" = dev ] && folder=build
cache=${MARTY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/marty}
export MARTY_CACHE=$cache
export MARTY_NATS_OLD=${MARTY_NATS_OLD:-$cache/servers/nats-server-2.9.10}
export MARTY_NATS_NEW=${MARTY_NATS_NEW:-$cache/servers/nats-server-2.15.2}
export NATS_SERVER=${NATS_SERVER:-$MARTY_NATS_NEW} # of the examples
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=0:${ASAN_OPTIONS:-}
export LSAN_OPTIONS=suppressions=$PWD/tools/lsan.txt:print_suppressions=0:${LSAN_OPTIONS:-}
export UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-}
export TSAN_OPTIONS=halt_on_error=0:second_deadlock_stack=1:atexit_sleep_ms=20:suppressions=$PWD/tools/tsan.txt:${TSAN_OPTIONS:-}
case $preset in # instrumented programs are several times slower: deadlines of tests are that much longer
asan-ubsan | tsan) export MARTY_TEST_PATIENCE=${MARTY_TEST_PATIENCE:-4} ;;
esac
jobs=$((${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)} + 2)) # rows of the suite mostly wait
run=()
if [ "$preset" = tsan ]; then
    if setarch "$(uname -m)" -R true 2>/dev/null; then
        run=(setarch "$(uname -m)" -R)
    elif [ "$(cat /proc/sys/vm/mmap_rnd_bits)" -gt 28 ]; then
        echo "ctest: this kernel spreads addresses too widely for the thread sanitizer, and setarch -R is refused here;" \
            "allow it, or set vm.mmap_rnd_bits to 28" >&2
        exit 1
    fi
fi
exec "${run[@]}" ctest --test-dir "$folder" --no-tests=error -j "$jobs" "$@"
