#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/reference/conformance.md from what the suite left in a build folder: conformance.json, saboteur-*.json, and the cases and
rows that its program prints.
  conformance_report.py BUILD PAGE           writes the page
  conformance_report.py --check BUILD PAGE   says where the page and the program's list of contracts and rows differ"""
import glob
import json
import os
import re
import subprocess
import sys

HEAD = """# What each backend was held to

Made by `tools/conformance_report.py` from the last runs of the suite; do not edit. Every contract is run against every backend, each
case in a process of its own, on real servers that the tests start. **pass**, with the number of cases that did: all cases that apply.
**skip**: none applies, for the reason below. **FAIL**: at least one case did not pass. `make conformance BACKEND=memory` runs one column.

"""
LATER = {"C36": "the outbox", "C37": "sagas", "C40": "migration"}  # contracts of layers above the backends


def load(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return []


def printed(build, flag):
    program = os.path.join(build, "tests/conformance/conformance")
    return subprocess.run([program, flag], capture_output=True, text=True, check=True).stdout.splitlines()


def cases(build):
    """What each case says, in the order of the suite: {contract: [(case, sentence)]}."""
    found = {}
    for line in printed(build, "--list"):
        name, sentence = line.split(None, 1)
        contract, case = name.split(".", 1)
        found.setdefault(contract, []).append((case, sentence))
    return found


def cell(text):
    """Text for a table, without the folder that this tree happens to be in."""
    return re.sub(r"/[^\s=]*/(?=build[\w-]*/)", "", text).replace("|", "\\|").replace("\n", " ")


def table(title, before, head, rows):
    """Lines of a section; nothing when there are no rows."""
    rows = ["| " + " | ".join(row) + " |" for row in rows]
    return [f"## {title}", "", *before, "| " + " | ".join(head) + " |", "|" + "---|" * len(head), *rows, ""] if rows else []


def versions(entries, rows):
    for row in rows:
        results = [case["result"] for (_, name), entry in entries.items() if name == row for case in entry["cases"]]
        version = next((entry["version"] for (_, name), entry in entries.items() if name == row), "not run")
        yield [row, version, *(str(results.count(result)) for result in ("pass", "fail", "skip"))]


def matrix(entries, contracts, rows):
    for contract, listed in contracts.items():
        marks = []
        for row in rows:
            entry = entries.get((contract, row))
            passed = sum(case["result"] == "pass" for case in entry["cases"]) if entry else 0
            marks.append({"pass": f"pass {passed}", "fail": "**FAIL**", "skip": "skip"}[entry["result"]] if entry else "not run")
        yield [f"**{contract}** {cell(listed[0][1])}{', ...' if len(listed) > 1 else ''}", *marks]


def reasons(entries, rows, result):
    for row in rows:
        by_reason = {}
        for (contract, name), entry in entries.items():
            for case in entry["cases"] if name == row else []:
                if case["result"] == result:
                    by_reason.setdefault(case["reason"], []).append(f"{contract}.{case['case']}")
        for reason, names in by_reason.items():
            yield [row, cell(reason), ", ".join(names)]


def catches(sabotages):
    for one in sabotages:
        said = re.sub(r"^[\w/.]+\.c:\d+: ", "", one["reason"])
        yield [one["sabotage"], one["backend"], cell(one["says"]), one["caught_by"], cell(said) if one["caught"] else "**MISSED**"]


def page(build):
    entries = {(entry["contract"], entry["backend"]): entry for entry in load(os.path.join(build, "conformance.json"))}
    contracts, rows = cases(build), printed(build, "--backends")
    sabotages = [one for path in sorted(glob.glob(os.path.join(build, "saboteur-*.json"))) for one in load(path)]
    later = ", ".join(f"{contract} ({layer})" for contract, layer in LATER.items())
    lines = [
        *table("Run against", [], ["Backend", "Version", "Cases passed", "failed", "skipped"], versions(entries, rows)),
        *table("Matrix", [f"Not here, since they are about layers above the backends: {later}.", ""], ["Contract", *rows],
               matrix(entries, contracts, rows)),
        *table("Failed", [], ["Backend", "Reason", "Cases"], reasons(entries, rows, "fail")),
        *table("Skipped, and why", [], ["Backend", "Reason", "Cases"], reasons(entries, rows, "skip")),
        *table("The suite can fail",
               ["Each sabotage breaks one contract in a wrapper around a real backend, and the case that it names must notice. The same",
                "wrapper without a sabotage passes all of these cases.", ""],
               ["Sabotage", "Around", "What it does", "Case", "What the case said"], catches(sabotages)),
        *table("Cases", [], ["Contract", "Case", "What it says"],
               ([contract, case, cell(says)] for contract, listed in contracts.items() for case, says in listed)),
    ]
    return HEAD + "\n".join(lines).rstrip() + "\n"


def check(build, path):
    """The page's contracts and columns are the suite's. Results are of the runs it was made from."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    head = re.search(r"^\| Contract \| (.*) \|$", text, re.M)
    have = {"contracts": re.findall(r"^\| \*\*(C\d+)\*\* ", text, re.M),
            "backends": head.group(1).split(" | ")[:len(printed(build, "--backends")) + 1] if head else []}
    want = {"contracts": list(cases(build)), "backends": printed(build, "--backends")}
    for what, wanted in want.items():
        if have[what] != wanted:
            print(f"{path}: its {what} are {' '.join(have[what])}, the suite's are {' '.join(wanted)}; make it again: HACKING.md")
    print(f"{len(want['contracts'])} contracts, {len(want['backends'])} backends looked at")
    return have != want


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--check":
        return check(sys.argv[2], sys.argv[3])
    if len(sys.argv) != 3:
        print("usage: conformance_report.py [--check] BUILD PAGE", file=sys.stderr)
        return 2
    text = page(sys.argv[1])
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
