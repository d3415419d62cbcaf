# SPDX-License-Identifier: Apache-2.0
"""Runs a demo of sagas, and then what it tells a person to type: as it is printed, after everything has ended, in a shell
without the environment of the demo. demo.py PROGRAM [ARGUMENTS]; its exit code is that of the demo, or 1. What the programs
said last is printed with a failure, as their logs may be out of reach afterwards."""
import os
import pathlib
import subprocess
import sys


def show_logs():
    for log in sorted(pathlib.Path(sys.argv[sys.argv.index("--folder") + 1]).glob("*.log")):
        said = log.read_text(errors="replace")
        if said:
            print(f"---- {log}\n{said[-4000:]}----", file=sys.stderr)


done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=False)
print(done.stdout, end="")
if done.returncode:
    show_logs()
    sys.exit(done.returncode)
lines = done.stdout.splitlines()
typed = next(lines[i + 1] for i, line in enumerate(lines) if line.endswith("timeline of one that was undone:"))
env = {key: value for key, value in os.environ.items() if not key.startswith("MARTY_")}
shown = subprocess.run(["sh", "-c", typed + " -o table"], stdout=subprocess.PIPE, text=True, env=env, check=False)
print(shown.stdout, end="")
wanted = ["compensated", "because: card refused", "-> charge", "-> undo reserve", "-> undo validate", "the saga is compensated"]
missing = [part for part in wanted if part not in shown.stdout]
if shown.returncode or missing:
    print(f"typed: {typed}\nexit code {shown.returncode}, missing: {missing}", file=sys.stderr)
    sys.exit(1)
