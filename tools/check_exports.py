#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libmarty exports what the public headers declare, no more and no less: check_exports.py ROOT LIBRARY."""
import re
import subprocess
import sys

from house import Report, blank, files, root


def declared(base):
    """Exported functions by the headers, with where they stand."""
    found = {}
    for path in files(base, ".h", under=("include",)):
        text = blank(path.read_text())
        for match in re.finditer(r"^MARTY_(?:API|MUST)\b[^;{]*?\b(marty_\w+)\s*\(", text, re.M):
            found[match.group(1)] = (path, text.count("\n", 0, match.start()) + 1)
    return found


def main():
    base = root()
    report = Report(base, "exports")
    symbols = subprocess.run(["nm", "-D", "--defined-only", sys.argv[2]], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[2].split("@")[0] for line in symbols.splitlines() if len(line.split()) == 3} - {"MARTY_0"}
    wanted = declared(base)
    for name in sorted(wanted.keys() - exported):
        report(*wanted[name], f"{name} is declared, and the library does not export it")
    for name in sorted(exported - wanted.keys()):
        report(base / "include", 1, f"{name} is exported, and no public header declares it")
    report.done(len(wanted))


main()
