#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs each fuzz target for FUZZ_SECONDS (600): run.sh BUILD-FOLDER TARGET... What it finds anew is kept in the build folder
# and used again; a crash is left there too, and ends the run with 1 once all targets have had their time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1
shift
seconds=${FUZZ_SECONDS:-600}
failed=0
for target in "$@"; do
    mkdir -p "$build/found/$target" "$build/broken"
    printf ' fuzzing %s for %s s ... ' "$target" "$seconds"
    log=$build/$target.log
    if "$build/fuzz_$target" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 -dict="$here/words.dict" \
        -artifact_prefix="$build/broken/$target-" "$build/found/$target" "$here/corpus/$target" >"$log" 2>&1; then
        grep -o 'Done [0-9]* runs' "$log" || echo done
    else
        echo "BROKEN"
        grep -E 'broken:|ERROR|SUMMARY|Test unit written' "$log" || tail -5 "$log"
        failed=1
    fi
done
exit $failed
