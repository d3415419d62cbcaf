# SPDX-License-Identifier: Apache-2.0
"""What an operator does to sagas, once through, on the store that is named: saga_store_tour.py [STORE-URL]. The bus is a
file of this test; the participants are this test, too, as in sagas.py."""
import json
import signal
import sys

import harness
from sagas import APPROVAL, Sagas

DOUBT = """saga: doubt
steps:
  - {name: reserve, service: stock, command: reserve, compensate: {command: release, timeout: 200ms}}
  - {name: charge, service: bank, command: charge, kind: pivot, in_doubt: hold, timeout: 100ms}
  - {name: ship, service: post, command: ship, kind: retriable}
"""
STORE = sys.argv.pop(1) if len(sys.argv) > 1 else None  # else a file of the test


class Tour(Sagas):
    def setUp(self):
        super().setUp()
        self.env["MARTY_STORE"] = STORE or self.store

    def statuses(self, *flags):
        return {row["id"]: row["status"] for row in self.marty("saga", "ls", *flags, code=0).rows}

    def wait_told(self, watching, saga, status):
        """Until `saga watch` says so; it looks now and then, so what lasts no longer may be missed."""
        harness.wait_for(lambda: (lambda line: (line["id"], line["status"]))(watching.json()) == (saga, status), f"{saga} {status}")

    def test_once_through(self):
        self.marty("saga", "ls", code=3)  # nobody has made the store yet
        second = APPROVAL.replace("VERSION", "2") + "  - {name: tell, service: post, command: tell, kind: read_only}\n"
        running = self.run_sagas(APPROVAL.replace("VERSION", "1"), second, DOUBT)
        watching = self.start("saga", "watch", bus=False, ready=None)

        # a signal, by the beginning of the id; a pause; the same start twice
        one = self.begin("approval", "--key", "a-1", "--version", "1", data='{"id":1}')
        self.wait_told(watching, one, "running")
        self.assertEqual(self.begin("approval", "--key", "a-1", data='{"id":1}'), one)
        self.assertIn("with another input", self.bus("saga", "start", "approval", "{}", "-k", "a-1", code=1).err)
        self.act("pause", one[:30])
        self.assertEqual(self.statuses("--status", "paused"), {one: "paused"})
        self.act("signal", one, "approved", '{"by":"kim"}', "--id", "s-1")
        self.act("signal", one, "approved", '{"by":"kim"}', "--id", "s-1")
        self.act("resume", one)
        self.wait_step(one, "note", "calling")

        # many at once: the one that is too far ahead for nothing new, and those that go over
        more = [self.begin("approval", "--version", "1") for _ in range(3)]
        every = ("migrate", "--all", "--saga", "approval", "--from", "1", "--to", "2")
        self.assertIn("4 done, 0 as they are, 0 refused", self.act(*every, "--dry-run").err)
        self.act(*every, "--yes", "-m", "we tell them now")
        self.assertEqual(self.act(*every, "--yes").rows, [])
        self.assertEqual({self.saga(each)["saga"]["definition_version"] for each in [one] + more}, {2})
        self.act("abandon", "--all", "--saga", "approval", "--after", one, "-m", "not these", "--yes")
        self.assertEqual(self.statuses("--status", "abandoned"), {each: "abandoned" for each in more})
        for name in ("note", "tell"):
            self.wait_step(one, name, "calling")
            self.answer(one, name, "ok")
        self.assertEqual(self.marty("saga", "wait", one, code=0).row["status"], "completed")
        self.wait_told(watching, one, "completed")

        # a pivot that nobody answers for: stuck, supplied; then one that is undone, which nobody does: failing, waived
        two, three = (self.begin("doubt", "--key", f"d-{i}") for i in range(2))
        for each in (two, three):
            self.wait_step(each, "reserve", "calling")
            self.answer(each, "reserve", "ok", '{"shelf":4}')
            self.wait_step(each, "charge", "in-doubt")
            self.wait_state(each, "stuck-forward")
        self.assertEqual(self.statuses("--status", "stuck"), {two: "stuck", three: "stuck"})
        self.assertEqual(self.statuses("--stuck", "in-doubt", "--saga", "doubt"), {two: "stuck", three: "stuck"})
        self.act("supply", two, '{"receipt":17}', "-m", "seen at the bank")
        self.wait_step(two, "ship", "calling")
        self.answer(two, "ship", "ok")
        self.marty("saga", "wait", two, code=0)
        key = self.step(three, "charge")["forward"]["key"]
        self.act("supply", three, "--no-effect", "--key", key, "-m", "sealed at the bank")
        self.wait_step(three, "charge", "in-doubt")  # called again under a new key, in vain again
        self.wait_state(three, "stuck-forward")
        self.act("compensate", three, "--force", "-m", "no more of it")
        self.act("waive", three, "--step", "charge", "-m", "no money has moved")
        failing = harness.wait_for(lambda: self.statuses("--status", "failing"), "failing")
        self.assertEqual(failing, {three: "failing"})
        self.wait_told(watching, three, "failing")
        self.assertIn("reserve", self.marty("saga", "show", three, "-o", "table", code=0).out)
        self.act("waive", three, "-m", "written off")
        self.assertEqual(self.marty("saga", "wait", three, code=5).row["status"], "compensated")

        # the archive, and out
        archive = [json.loads(line) for line in self.marty("saga", "export", code=0).out.splitlines()]
        self.assertEqual(sorted(each["saga"]["saga"] for each in archive), sorted([one, two, three] + more))
        for each in archive:
            self.assertEqual(len(each["history"]), each["saga"]["version"])
        self.assertEqual(self.marty("saga", "purge", "--older", "1ms", "--dry-run", code=0).row, {"would_remove": 6})
        self.assertEqual(self.marty("saga", "purge", "--older", "1ms", "--yes", code=0).row, {"removed": 6})
        self.assertEqual(self.statuses(), {})
        watching.signal(signal.SIGINT)
        self.assertEqual(watching.end(), 0)
        running.signal(signal.SIGTERM)
        self.assertEqual(running.end(), 0)


if __name__ == "__main__":
    harness.main()
