#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the README and the pages of the documentation show is tried: C is compiled as it stands there (that of the README is
also run), and what stands behind $ in a console block is run, in an empty folder of each page. Links lead somewhere."""
import os
import pathlib
import re
import signal
import subprocess

from harness import DEADLINE, PROGRAM, Running, Test, main, wait_for

SOURCE = pathlib.Path(os.environ["MARTY_SOURCE"])
PAGES = [SOURCE / "README.md", SOURCE / "HACKING.md", *sorted(SOURCE.glob("docs/**/*.md")), *sorted(SOURCE.glob("examples/**/*.md"))]
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{SOURCE}/include"]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def program(page):
    """All C of a page as one file: definitions as they are, statements in functions."""
    whole = [block for block in blocks(page, "c") if "int main(" in block]
    if whole:
        return whole[0]
    text = "#include <marty/marty.h>\n#include <stdio.h>\n"
    for number, block in enumerate(blocks(page, "c")):
        if block.startswith("static "):
            text += block
        else:
            given = "marty_bus *bus" + ("" if "on_charge" in text or "on_charge" not in block else ", marty_handler on_charge")
            text += (f"marty_err use_{number}({given});\nmarty_err use_{number}({given})\n"
                     "{\nmarty_error why = {0};\nmarty_err err = MARTY_OK;\n(void)bus;\n" + block + "return err;\n}\n")
    return text


class Docs(Test):
    def build(self, page, *more):
        self.write("page.c", program(page))
        done = subprocess.run([os.environ["MARTY_CC"], *FLAGS, "page.c", *more], cwd=self.folder, capture_output=True, text=True,
                              timeout=DEADLINE, check=False)
        self.assertEqual(done.returncode, 0, f"{page}:\n{done.stderr}")

    def test_c_compiles_as_shown(self):
        pages = [page for page in PAGES if blocks(page, "c")]
        self.assertGreater(len(pages), 5)
        for page in pages:
            with self.subTest(page.name):
                self.build(page, "-c", "-o", "page.o")

    @staticmethod
    def catches(pid, number):
        caught = re.search(r"^SigCgt:\s*(\w+)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1)
        return int(caught, 16) >> (number - 1) & 1

    def handled(self):
        rows = self.marty("subscription", "ls", "-b", "sqlite:orders.db", code=0).rows
        return [(row["lag"], row["unsettled"]) for row in rows if row["group"] == "billing"] == [(0, 0)]

    def test_the_first_program_runs(self):
        library = pathlib.Path(os.environ["MARTY_LIBRARY"])
        self.build(PAGES[0], str(library), f"-Wl,-rpath,{library.parent}", "-o", "first")
        running = Running([f"{self.folder}/first"], self.folder, self.env)
        self.addCleanup(running.kill)
        row = self.marty("sub", "order.*", "--from", "earliest", "--count", "1", "--timeout", "20s", "-b", "sqlite:orders.db",
                         code=0).row
        self.assertEqual(row["data"], {"id": 7})
        wait_for(self.handled, "its handler")
        wait_for(lambda: self.catches(running.process.pid, signal.SIGTERM), "marty_bus_run")
        running.signal(signal.SIGTERM)
        self.assertEqual(running.end(), 0)
        self.assertIn('{"id": 7}', running.line())

    def test_commands_run(self):
        self.env["PATH"] = os.path.dirname(os.path.abspath(PROGRAM)) + ":" + os.environ["PATH"]
        tried = 0
        for page in PAGES:
            lines = re.findall(r"^\$ (.*)$", "".join(blocks(page, "console")), re.M)
            folder = self.folder / page.stem
            folder.mkdir(exist_ok=True)
            for text in blocks(page, "yaml"):
                (folder / "marty.yaml").write_text(text)
            done = subprocess.run(["bash", "-exc", "\n".join(lines)], cwd=folder, env=self.env, capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=2 * DEADLINE, check=False)
            self.assertEqual(done.returncode, 0, f"{page}:\n{done.stdout}{done.stderr}")
            tried += len(lines)
        self.assertGreater(tried, 30)

    def test_python_is_a_file_of_the_examples(self):
        files = [path.read_text(encoding="utf-8") for path in SOURCE.glob("examples/**/*.py")]
        shown = [(page, block) for page in PAGES for block in blocks(page, "python")]
        self.assertTrue(shown)
        for page, block in shown:
            self.assertIn(block, files, f"{page}: its Python is none of the files in examples/")

    def test_links_lead_somewhere(self):
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
                self.assertTrue((page.parent / target).exists(), f"{page}: {target}")


if __name__ == "__main__":
    main()
