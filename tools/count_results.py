#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up what tools/test.sh left behind: ctest's JUnit files and the steps. Names what failed and what was skipped, then
prints one line, `N passed, N failed, N skipped`; exits 1 when something failed or nothing was run."""
import pathlib
import sys
import xml.etree.ElementTree as xml

passed = failed = skipped = 0
folder = pathlib.Path(sys.argv[1])
for step in sorted(folder.glob("*.step")):
    if step.read_text().strip() == "passed":
        passed += 1
    else:
        failed += 1
for path in sorted(folder.glob("*.xml")):
    for case in xml.parse(path).getroot().iter("testcase"):
        name = f"{path.stem}: {case.get('name')}"
        if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
            output = (case.findtext("system-out") or "").strip().splitlines()
            print(f"skipped: {name}: {output[-1] if output else 'no reason given'}")
        elif case.find("failure") is not None or case.get("status") == "fail":
            failed += 1
            print(f"failed: {name}")
        else:
            passed += 1
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed or not passed else 0)
