#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Completion as it is typed: the shells themselves, on a terminal, with TAB. A shell that is not installed is a skip."""
import os
import pty
import re
import select
import shutil
import subprocess
import time
import unittest

from harness import DEADLINE, PROGRAM, Test, main

# What is typed before TAB, and what then stands there.
CASES = (("marty pu", r"marty pub $"),
         ("marty dlq rep", r"marty dlq replay $"),
         ("marty pub --hea", r"marty pub --header $"),
         ("marty pub x --level sy", r"--level synced $"),
         ("marty pub x --level=sy", r"--level=synced $"),
         ("marty errors lookup MARTY_E_MAY", r"lookup MARTY_E_MAYBE_STORED $"),
         ("marty pub x --context pr", r"--context prod $"),
         ("marty pub x -b sq", r"-b sqlite:$"),
         ("marty pub x -b sqlite:or", r"-b sqlite:orders\.db $"),
         ("marty pub x -c mart", r"-c marty\.yaml $"))


class OnTerminal(Test):
    """A shell that has sourced its script, in a folder with a file or two."""

    def setUp(self):
        super().setUp()
        self.write("orders.db", "")
        self.write("marty.yaml", "")
        self.marty("context", "add", "prod", "-b", "sqlite:x", code=0)
        self.env.update(TERM="dumb", PATH=os.path.dirname(os.path.abspath(PROGRAM)) + ":" + os.environ["PATH"])

    def read(self, terminal, pattern, seen=b""):
        end = time.monotonic() + DEADLINE
        while not re.search(pattern, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x07", "", seen.decode(errors="replace"))):
            left = end - time.monotonic()
            self.assertGreater(left, 0, f"{pattern} does not come; there is {seen!r}")
            if select.select([terminal], [], [], left)[0]:
                seen += os.read(terminal, 4096)
        return seen

    def tab(self, words, before, typed, pattern):
        master, slave = pty.openpty()
        shell = subprocess.Popen(words, cwd=self.folder, env=self.env, stdin=slave, stdout=slave, stderr=slave,
                                 start_new_session=True)
        os.close(slave)
        try:
            os.write(master, (before + "; echo REA''DY\n").encode())
            self.read(master, r"READY\r?\n(.|\n)*> ")
            os.write(master, typed.encode() + b"\t")
            self.read(master, pattern)
        finally:
            shell.kill()
            shell.wait(DEADLINE)
            os.close(master)

    def test_bash(self):
        for typed, pattern in CASES:
            self.tab(["bash", "--norc", "--noprofile", "-i"], "PS1='> '; source <(marty completion bash)", typed, pattern)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh(self):
        for typed, pattern in CASES:
            self.tab(["zsh", "-f", "-i"], "unsetopt zle_bracketed_paste 2>/dev/null; PS1='> '; autoload -U compinit; "
                     "compinit -u -D; source <(marty completion zsh)", typed, pattern)

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish(self):
        self.write("marty.fish", self.marty("completion", "fish", code=0).out)
        for typed, pattern in CASES:
            done = subprocess.run(["fish", "-N", "-c", f"source marty.fish; complete -C '{typed}'"], cwd=self.folder, env=self.env,
                                  capture_output=True, text=True, timeout=DEADLINE, check=True)
            offered = [line.split("\t")[0] for line in done.stdout.splitlines()]
            completed = [typed[:typed.rfind(" ") + 1] + word + ("" if word.endswith(":") else " ") for word in offered]
            self.assertTrue(any(re.search(pattern, line) for line in completed), f"{typed}: {offered}")


if __name__ == "__main__":
    main()
