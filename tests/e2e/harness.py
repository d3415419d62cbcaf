# SPDX-License-Identifier: Apache-2.0
"""Runs the program `marty` for the tests beside this file: every test has an empty folder, no configuration and no
environment of the user, and a deadline on everything. Nothing sleeps for something: wait_for looks until it is there."""
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

PROGRAM = os.environ.get("MARTY_PROGRAM", "marty")
DEADLINE = 30  # seconds, on a busy machine; a failing test takes that long, a good one does not


def wait_for(condition, what, deadline=DEADLINE):
    """The first true value of condition(), looked at every few milliseconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline} s")
        time.sleep(0.005)


def port_of_nobody(test):
    """A port on which nobody listens until the end of the test, or the test's own server, which sets SO_REUSEADDR."""
    kept = socket.socket()
    test.addCleanup(kept.close)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept.getsockname()[1]


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def rows(self):
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self):
        rows = self.rows
        assert len(rows) == 1, f"one row was expected: {self.out!r} {self.err!r}"
        return rows[0]

    def __repr__(self):
        return f"exit code {self.code}\nstdout: {self.out}\nstderr: {self.err}"


class Running:
    """A process whose lines are read as they come."""

    def __init__(self, arguments, cwd, env):
        self.process = subprocess.Popen(arguments, cwd=cwd, env=env, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=1)
        self.lines, self.said = queue.Queue(), []
        self.readers = [threading.Thread(target=self._read, args=(self.process.stdout, self.lines.put), daemon=True),
                        threading.Thread(target=self._read, args=(self.process.stderr, self.said.append), daemon=True)]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream, take):
        for line in stream:
            take(line.rstrip("\n"))

    def line(self, deadline=DEADLINE):
        try:
            return self.lines.get(timeout=deadline)
        except queue.Empty:
            raise AssertionError(f"no line within {deadline} s; stderr: {self.said}") from None

    def json(self, deadline=DEADLINE):
        return json.loads(self.line(deadline))

    def wait_said(self, part):
        wait_for(lambda: any(part in line for line in self.said), f"{part!r} on stderr, {self.said}")

    def signal(self, number):
        self.process.send_signal(number)

    def end(self, deadline=DEADLINE):
        """Wait for it; its exit code."""
        code = self.process.wait(deadline)
        for reader in self.readers:
            reader.join(deadline)
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        try:
            self.process.stdin.close()
        except OSError:
            pass
        self.process.wait(DEADLINE)
        for reader in self.readers:
            reader.join(DEADLINE)
        self.process.stdout.close()
        self.process.stderr.close()


class Test(unittest.TestCase):
    """A folder, a URL in it, and the program."""
    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="marty-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.url = f"sqlite:{self.folder}/e2e.db"
        keep = ("PATH", "MARTY_MODULE_PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS",
                "LSAN_OPTIONS", "TMPDIR")
        self.env = {key: os.environ[key] for key in keep if key in os.environ}
        self.env.update(HOME=str(self.folder), XDG_CONFIG_HOME=str(self.folder / "config"), LC_ALL="C.UTF-8", TZ="UTC")

    def marty(self, *arguments, stdin="", code=None, env=None, bus=False):
        """Run it to its end. bus: on this test's sqlite file."""
        words = [PROGRAM, *arguments] + (["-b", self.url] if bus else [])
        done = subprocess.run(words, cwd=self.folder, env={**self.env, **(env or {})}, input=stdin, text=True,
                              capture_output=True, timeout=DEADLINE, check=False)
        result = Result(done.returncode, done.stdout, done.stderr)
        if code is not None:
            self.assertEqual(result.code, code, f"{arguments}: {result!r}")
        return result

    def bus(self, *arguments, stdin="", code=0):
        """Run it on this test's sqlite file."""
        return self.marty(*arguments, stdin=stdin, code=code, bus=True)

    def start(self, *arguments, bus=True, ready="listening for"):
        """Start it on this test's sqlite file, and wait until it listens."""
        running = Running([PROGRAM, *arguments] + (["-b", self.url] if bus else []), self.folder, self.env)
        self.addCleanup(running.kill)
        if ready:
            running.wait_said(ready)
        return running

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path


class Peer:
    """`marty peer`: requests by op, events by kind."""

    def __init__(self, test):
        self.running = test.start("peer", bus=False, ready=None)
        self.answers, self.events, self.last = {}, [], 0

    def send(self, op, **fields):
        self.last += 1
        self.running.process.stdin.write(json.dumps({"id": self.last, "op": op, **fields}) + "\n")
        self.running.process.stdin.flush()
        return self.last

    def _take(self):
        message = self.running.json()
        if "event" in message:
            self.events.append(message)
        else:
            self.answers[message["id"]] = message

    def answer(self, number):
        while number not in self.answers:
            self._take()
        return self.answers.pop(number)

    def ask(self, op, **fields):
        """The answer, fine or not."""
        return self.answer(self.send(op, **fields))

    def ok(self, op, **fields):
        answer = self.ask(op, **fields)
        assert answer["ok"], f"{op} {fields}: {answer}"
        return answer

    def error(self, op, **fields):
        answer = self.ask(op, **fields)
        assert not answer["ok"], f"{op} {fields}: {answer}"
        return answer["error"]

    def event(self, kind="delivery", deadline=DEADLINE):
        """The next event of a kind."""
        end = time.monotonic() + deadline
        while True:
            for index, event in enumerate(self.events):
                if event["event"] == kind:
                    return self.events.pop(index)
            assert time.monotonic() < end, f"no {kind} within {deadline} s"
            self._take()

    def end(self):
        self.running.process.stdin.close()
        return self.running.process.wait(DEADLINE)


def main():
    unittest.main(verbosity=1)
