#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over every source that a build folder compiles, or those named: tools/tidy.py BUILD [JOBS [FILE ...]]. What
passed is remembered there by its preprocessed text, so the next run looks only at what changed. Tests go without the
path-sensitive analyzer. Called by itself clang-tidy does not know tools/analyzer.h, and reports ways that there are not."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
build = pathlib.Path(sys.argv[1])
jobs = int(sys.argv[2]) if len(sys.argv) > 2 else os.cpu_count()
seen = build / "tidy"
seen.mkdir(parents=True, exist_ok=True)
EXTRA = [f"-I{root}/include", f"-include{root}/tools/analyzer.h"]
BUDGET = ["-Xclang", "-analyzer-config", "-Xclang", "max-nodes=50000"]  # of the analyzer, per function
verbose = os.environ.get("MARTY_VERBOSE") == "1"
settings = (root / ".clang-tidy").read_text() + pathlib.Path(__file__).read_text()
settings += subprocess.run(["clang-tidy", "--version"], capture_output=True, text=True, check=True).stdout


def key(entry):
    """A name for what the compiler sees, or None when it does not compile."""
    words = [w for w in entry["command"].split() if w != "-Werror"]
    words = words[: words.index("-o")] + words[words.index("-o") + 2 :]
    words[words.index("-c") : words.index("-c") + 1] = [*EXTRA, "-E", "-P"]
    result = subprocess.run(words, cwd=entry["directory"], capture_output=True, check=False)
    return hashlib.sha256(settings.encode() + result.stdout).hexdigest() if result.returncode == 0 else None


def tidy(entry):
    stamp = key(entry)
    if stamp and (seen / stamp).exists():
        return True, ""
    command = ["clang-tidy", "-p", build, "--quiet"]
    if re.search(r"_test\.c$|/tests/", entry["file"]):
        command.append("--checks=-clang-analyzer-*")
    command += [f"--extra-arg={word}" for word in EXTRA + BUDGET] + [entry["file"]]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0 and stamp:
        (seen / stamp).touch()
    lines = result.stdout.splitlines()
    said = "\n".join(line for line in lines if verbose or re.search(r": (error|warning): ", line))
    return result.returncode == 0, said if said or result.returncode == 0 else result.stderr


entries = {entry["file"]: entry for entry in json.loads((build / "compile_commands.json").read_text())}
entries = [entry for name, entry in sorted(entries.items()) if name.endswith(".c") and os.path.exists(name)]
if len(sys.argv) > 3:
    named = {str(pathlib.Path(name).resolve()) for name in sys.argv[3:]}
    entries = [entry for entry in entries if entry["file"] in named]
failed = 0
with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
    for fine, said in pool.map(tidy, entries):
        failed += not fine
        if said:
            print(said.replace(f"{root}/", ""), flush=True)
if failed or not entries:
    sys.exit(f"tidy: {failed} of {len(entries)} files are not right; how they got there: MARTY_VERBOSE=1")
