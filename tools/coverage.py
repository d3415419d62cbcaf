#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""After the tests of a coverage build: how much of each folder of src/ they ran, by lines and branches, and which files least.
tools/coverage.py BUILD"""
import collections
import json
import pathlib
import subprocess
import sys

build = pathlib.Path(sys.argv[1]).resolve()
source = pathlib.Path(__file__).resolve().parent.parent
lines, branches = {}, {}
for data in build.rglob("*.gcda"):
    if ".dir/src/" not in str(data) or data.name.endswith("_test.c.gcda"):
        continue
    out = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", data], capture_output=True, text=True,
                         check=True, cwd=data.parent).stdout
    for report in filter(None, out.splitlines()):
        for file in json.loads(report)["files"]:
            path = pathlib.Path(build, file["file"]).resolve()
            if source / "src" not in path.parents:
                continue
            for line in file["lines"]:
                key = (path, line["line_number"])
                lines[key] = lines.get(key, 0) + line["count"]
                for index, branch in enumerate(line["branches"]):
                    branches[(*key, index)] = branches.get((*key, index), 0) + branch["count"]

totals = collections.defaultdict(lambda: [0, 0, 0, 0])
files = collections.defaultdict(lambda: [0, 0])
for (path, _), count in lines.items():
    folder = str(path.parent.relative_to(source))
    for name in (folder, "all"):
        totals[name][0] += bool(count)
        totals[name][1] += 1
    files[path][0] += bool(count)
    files[path][1] += 1
for (path, _, _), count in branches.items():
    for name in (str(path.parent.relative_to(source)), "all"):
        totals[name][2] += bool(count)
        totals[name][3] += 1
if not lines:
    sys.exit("coverage: nothing was run")
for name, (hit, total, taken, ways) in sorted(totals.items()):
    print(f"{name:28} lines {100 * hit / total:5.1f} % of {total:6}   branches {100 * taken / max(ways, 1):5.1f} % of {ways:6}")
print("least:")
for path, (hit, total) in sorted(files.items(), key=lambda item: item[1][0] / item[1][1])[:8]:
    print(f"  {path.relative_to(source)}: {100 * hit / total:.0f} %")
