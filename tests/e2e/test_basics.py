#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What needs no broker: version, help, usage errors, error table, completion, manual pages, contexts, configuration."""
import os
import pty
import re
import stat
import subprocess

from harness import DEADLINE, PROGRAM, Test, main

CONFIG = """service: orders
backends:
  main: sqlite:main.db
  log: sqlite:log.db
routes:
  - {events: "order.*", to: log}
  - {events: ">", to: main}
  - {commands: "*", to: main}
retry: {attempts: 7}
"""


class Words(Test):
    def test_version_is_said_in_three_ways(self):
        line = self.marty("--version", code=0).out
        self.assertRegex(line, r"^marty \d+\.\d+\.\d+\n$")
        self.assertEqual(self.marty("version", "-o", "table", code=0).out, line)
        self.assertEqual("marty " + self.marty("version", code=0).row["library"] + "\n", line)

    def test_help_names_every_verb_and_each_verb_has_help(self):
        listed = self.marty("help", code=0).out
        verbs = re.findall(r"^  ([a-z]+(?: [a-z]+)?)   ", listed, re.M)
        self.assertGreater(len(verbs), 30)
        for verb in verbs:
            text = self.marty("help", *verb.split(), code=0).out
            self.assertIn(f"marty {verb}", text)
            self.assertEqual(text, self.marty(*verb.split(), "--help", code=0).out)
            self.assertNotRegex(text, r" \n", "no line ends in a space")
            self.assertLess(max(map(len, text.splitlines())), 110)
            flags = re.findall(r"^  (?:-(\w), |    )--([\w-]+)", text, re.M)
            for words in ([word for _, word in flags], [letter for letter, _ in flags if letter]):
                self.assertEqual(sorted(words), sorted(set(words)), f"{verb}: a flag means two things")

    def test_no_verb_is_a_usage_error_with_help(self):
        result = self.marty(code=2)
        self.assertEqual(result.out, "")
        self.assertIn("Verbs", result.err)
        self.assertIn("dlq replay", self.marty("dlq", code=2).err)

    def test_slips_are_answered_with_what_was_meant(self):
        for words, meant in ((["pbu"], "marty pub"), (["dlq", "rpelay"], "marty dlq replay"),
                             (["pub", "--cuont", "2", "a.b", "1"], "--count"), (["help", "nothing"], "marty help"),
                             (["help", "pubb"], '"marty pub"'), (["publish", "a.b"], '"marty pub"'), (["saga", "list"], '"marty saga ls"'),
                             (["saga", "frobnicate"], "marty help saga")):
            result = self.marty(*words, code=2)
            self.assertIn(meant, result.err)
            self.assertEqual(result.out, "")

    def test_wrong_use_is_exit_code_2_and_says_the_next_step(self):
        for words, says in ((["pub"], "too few arguments: marty pub TYPE [DATA]"),
                            (["pub", "a", "b", "c"], 'too many arguments, from "c" on'),
                            (["sub", "a", "-o", "xml"], "is not one of table|json|jsonl|raw"),
                            (["pub", "a", "1", "--in", "soon"], "is not a duration"),
                            (["pub", "a", "1", "-b", self.url, "-H", "nonsense"], "is not NAME:VALUE"),
                            (["sub", "a", "-b", self.url, "--from", "yesterday"], "none of earliest, now"),
                            (["reply", "user", "profile", "-b", self.url], "give one answer"),
                            (["dlq", "discard", "-b", self.url], "say which"),
                            (["completion", "tcsh"], "not one of bash, zsh, fish")):
            result = self.marty(*words, code=2)
            self.assertIn(says, result.err)
            self.assertIn("next: marty help", result.err)
            self.assertEqual(result.out, "")

    def test_without_a_place_it_says_how_to_give_one(self):
        result = self.marty("pub", "a.b", "1", code=2)
        self.assertIn("no backend is named: give -b URL", result.err)
        self.assertIn("next: marty context add", result.err)

    def test_errors_are_looked_up_by_name_part_and_number(self):
        for word in ("MARTY_E_MAYBE_STORED", "maybe_stored", "16"):
            row = self.marty("errors", "lookup", word, code=0).row
            self.assertEqual((row["code"], row["number"], row["class"]), ("MARTY_E_MAYBE_STORED", 16, "retry"))
        self.assertIn("did you mean", self.marty("errors", "lookup", "MARTY_E_MAYB_STORED", code=3).err)
        codes = [row["code"] for row in self.marty("errors", "ls", code=0).rows]
        self.assertEqual(codes[0], "MARTY_OK")
        self.assertEqual(len(codes), len(set(codes)))

    def test_formats_of_rows(self):
        self.assertTrue(self.marty("errors", "ls", "-o", "table", code=0).out.startswith("CODE "))
        self.assertTrue(self.marty("errors", "ls", "-o", "json", code=0).out.startswith("["))
        self.assertEqual(self.marty("errors", "ls", "-o", "raw", code=0).out.split("\n")[0].split("\t")[0], "MARTY_OK")
        self.assertNotIn("\x1b", self.marty("errors", "ls", "-o", "table", "--color", "always", code=0,
                                            env={"NO_COLOR": "1"}).err)

    def test_a_full_disk_under_stdout_is_an_error(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([PROGRAM, "errors", "ls"], stdout=full, stderr=subprocess.PIPE, text=True, env=self.env,
                                  check=False, timeout=DEADLINE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("MARTY_E_STORAGE  stdout:", done.stderr)

    def test_completion_comes_from_the_tables(self):
        def complete(*words):
            return [line.split("\t")[0] for line in self.marty("complete", "--", *words, code=0).out.splitlines()]
        self.assertEqual(complete("pu"), ["pub"])
        self.assertEqual(complete("dlq", ""), ["ls", "show", "replay", "discard"])
        self.assertIn("--header", complete("pub", "--h"))
        self.assertEqual(complete("pub", "-o", "js"), ["json", "jsonl"])
        self.assertEqual(complete("errors", "lookup", "MARTY_E_MAYBE"), ["MARTY_E_MAYBE_STORED"])
        self.marty("context", "add", "prod", "-b", "sqlite:x", code=0)
        self.assertEqual(complete("context", "select", ""), ["prod"])
        self.assertEqual(complete("sub", "--context", ""), ["prod"])
        for shell in ("bash", "zsh", "fish"):
            self.assertIn("complete --", self.marty("completion", shell, code=0).out)
        self.assertNotIn("complete", complete(""), "hidden")

    def test_manual_pages_are_written_for_each_verb(self):
        pages = self.folder / "man"
        pages.mkdir()
        self.marty("man", str(pages), code=0)
        names = {path.name for path in pages.iterdir()}
        self.assertLessEqual({"marty.1", "marty-pub.1", "marty-dlq-replay.1"}, names)
        self.assertNotIn("marty-man.1", names)
        text = (pages / "marty-pub.1").read_text()
        for part in (".TH", ".SH SYNOPSIS", "\\-\\-header", ".SH EXIT STATUS", "130"):
            self.assertIn(part, text)


class Contexts(Test):
    def test_a_context_lives_from_add_to_rm(self):
        self.marty("context", "add", "prod", "-b", "nats://user:secret@h:4222", "--service", "billing", "--select", code=0)
        self.assertEqual(self.marty("context", "add", "prod", "-b", "sqlite:x", code=1).out, "")
        self.marty("context", "add", "test", "-b", "sqlite:x", code=0)
        rows = self.marty("context", "ls", code=0)
        self.assertNotIn("secret", rows.out)
        self.assertEqual([(row["name"], row["selected"]) for row in rows.rows], [("prod", True), ("test", False)])
        mode = os.stat(self.folder / "config/marty/contexts/prod.yaml").st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        self.marty("context", "select", "test", code=0)
        self.marty("context", "select", "-", code=0)
        self.assertEqual(self.marty("context", "show", code=0).row["name"], "prod")
        self.assertIn("--yes", self.marty("context", "rm", "prod", code=2).err)
        self.marty("context", "rm", "prod", "--dry-run", code=0)
        self.marty("context", "rm", "prod", "--yes", code=0)
        self.marty("context", "rm", "prod", "--yes", code=3)
        self.marty("context", "show", code=3)
        self.assertIn("did you mean \"test\"", self.marty("pub", "a.b", "1", "--context", "tset", code=3).err)

    def test_flags_beat_environment_beat_context_beat_default(self):
        self.write("marty.yaml", "backends: {here: 'sqlite:default.db'}\n")
        self.write("other.yaml", "backends: {there: 'sqlite:env.db'}\n")
        def origin(*words, env=None):
            rows = self.marty("config", "explain", *words, code=0, env=env).rows
            return next((row["value"], row["from"]) for row in rows if row["key"] in ("config", "backend"))
        self.assertEqual(origin(), ("marty.yaml", "default (found in this folder)"))
        self.marty("context", "add", "c", "-b", "sqlite:context.db", "--select", code=0)
        self.assertEqual(origin(), (f"sqlite:{self.folder}/context.db", "context c"))
        self.assertEqual(origin(env={"MARTY_CONFIG": "other.yaml"}), ("other.yaml", "environment MARTY_CONFIG"))
        self.assertEqual(origin(env={"MARTY_CONFIG": "other.yaml", "MARTY_CONTEXT": "c"}), (f"sqlite:{self.folder}/context.db", "context c"))
        self.assertEqual(origin("-b", "sqlite:flag.db", env={"MARTY_CONTEXT": "c"}), ("sqlite:flag.db", "flag --backend"))
        self.assertEqual(origin("-c", "other.yaml"), ("other.yaml", "flag --config"))


class Terminal(Test):
    def on_terminal(self, *words, typed="", env=None):
        """Run it on a terminal of its own: its exit code and all that is on the screen."""
        master, slave = pty.openpty()
        process = subprocess.Popen([PROGRAM, *words], cwd=self.folder, env={**self.env, "TERM": "xterm", **(env or {})},
                                   stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        os.write(master, typed.encode())
        screen = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # Linux says so when the other side is closed
                break
            if not part:
                break
            screen += part
        os.close(master)
        return process.wait(DEADLINE), screen.decode().replace("\r\n", "\n")

    def test_a_table_with_colors_unless_they_are_not_wanted(self):
        code, screen = self.on_terminal("errors", "ls")
        self.assertEqual(code, 0)
        self.assertIn("\x1b[1mCODE ", screen)
        self.assertNotIn("{", screen)
        for words, env in ((["--color", "never"], {}), ([], {"NO_COLOR": "1"})):
            code, screen = self.on_terminal("errors", "ls", *words, env=env)
            self.assertNotIn("\x1b", screen)
            self.assertTrue(screen.startswith("CODE "))

    def test_what_destroys_asks_for_the_name(self):
        self.marty("context", "add", "prod", "-b", "sqlite:x", code=0)
        code, screen = self.on_terminal("context", "rm", "prod", typed="yes\n")
        self.assertEqual(code, 1)
        self.assertIn("Type prod to go on", screen)
        self.assertIn("nothing was done", screen)
        self.assertEqual(len(self.marty("context", "ls", code=0).rows), 1)
        code, _ = self.on_terminal("context", "rm", "prod", typed="prod\n")
        self.assertEqual(code, 0)
        self.assertEqual(self.marty("context", "ls", code=0).rows, [])


class Configuration(Test):
    def test_explain_shows_each_value_and_connects_to_nothing(self):
        self.write("marty.yaml", CONFIG)
        rows = {row["key"]: row for row in self.marty("config", "explain", code=0).rows}
        self.assertEqual(rows["service"]["value"], "orders")
        self.assertEqual(rows["retry.attempts"]["value"], 7)
        self.assertIn("marty.yaml:9", rows["retry.attempts"]["from"])
        self.assertEqual(rows["routes[0].to"]["value"], "log")
        self.assertIn("marty.yaml:6", rows["routes[0].to"]["from"])
        self.assertIn("default", rows["dead_letter.channel"]["from"])
        self.assertFalse((self.folder / "main.db").exists())

    def test_passwords_are_never_shown(self):
        self.write("marty.yaml", "backends: {main: 'sqlite:x.db?password=hunter2'}\n")
        for words in (["config", "explain"], ["config", "explain", "-b", "sqlite:y.db?password=hunter2"],
                      ["config", "validate"]):
            result = self.marty(*words)
            self.assertNotIn("hunter2", result.out + result.err)

    def test_validate_names_file_line_and_field(self):
        self.write("good.yaml", CONFIG)
        row = self.marty("config", "validate", "good.yaml", code=0).row
        self.assertEqual((row["valid"], row["backends"], row["routes"]), (True, 2, 3))
        for text, says in ((CONFIG.replace("to: log", "to: logs"), 'bad.yaml:6: routes[0].to: no backend called "logs"'),
                           (CONFIG.replace("attempts: 7", "attempts: many"), "bad.yaml:9: retry.attempts"),
                           (CONFIG.replace("retry:", "rety:"), "bad.yaml:9:"),
                           ("service: [", "bad.yaml:")):
            self.write("bad.yaml", text)
            result = self.marty("config", "validate", "bad.yaml", code=1)
            self.assertIn("MARTY_E_CONFIG", result.err)
            self.assertIn(says, result.err)
        self.assertIn("missing.yaml", self.marty("config", "validate", "missing.yaml", code=3).err)


if __name__ == "__main__":
    main()
