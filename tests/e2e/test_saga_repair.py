# SPDX-License-Identifier: Apache-2.0
"""Sagas that are stuck, fail, or have nobody to answer: how that is seen, and the verbs that mend it, as an operator types them."""
import json
import signal
import sqlite3

import harness
from sagas import HASTY, ORDER, PATIENT, Sagas


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

    def test_a_saga_is_shown_when_its_broker_is_away(self):
        self.run_sagas(ORDER.replace("TIMEOUT", PATIENT))
        one = self.begin("order")
        away = ("saga", "show", one, "-b", f"sqlite:{self.folder}/nowhere/bus.db")
        shown = self.marty(*away, code=5)
        self.assertEqual(json.loads(shown.out)["saga"]["saga"], one)
        self.assertNotIn("dead_letters", json.loads(shown.out))
        self.assertIn("nowhere/bus.db", shown.err)
        self.assertIn("it is not known which of its commands and answers are dead letters", shown.err)
        self.assertRegex(self.marty(*away, "-o", "table", code=5).out, r"reserve +calling")
        self.assertEqual(json.loads(self.bus("saga", "show", one).out)["dead_letters"], [])
        self.assertEqual(self.marty("saga", "show", "nobody", *away[3:], code=3).out, "")

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
        for flags in (("--or-stuck",), ("--timeout", "1s")):
            self.assertIn("--await with them", self.bus("saga", "start", "order", "{}", *flags, code=2).err)

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


if __name__ == "__main__":
    harness.main()
