#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each public header compiles alone, as C11 and as C++17, with gcc and clang, with every warning, and also as the main
file. A compiler that is not there is named and left out; without any of them it fails."""
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

from house import Report, files, root

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wundef", "-Werror"]
COMPILERS = {
    "gcc": ["-x", "c", "-std=c11"], "clang": ["-x", "c", "-std=c11", "-Weverything", "-Wno-padded", "-Wno-unused-macros",
                                              "-Wno-reserved-macro-identifier", "-Wno-reserved-identifier",
                                              "-Wno-declaration-after-statement",
                                              "-fcomment-block-commands=errors,threads,blocks,source"],
    "g++": ["-x", "c++", "-std=c++17"], "clang++": ["-x", "c++", "-std=c++17"],
}


def main():
    base = root()
    report = Report(base, "headers")
    present = {name: flags for name, flags in COMPILERS.items() if shutil.which(name)}
    for name in COMPILERS.keys() - present.keys():
        print(f"headers: {name} is not installed, left out")
    jobs = []
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        for header in files(base, ".h", under=("include",)):
            user = f"{scratch}/{header.stem}.c"
            with open(user, "w", encoding="utf-8") as file:
                file.write(f"#include <{header.relative_to(base / 'include')}>\n")
            for name, flags in present.items():
                for main_file in (user, str(header)):
                    command = [name, *flags, *WARNINGS, f"-I{base / 'include'}", "-fsyntax-only", main_file]
                    jobs.append((header, command, pool.submit(subprocess.run, command, capture_output=True, text=True,
                                                              check=False)))
        for header, command, job in jobs:
            result = job.result()
            if result.returncode:
                first = next((line for line in result.stderr.splitlines() if "error" in line), result.stderr[:200])
                report(header, 1, f"{command[0]}: {first}")
    report.done(len(jobs))


main()
