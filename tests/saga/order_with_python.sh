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
# On a machine so busy that an attempt takes too long a probe seals its key, or finds it refused: it is asked under another.
assert found["ok"] == 180 and found["rejected"] >= 20 and found.keys() <= {"ok", "rejected", "tombstone"}, found
END
