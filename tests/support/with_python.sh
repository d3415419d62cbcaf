#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run a command with the Python that has the NATS client, which `make setup` makes; its path takes the place of @PYTHON@ in
# the arguments. Exit code 77 (skipped), with the reason, when it is not there.
set -euo pipefail
python=${MARTY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/marty}/python/bin/python
if ! "$python" -c 'import nats' 2>/dev/null; then
    echo "skipped: no Python with nats-py in $python; make setup makes it" >&2
    exit 77
fi
exec "${@//@PYTHON@/$python}"
