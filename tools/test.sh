#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that must hold: both compilers without a warning, lint, the tests, and the unit tests and the suite again
# under the sanitizers and from the fuzzer's seeds. Goes on after a failure; ends with one line that counts all.
set -uo pipefail
cd "$(dirname "$0")/.."
results=build/results
rm -rf "$results"
mkdir -p "$results"
failures=()
times=()
started=$SECONDS

took() { # name since
    times+=("$(printf '%5d s  %s' $((SECONDS - $2)) "$1")")
}

# Builds and lint count as one test each.
step() { # name command...
    local name=$1 began=$SECONDS
    shift
    echo "== $name"
    if "$@"; then
        echo "== $name: passed ($((SECONDS - began)) s)"
        echo passed >"$results/$name.step"
        took "$name" "$began"
    else
        echo "== $name: FAILED ($((SECONDS - began)) s)"
        echo failed >"$results/$name.step"
        failures+=("$name")
        took "$name" "$began"
        return 1
    fi
}

# Tests count themselves, in a file that ctest writes.
tests() { # name preset arguments...
    local name=$1 preset=$2 began=$SECONDS
    shift 2
    echo "== tests, $name"
    if ! tools/ctest.sh "$preset" --output-on-failure --output-junit "$PWD/$results/$name.xml" "$@"; then
        failures+=("tests, $name")
        [ -s "$results/$name.xml" ] || echo failed >"$results/$name.step"
    fi
    echo "== tests, $name: $((SECONDS - began)) s"
    took "tests, $name" "$began"
}

# What gates, and why: docs/design/0009-what-gates.md.
sanitized='^(unit|conformance-memory|conformance-sqlite|conformance-nats-new)$'

step build-gcc tools/build.sh dev && tests gcc dev
step build-clang tools/build.sh clang
for check in format tidy cppcheck; do
    step "lint-$check" tools/lint.sh "$check"
done
for sanitizer in asan-ubsan tsan; do
    step "build-$sanitizer" tools/build.sh "$sanitizer" && tests "$sanitizer" "$sanitizer" -L "$sanitized"
done

echo
printf '%s\n' "${times[@]}"
for failure in ${failures[@]+"${failures[@]}"}; do
    echo "FAILED: $failure"
done
echo "took $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"
tools/count_results.py "$results" && [ ${#failures[@]} -eq 0 ]
