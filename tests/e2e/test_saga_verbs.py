# SPDX-License-Identifier: Apache-2.0
"""Every verb of `marty saga` against an orchestrator that runs, as an operator types them. The participants are this
test: it reads what they are asked from the saga itself, and answers with `marty send`, as docs/guide/participants.md says."""
import json
import signal
import sqlite3

import harness

ORDER = """saga: order
steps:
  - {name: reserve, service: stock, command: reserve, compensate: {command: release, retry: {attempts: 1}, timeout: TIMEOUT},
     retry: {attempts: 1}, timeout: TIMEOUT}
  - {name: charge, service: bank, command: charge, kind: pivot, in_doubt: hold, timeout: TIMEOUT}
  - {name: ship, service: post, command: ship, kind: retriable}
"""
APPROVAL = """saga: approval
version: VERSION
undo_completed: true
steps:
  - {name: ask, signal: approved}
  - {name: note, service: post, command: note, compensate: unnote}
"""
PATIENT, HASTY = "10m", "50ms"


class Sagas(harness.Test):
    def setUp(self):
        super().setUp()
        self.store = f"sqlite:{self.folder}/sagas.db"
        self.env["MARTY_STORE"] = self.store
        self.env["USER"] = "kim"

    def run_sagas(self, *documents):
        files = [str(self.write(f"{index}.yaml", text)) for index, text in enumerate(documents)]
        return self.start("saga", "run", *files, "--service", "orders", ready="running sagas")

    def begin(self, saga, *more, data="{}"):
        return self.bus("saga", "start", saga, data, *more).row["id"]

    def saga(self, saga):
        return json.loads(self.marty("saga", "show", saga, code=0).out)

    def state(self, saga):
        return self.saga(saga)["saga"]["state"]

    def step(self, saga, name):
        return next((step for step in self.saga(saga)["saga"]["steps"] if step["step"] == name), {})

    def wait_step(self, saga, name, status):
        harness.wait_for(lambda: self.step(saga, name).get("status") == status, f"{name} is {status}")

    def wait_state(self, saga, state):
        harness.wait_for(lambda: self.state(saga) == state, f"{saga} is {state}")

    def answer(self, saga, name, reply, data="null", undo=False, to=None, key=None):
        operation = self.step(saga, name)["undo" if undo else "forward"]
        self.bus("send", "orders", "saga.reply", data, "--attribute", f"sagaid:{to or saga}",
                 "--attribute", f"sagaop:{key or operation['key']}", "--attribute", f"sagaattempt:{operation['attempt']}",
                 "--attribute", f"sagareply:{reply}", "--attribute", "sagareason:by hand")

    def act(self, verb, *arguments, code=0):
        return self.bus("saga", verb, *arguments, code=code)

    def dry(self, verb, *arguments):
        """What it would do; and nothing has changed."""
        before = self.saga(arguments[0])["saga"]["version"]
        trial = json.loads(self.marty("saga", verb, *arguments, "--dry-run", code=0).out)
        self.assertEqual(self.saga(arguments[0])["saga"]["version"], before)
        return trial


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


class Repair(Sagas):
    def stuck(self):
        """One whose first step has not answered."""
        self.run_sagas(ORDER.replace("TIMEOUT", HASTY))
        one = self.begin("order")
        self.wait_state(one, "stuck-forward")
        return one

    def test_what_is_stuck_is_found(self):
        one = self.stuck()
        for flags in (("--status", "stuck"), ("--stuck", "in-doubt"), ("--stuck", "reserve", "--status", "open")):
            row = self.marty("saga", "ls", *flags, code=0).row
            self.assertEqual((row["id"], row["status"]), (one, "stuck"))
        self.assertEqual(self.marty("saga", "ls", "--stuck", "past-horizon", code=0).out, "")
        shown = self.marty("saga", "show", one, "-o", "table", code=0)
        self.assertIn("reserve STUCK: in-doubt", shown.out)
        self.assertIn(f"marty saga retry {one}", shown.err)
        said = self.marty("saga", "wait", one, "-t", "10ms", code=124).err
        self.assertIn("is stuck and waits for a person: reserve: in-doubt: no answer", said)
        self.assertIn(f"marty saga show {one}", said)

    def test_a_dead_command_is_shown_beside_its_saga(self):
        """Its participant has no handler for the command, or rejects it: that is in its dead letters alone."""
        self.run_sagas(ORDER.replace("TIMEOUT", PATIENT))
        one, _ = self.begin("order"), self.begin("order")
        self.bus("handle", "stock", "reserve", "--settle", "reject", "--count", "2")
        self.assertEqual(self.saga(one).get("dead_letters"), None)
        shown = json.loads(self.bus("saga", "show", one).out)
        self.assertEqual([letter["key"] for letter in shown["dead_letters"]], [one])
        table = self.bus("saga", "show", one, "-o", "table")
        self.assertRegex(table.out, r"reserve +calling +1 +0 +no answer yet, awaited until [0-9:.]+")
        self.assertRegex(table.out, r"dead letter [0-9a-f/.]+  reserve of commands.stock: ")
        self.assertIn(f"next: marty dlq replay {shown['dead_letters'][0]['id']}", table.err)

    def test_what_is_not_sent_is_said(self):
        running = self.run_sagas(ORDER.replace("TIMEOUT", PATIENT))
        running.signal(signal.SIGTERM)
        self.assertEqual(running.end(), 0)
        one = self.begin("order")
        with sqlite3.connect(f"{self.folder}/sagas.db") as store:
            store.execute("UPDATE marty_saga SET unsent = 1")  # as whoever died before it sent would leave it
        harness.wait_for(lambda: "not known to be sent" in self.marty("saga", "show", one, "-o", "table", code=0).err, "said")

    def test_a_wait_says_what_holds_it_up(self):
        one = self.stuck()
        self.assertEqual(self.marty("saga", "wait", one, "--or-stuck", code=6).row, {"id": one, "status": "stuck"})
        waiting = self.start("saga", "wait", one, "-t", "10m", bus=False, ready=f"{one} stuck: reserve: in-doubt: no answer")
        waiting.wait_said(f"marty saga retry {one}")
        self.act("supply", one, '{"shelf":1}')
        waiting.wait_said(f"{one} stuck: charge: in-doubt: no answer")
        self.act("supply", one, '{"receipt":1}')
        waiting.wait_said(f"{one} goes on")
        self.wait_step(one, "ship", "calling")
        self.answer(one, "ship", "ok")
        self.assertEqual(waiting.json(), {"id": one, "status": "completed"})
        self.assertEqual(waiting.end(), 0)
        self.assertEqual(sum("stuck: reserve" in line for line in waiting.said), 1)
        self.bus("saga", "start", "order", "{}", "--await", "--or-stuck", code=6)

    def test_retry(self):
        one = self.stuck()
        self.assertEqual(self.dry("retry", one)["state"]["steps"][0]["status"], "backoff")  # and due now
        self.act("retry", one, "--id", "once", "-m", "it is up again")
        version = self.saga(one)["saga"]["version"]
        self.act("retry", one, "--id", "once", "-m", "it is up again")
        self.assertGreaterEqual(self.saga(one)["saga"]["version"], version)
        who = [batch[0] for batch in self.saga(one)["history"] if batch[0]["cause"] == "person"]
        self.assertEqual([(entry["who"], entry["note"]) for entry in who], [("kim", "it is up again")])

    def test_supply(self):
        one = self.stuck()
        self.assertIn("one of them", self.act("supply", one, code=2).err)
        self.assertIn("--no-effect needs --key", self.act("supply", one, "--no-effect", code=2).err)
        self.act("supply", one, "no json", code=1)
        self.dry("supply", one, '{"shelf":1}')
        self.act("supply", one, '{"shelf":1}', "--step", "reserve")
        self.wait_state(one, "stuck-forward")  # its pivot has no answer either
        key = self.step(one, "charge")["forward"]["key"]
        self.assertIn("another op key", self.act("supply", one, "--no-effect", "--key", "0" * 32, code=1).err)
        self.act("supply", one, "--no-effect", "--key", key, "--step", "charge", "-m", "sealed at the bank")
        self.assertIn("charge", {step["step"] for step in self.saga(one)["saga"]["steps"]})

    def test_skip_and_compensate(self):
        one = self.stuck()
        self.assertIn("why", self.act("skip", one, code=1).err)
        self.dry("skip", one, "-m", "written off")
        self.act("skip", one, "-m", "written off")
        self.wait_step(one, "charge", "in-doubt")
        self.assertIn("pivot", self.act("skip", one, "-m", "x", code=1).err)
        self.assertIn("force", self.act("compensate", one, code=1).err)

    def test_replace(self):
        one = self.stuck()
        self.act("replace", one, code=2)
        trial = self.dry("replace", one, '{"item":"lamp"}', "--step", "reserve")
        self.assertIn({"entry": "input", "slot": 1, "undo": 0, "data": {"item": "lamp"}}, trial["history"])
        self.act("replace", one, '{"item":"lamp"}', "--step", "reserve")

    def test_why_it_is_tried_again(self):
        self.run_sagas(ORDER.replace("TIMEOUT", PATIENT))
        one = self.begin("order")
        self.wait_step(one, "reserve", "calling")
        self.answer(one, "reserve", "retry")
        self.wait_step(one, "reserve", "in-doubt")
        table = self.marty("saga", "show", one, "-o", "table", code=0).out
        self.assertIn("message   reserve: by hand  reserve in-doubt: by hand", table)
        self.assertRegex(table, r"reserve +in-doubt +1 +0 +in-doubt: by hand")

    def test_an_undo_that_nobody_does(self):
        self.run_sagas(ORDER.replace("TIMEOUT", HASTY, 1).replace("TIMEOUT", PATIENT))  # the first is of its undo
        one = self.begin("order")
        self.wait_step(one, "reserve", "calling")
        self.answer(one, "reserve", "ok")
        self.wait_step(one, "charge", "calling")
        self.answer(one, "charge", "rejected")
        self.wait_state(one, "stuck-undo")
        why = "undo-failed: no answer within the time of 1 attempt"
        self.assertIn("reserve: " + why, self.marty("saga", "ls", code=0).row["stuck"])
        self.assertIn(why, self.marty("saga", "show", one, "-o", "table", code=0).out)

    def test_one_that_fails_is_seen_before_it_is_given_up(self):
        """Nobody handles its undo: it is tried for a week, and that is said after ten seconds."""
        self.run_sagas(ORDER.replace("retry: {attempts: 1}, timeout: TIMEOUT", "timeout: 200ms", 1).replace("TIMEOUT", PATIENT))
        one = self.begin("order")
        self.wait_step(one, "reserve", "calling")
        self.answer(one, "reserve", "ok")
        self.wait_step(one, "charge", "calling")
        self.answer(one, "charge", "rejected")
        self.wait_step(one, "reserve", "undo-backoff")
        self.assertEqual(self.marty("saga", "ls", "--status", "failing", code=0).out, "")
        row = harness.wait_for(lambda: next(iter(self.marty("saga", "ls", "--status", "failing", code=0).rows), None), "failing")
        self.assertEqual((row["id"], row["status"]), (one, "failing"))
        self.assertRegex(row["stuck"], r"^failing: reserve: undo, [0-9]+ attempts: no answer in time$")
        self.assertEqual(self.marty("saga", "ls", "--status", "stuck", code=0).out, "")
        shown = self.marty("saga", "show", one, "-o", "table", code=0)
        self.assertRegex(shown.out, r"reserve +undo[a-z-]+ +1 +[0-9]+ +failing, ")
        self.assertRegex(shown.out, r"\.\.\. [0-9]+ times more, until 20")  # what repeats itself is folded
        self.assertIn(f"marty saga retry {one}", shown.err)
        self.assertIn("goes on, failing: reserve", self.marty("saga", "wait", one, "-t", "10ms", code=124).err)
        self.act("waive", one, "-m", "written off")  # it need not be stuck first, nor named
        self.assertEqual(self.marty("saga", "wait", one, code=5).row["status"], "compensated")

    def test_waive(self):
        one = self.stuck()
        self.act("compensate", one, "-m", "no stock for weeks")
        self.wait_state(one, "stuck-undo")
        self.assertIn("reserve is still STUCK: in-doubt", self.marty("saga", "show", one, "-o", "table", code=0).out)
        self.dry("waive", one, "-m", "written off")
        self.act("waive", one, "-m", "written off", "--step", "reserve")
        self.assertEqual(self.marty("saga", "wait", one, code=5).row["status"], "compensated")
        self.assertIn("residue", self.saga(one)["saga"]["flags"])

    def test_abandon(self):
        one = self.stuck()
        self.assertIn("next: the same with -m 'WHY'", self.act("abandon", one, code=1).err)
        self.act("abandon", one, "-m", "ticket 4711")
        self.assertEqual(self.marty("saga", "wait", one, code=5).row["status"], "abandoned")
        self.assertIn("left-over", self.step(one, "reserve")["flags"])
        self.assertEqual(self.marty("saga", "ls", code=0).row["status"], "abandoned")

    def test_mistakes_have_their_exit_codes(self):
        one = self.stuck()
        for code, words in ((3, ("cancel", "nobody")), (3, ("retry", one, "--step", "nothing")), (2, ("retry",)),
                            (2, ("retry", one, "two")), (2, ("retry", one, "--what")), (2, ("signal", one)),
                            (1, ("waive", one, "-m", "x")), (1, ("resume", one, "--id", "x" * 300)),
                            (3, ("migrate", one, "--to", "7")), (2, ("migrate", one, "--to", "99999999999")),
                            (1, ("pause", one, "-m", "\x1b[31m"))):
            self.assertEqual((words, self.act(*words, code=code).out), (words, ""))
        self.assertIn("next: marty saga ls", self.act("cancel", "nobody", code=3).err)
        self.assertIn("next: marty saga run FILE", self.act("start", "nothing", code=3).err)
        self.assertIn("No such file", self.marty("saga", "lint", "nowhere.yaml", code=3).err)
        self.write("wrong.yaml", "saga: order\nsteps: [{nam: a}]\n")
        said = self.act("run", "wrong.yaml", "--service", "orders", code=1).err
        self.assertIn("  wrong.yaml:2: steps[0]", said)
        self.assertIn("retry, data, outside", said)  # all keys that there are
        self.assertIn("  nowhere.yaml cannot be read", self.act("run", "nowhere.yaml", "--service", "orders", code=3).err)
        self.assertIn("mend the JSON: string or", self.act("start", "order", "{id: 7}", code=1).err)
        self.marty("saga", "ls", "--store", f"sqlite:{self.folder}/nowhere.db", code=3)
        self.marty("saga", "ls", "--store", f"sqlite:{self.folder}/e2e.db", code=3)
        self.assertFalse((self.folder / "nowhere.db").exists())
        self.marty("saga", "ls", "--store", "bogus:x", code=1)
        self.marty("saga", "ls", env={"MARTY_STORE": ""}, code=2)
        self.marty("saga", "frob", code=2)
        self.marty("saga", "retry", one, code=2)  # no backend


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
        other = self.begin("approval")  # within the same hours, so it begins alike
        said = self.act("abandon", one[:6], "-m", "x", code=1).err
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
