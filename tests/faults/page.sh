#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/reference/faults.md is what the table of the tests prints: page.sh PROGRAM PAGE.
set -euo pipefail
if ! diff -u "$2" <("$1" --page); then
    echo "make it again: $1 --page >docs/reference/faults.md" >&2
    exit 1
fi
