#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo of order sagas over NATS with the payments in Python: order_with_python.sh PROGRAMS PYTHON SCRIPT FOLDER. The demo
# starts the services that lie beside it, so it is run from a folder in which the payment is that script.
set -euo pipefail
programs=$1 python=$2 script=$3 folder=$4
rm -rf "$folder"
mkdir -p "$folder/bin"
for program in demo order inventory shipping orchestrator; do
    ln -s "$programs/$program" "$folder/bin/$program"
done
printf '#!/bin/sh\nexec %q %q "$@"\n' "$python" "$script" >"$folder/bin/payment"
chmod +x "$folder/bin/payment"
"$folder/bin/demo" --backend nats --folder "$folder/world" || { tail -n 40 "$folder"/world/*.log >&2; exit 1; }
# Not a payment of ours by mistake: the notes are the script's.
"$python" - "$folder/world/payment.db" <<'END'
import sqlite3, sys
found = dict(sqlite3.connect(sys.argv[1]).execute("SELECT word, count(*) FROM operation GROUP BY word"))
found.pop("tombstone", None)  # of probes, on a machine so busy that an attempt took too long
assert found == {"ok": 180, "rejected": 20}, found
END
