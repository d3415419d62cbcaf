# SPDX-License-Identifier: Apache-2.0
"""The verbs of `marty saga` that begin sagas, look at them and steer them, against an orchestrator that runs, as an operator
types them; those that mend are in test_saga_repair.py."""
import json
import os
import signal

import harness
from sagas import APPROVAL, ORDER, PATIENT, Sagas


class Running(Sagas):
    def test_from_the_start_to_the_archive(self):
        self.run_sagas(ORDER.replace("TIMEOUT", PATIENT))
        one = self.begin("order", "--key", "o-1", data='{"id":1}')
        self.assertEqual(self.begin("order", "--key", "o-1", data='{"id":1}'), one)
        self.assertIn("with another input", self.bus("saga", "start", "order", '{"id":2}', "-k", "o-1", code=1).err)
        for name, result in (("reserve", '{"shelf":4}'), ("charge", '{"receipt":17}'), ("ship", "{}")):
            self.wait_step(one, name, "calling")
            self.answer(one, name, "ok", result)
        self.assertEqual(self.marty("saga", "wait", one, code=0).row["status"], "completed")
        self.assertEqual(self.bus("saga", "start", "order", '{"id":1}', "-k", "o-1", "--await").row["status"], "completed")
        table = self.marty("saga", "show", one, "-o", "table", code=0).out
        for part in ("order version 1", "completed", '{"shelf":4}', "start     -> reserve", "reserve done  -> charge"):
            self.assertIn(part, table)
        archive = json.loads(self.marty("saga", "export", code=0).out)
        self.assertEqual(archive["saga"]["saga"], one)
        self.assertEqual(len(archive["history"]), archive["saga"]["version"])
        self.assertEqual(len(json.loads(self.marty("saga", "export", "-o", "json", code=0).out)), 1)
        self.assertEqual(self.marty("saga", "purge", "--older", "1ms", "--dry-run", code=0).row, {"would_remove": 1})
        self.marty("saga", "purge", "--older", "1ms", code=2)
        self.assertEqual(self.marty("saga", "purge", "--older", "1ms", "--yes", code=0).row, {"removed": 1})
        self.marty("saga", "show", one, code=3)

    def test_refused_and_undone(self):
        self.run_sagas(ORDER.replace("TIMEOUT", PATIENT))
        one = self.begin("order")
        self.wait_step(one, "reserve", "calling")
        self.answer(one, "reserve", "ok")
        self.wait_step(one, "charge", "calling")
        self.answer(one, "charge", "rejected")
        self.wait_step(one, "reserve", "undoing")
        self.assertEqual(self.marty("saga", "wait", one, "-t", "10ms", code=124).out, "")
        self.answer(one, "reserve", "ok", undo=True)
        self.assertEqual(self.marty("saga", "wait", one, code=5).row["status"], "compensated")
        self.assertIn("has ended", self.act("cancel", one, code=1).err)

    def test_ls(self):
        self.run_sagas(ORDER.replace("TIMEOUT", PATIENT), APPROVAL.replace("VERSION", "1"))
        ids = [self.begin("order", "--key", f"k{i}") for i in range(3)] + [self.begin("approval")]
        self.act("pause", ids[0])

        def found(*flags):
            return [row["id"] for row in self.marty("saga", "ls", *flags, code=0).rows]
        self.assertEqual(sorted(found()), sorted(ids))
        self.assertEqual(found("--saga", "approval"), ids[3:])
        self.assertEqual(found("--key", "k1"), [ids[1]])
        self.assertEqual(found("--status", "paused"), [ids[0]])
        self.assertEqual(len(found("--status", "running")), 4)
        self.assertEqual(len(found("--status", "open")), 4)
        self.assertEqual(found("--status", "stuck"), [])
        self.assertEqual(found("--status", "completed"), [])
        self.assertEqual(found("--age", "1h"), [])
        self.assertEqual(len(found("--age", "1ms")), 4)
        self.assertEqual(found("--older", "1h"), [])
        self.assertEqual(len(found("--limit", "2")), 2)
        self.assertEqual(found("--limit", "2") + found("--after", found("--limit", "2")[-1]), found())
        self.assertEqual(self.marty("saga", "ls", "-n", "0", code=0).out, "")
        self.assertEqual(len(json.loads(self.marty("saga", "ls", "-o", "json", code=0).out)), 4)
        self.assertIn("no sagas like that", self.marty("saga", "ls", "--saga", "x", code=0).err)

    def test_watch(self):
        self.run_sagas(ORDER.replace("TIMEOUT", PATIENT))
        before = self.begin("order")
        watching = self.start("saga", "watch", bus=False, ready=None)
        self.assertEqual(watching.json()["id"], before)
        one = self.begin("order")
        self.assertEqual(watching.json()["id"], one)
        self.act("abandon", one, "-m", "a test")
        line = watching.json()
        self.assertEqual((line["id"], line["status"]), (one, "abandoned"))
        self.act("abandon", before, "-m", "an older one")
        self.assertEqual(watching.json()["status"], "abandoned")
        watching.signal(signal.SIGINT)
        self.assertEqual(watching.end(), 0)
        self.marty("saga", "watch", "--for", "1ms", code=0)

    def test_its_numbers(self):
        self.write("0.yaml", ORDER.replace("TIMEOUT", PATIENT))
        running = self.start("saga", "run", "0.yaml", "--service", "orders", "--report", "50ms", ready="running sagas")
        one = self.begin("order")
        self.wait_step(one, "reserve", "calling")
        self.answer(one, "reserve", "ok")
        numbers = harness.wait_for(lambda: next((n for n in [running.json()] if n["transitions"] > 0), None), "a transition")
        self.assertEqual(numbers["operations"]["count"], 1)
        for name in ("completed", "compensated", "abandoned", "stuck", "failing", "became_failing", "steps_in_doubt", "late_replies", "fence_losses",
                     "timer_lag_us", "outbox_age_us", "shards"):
            self.assertIsInstance(numbers[name], int)
        self.assertEqual(numbers["sagas"]["count"], 0)
        running.signal(signal.SIGINT)
        self.assertEqual(running.end(), 0)

    def test_interrupted_it_ends_well(self):
        running = self.run_sagas(ORDER.replace("TIMEOUT", PATIENT))
        running.signal(signal.SIGTERM)
        self.assertEqual(running.end(), 0)


class Steering(Sagas):
    def test_pause_resume_signal_cancel(self):
        self.run_sagas(APPROVAL.replace("VERSION", "1"))
        one = self.begin("approval")
        self.assertIn("nothing is stuck", self.act("retry", one, code=1).err)
        self.dry("pause", one)
        trial = self.marty("saga", "pause", one, "--dry-run", "-o", "table", code=0).out
        self.assertIn("then it is running (paused)", trial)
        self.act("pause", one)
        self.assertIn("running (paused)", self.marty("saga", "show", one, "-o", "table", code=0).out)
        self.act("signal", one, "approved", '{"by":"kim"}', "--id", "s-1")
        self.assertEqual(self.step(one, "note"), {})
        self.act("resume", one)
        self.wait_step(one, "note", "calling")
        shown = self.marty("saga", "show", one, "-o", "table", code=0).out
        for part in ("person   kim  the saga is paused", "person   kim  the saga is resumed"):
            self.assertIn(part, shown)
        self.assertNotIn("(paused)", shown)
        self.dry("cancel", one)
        self.act("cancel", one, "-m", "customer called")
        self.answer(one, "note", "ok")
        self.wait_step(one, "note", "undoing")
        self.answer(one, "note", "ok", undo=True)
        self.marty("saga", "wait", one, code=5)

    def test_a_completed_one_is_undone(self):
        self.run_sagas(APPROVAL.replace("VERSION", "1"))
        one = self.begin("approval")
        self.act("signal", one, "approved")
        self.wait_step(one, "note", "calling")
        self.answer(one, "note", "ok")
        self.marty("saga", "wait", one, code=0)
        self.act("compensate", one, "-m", "taken back")
        self.wait_step(one, "note", "undoing")

    def test_migrate(self):
        second = APPROVAL.replace("VERSION", "2") + "  - {name: tell, service: post, command: tell, kind: read_only}\n"
        third = second.replace("VERSION", "3").replace("version: 2", "version: 3").replace("name: ask,", "name: demand,")
        self.run_sagas(APPROVAL.replace("VERSION", "1"), second, third)
        one = self.begin("approval", "--version", "1")
        self.assertEqual(self.saga(one)["saga"]["definition_version"], 1)
        self.assertIn("step ask is not in the new definition", self.act("migrate", one, "--dry-run", code=1).err)
        self.assertIn("step ask is not in the new definition", self.act("migrate", one, code=1).err)
        self.assertEqual(self.dry("migrate", one, "--to", "2")["state"]["definition_version"], 2)
        said = self.marty("saga", "migrate", one, "--to", "2", "--dry-run", "-o", "table", code=0)
        self.assertIn("kim  it goes on under version 2 of its definition", said.out)
        self.assertIn("nothing was done", said.err)
        for _ in range(2):
            self.act("migrate", one, "--to", "2", "-m", "we tell them now", "--id", "m-1")
        self.assertEqual(self.saga(one)["saga"]["definition_version"], 2)
        self.act("signal", one, "approved")
        for name in ("note", "tell"):
            self.wait_step(one, name, "calling")
            self.answer(one, name, "ok")
        self.marty("saga", "wait", one, code=0)
        self.assertIn("kim: we tell them now  it goes on under version 2", self.marty("saga", "show", one, "-o", "table").out)


    def test_the_beginning_of_an_id(self):
        self.run_sagas(APPROVAL.replace("VERSION", "1"))
        one = self.begin("approval", "--key", "k-1")
        for size in (8, 20, 31, 36):
            self.assertEqual(self.saga(one[:size])["saga"]["saga"], one)
        self.assertEqual(self.act("pause", one[:24]).row["id"], one)
        self.dry("resume", one[:24])
        self.act("resume", one[:24])
        self.marty("saga", "wait", one[:24], "-t", "10ms", code=124)
        self.assertIn("four characters", self.marty("saga", "show", one[:3], code=3).err)
        self.marty("saga", "show", "zzzz", code=3)
        other = self.begin("approval")  # within the same weeks, so it begins alike
        said = self.act("abandon", os.path.commonprefix([one, other]), "-m", "x", code=1).err
        for part in ("2 ids begin with", one, other, "key k-1"):
            self.assertIn(part, said)
        self.assertEqual([row["status"] for row in self.marty("saga", "ls", code=0).rows], ["running", "running"])

    def test_many_at_once(self):
        second = APPROVAL.replace("VERSION", "2") + "  - {name: tell, service: post, command: tell, kind: read_only}\n"
        third = second.replace("version: 2", "version: 3").replace("{name: note,", "{name: demand, signal: more}\n  - {name: note,")
        self.run_sagas(APPROVAL.replace("VERSION", "1"), second, third)
        old = [self.begin("approval", "--version", "1") for _ in range(4)]
        new = self.begin("approval", "--version", "2")
        self.act("signal", old[0], "approved")
        self.wait_step(old[0], "note", "calling")
        every = ("migrate", "--all", "--saga", "approval")

        def versions():
            return [self.saga(one)["saga"]["definition_version"] for one in old + [new]]
        trial = self.act(*every, "--from", "1", "--to", "3", "--dry-run", code=5)
        self.assertEqual([row["result"] for row in trial.rows], ["would be refused"] + 3 * ["would be done"])
        self.assertIn("would be: 3 done, 0 as they are, 1 refused", trial.err)
        self.assertRegex(trial.err, "refused, 1: step note has begun")
        self.assertEqual(versions(), [1, 1, 1, 1, 2])
        self.assertIn("--yes", self.act(*every, "--to", "2", code=2).err)
        self.assertEqual(len(self.act(*every, "--from", "1", "--to", "2", "--limit", "2", "--yes", "-m", "tell").rows), 2)
        self.assertEqual(versions(), [2, 2, 1, 1, 2])
        self.act(*every, "--from", "1", "--to", "2", "--yes")
        again = self.act(*every, "--to", "2", "--yes")
        self.assertIn("0 done, 5 as they are, 0 refused", again.err)
        self.assertEqual(versions(), [2, 2, 2, 2, 2])
        self.act("pause", "--all", "--yes")
        self.assertEqual(len(self.marty("saga", "ls", "--status", "paused", code=0).rows), 5)
        self.assertEqual(len(self.act("resume", "--all", "--yes").rows), 5)
        self.assertEqual(self.act("resume", "--all", "--yes").rows, [])
        self.assertEqual(len(self.act("abandon", "--all", "--saga", "approval", "-m", "a test", "--yes").rows), 5)
        for words in (("pause",), ("pause", new, "--all"), ("migrate", "--all", "--to", "2"), ("supply", "--all")):
            self.act(*words, code=2)


class Strangers(Sagas):
    """Answers that make no sense reach the dead letters, and no saga."""

    def test_garbage(self):
        self.run_sagas(ORDER.replace("TIMEOUT", PATIENT))
        one, other = self.begin("order"), self.begin("order")
        self.wait_step(one, "reserve", "calling")
        self.wait_step(other, "reserve", "calling")
        before = self.saga(one)["saga"]["version"]
        self.bus("send", "orders", "saga.reply", "no attributes")
        self.answer(one, "reserve", "perhaps")
        self.answer(one, "reserve", "ok", key="0" * 32)
        self.answer(one, "reserve", "ok", key="x" * 500)
        self.answer(one, "reserve", "ok", to="nobody")
        self.answer(one, "reserve", "ok", to=other)
        self.answer(one, "reserve", "ok", "{not json")
        letters = harness.wait_for(lambda: [row for row in self.bus("dlq", "ls").rows] if
                                   len(self.bus("dlq", "ls").rows) >= 7 else None, "dead letters")
        self.assertTrue(all(letter["type"] == "saga.reply" for letter in letters), letters)
        self.assertEqual(self.saga(one)["saga"]["version"], before)
        self.assertEqual(self.saga(other)["saga"]["version"], before)
        self.answer(one, "reserve", "ok")
        self.wait_step(one, "charge", "calling")


class Help(Sagas):
    def test_of_each_verb(self):
        verbs = ("run start wait ls show watch signal cancel pause resume retry supply skip waive replace compensate abandon "
                 "migrate export purge lint graph replay").split()
        all_of_them = self.marty("saga", "--help", code=0).out
        self.marty("man", ".", code=0)
        for verb in verbs:
            said = self.marty("saga", verb, "--help", code=0).out
            self.assertIn(f"marty saga {verb}", said)
            self.assertIn(f"saga {verb}", all_of_them)
            self.assertTrue((self.folder / f"marty-saga-{verb}.1").exists(), verb)
            if verb not in ("lint", "graph", "replay"):
                self.assertIn("--store", said)


if __name__ == "__main__":
    harness.main()
