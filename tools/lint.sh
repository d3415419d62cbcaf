#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Static checks, each by its word: format, tidy, cppcheck, analyzer (gcc's), or rewrite to format the sources in place.
# All that were asked for run; the first failure does not hide the next.
set -uo pipefail
cd "$(dirname "$0")/.."
jobs=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
failed=0

sources() { # every C file and header of ours
    find include src tests bench examples -name '*.[ch]' 2>/dev/null | sort
}

format() {
    sources | xargs clang-format --dry-run -Werror 2>&1 | grep -v '^ \|^$' | sort -u | head -40
    [ "${PIPESTATUS[1]}" -eq 0 ] || { echo "lint: make format mends this"; return 1; }
}

# From what clang compiles, so that it knows every flag.
tidy() {
    cmake --preset clang >/dev/null || return 1
    tools/tidy.py build-clang "$jobs"
}

check_c() {
    cppcheck --quiet -j "$jobs" --std=c11 --language=c --platform=unix64 --enable=warning,performance,portability \
        --inline-suppr --suppressions-list=tools/cppcheck.txt --error-exitcode=1 --library=posix --library=gnu \
        -D_GNU_SOURCE -D__GNUC__=12 -Iinclude -Isrc -Itests -I. --template='{file}:{line}: {severity}: {message} [{id}]' \
        $(find src bench examples tests -name '*.c' 2>/dev/null)
}

# Some of its reports need the whole program to be refuted; they are errors all the same.
analyzer() {
    tools/build.sh analyzer
}

for word in "$@"; do
    began=$SECONDS
    case $word in
    format) format ;;
    tidy) tidy ;;
    cppcheck) check_c ;;
    analyzer) analyzer ;;
    rewrite) sources | xargs clang-format -i ;;
    *) echo "lint: no such word: $word" >&2; exit 2 ;;
    esac && echo "lint: $word: fine ($((SECONDS - began)) s)" || { echo "lint: $word: FAILED" >&2; failed=1; }
done
exit $failed
