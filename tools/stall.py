#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs tests while their threads stand still now and then (tests/support/stall.c): tools/stall.py BUILD REGEX ROUNDS SEED.
Without a sanitizer: those want to be loaded first. Keeps what the failed ones printed, and says with which seed."""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

STALL_MS, EVERY_MS, MOST, AT_ONCE, LIMIT_S = 2000, 1500, 2, 8, 300
build = pathlib.Path(sys.argv[1]).resolve()
pattern, rounds, seed = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
kept = build / "stalled"
kept.mkdir(exist_ok=True)


def listed():
    text = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1", "-R", pattern], capture_output=True, text=True,
                          check=True).stdout
    return [test for test in json.loads(text)["tests"] if test.get("command")]


def environment(test, number):
    values = dict(os.environ)
    for name, value in ((p["name"], p["value"]) for p in test["properties"]):
        if name == "ENVIRONMENT":
            values.update(item.split("=", 1) for item in value if item)
    values["MARTY_STALL"] = f"{number},{STALL_MS},{EVERY_MS},{MOST}"
    values["LD_PRELOAD"] = str(build / "tests" / "stall.so")
    return values


def run(test, number):
    folder = kept / f"{re.sub(r'[^A-Za-z0-9_-]', '_', test['name'])}.{number}"
    folder.mkdir(exist_ok=True)
    log = folder / "log"
    with open(log, "w") as output:
        try:
            code = subprocess.run(test["command"], stdout=output, stderr=subprocess.STDOUT, cwd=folder, timeout=LIMIT_S,
                                  env=environment(test, number), check=False).returncode
        except subprocess.TimeoutExpired:
            code = f"none within {LIMIT_S} s"
    if code in (0, 77):
        subprocess.run(["rm", "-rf", folder], check=True)
        return True
    print(f"FAILED with seed {number}: {test['name']} (exit code {code}): {log}", flush=True)
    return False


tests = listed()
with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
    results = list(pool.map(lambda job: run(*job), [(t, seed + r) for r in range(rounds) for t in tests]))
print(f"{results.count(True)} passed, {results.count(False)} failed, of {len(tests)} tests in {rounds} rounds from seed {seed}")
sys.exit(0 if results and all(results) else 1)
