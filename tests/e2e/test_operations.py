#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looking inside and mending: dead letters, topology, subscriptions, doctor, bench."""
import json
import pathlib

from harness import PROGRAM, Test, main


class DeadLetters(Test):
    def bury(self, count, service="payment"):
        """That many commands, rejected."""
        self.bus("send", service, "charge", "--lines", stdin="".join(f'{{"n": {n}}}\n' for n in range(count)))
        self.bus("handle", service, "--settle", "reject", "--count", str(count), "--timeout", "20s")
        rows = self.bus("dlq", "ls").rows
        self.assertEqual(len(rows), count)
        return rows

    def test_a_letter_tells_its_story(self):
        row = self.bury(1)[0]
        self.assertEqual((row["type"], row["channel"], row["attempts"]), ("charge", "commands.payment", 1))
        self.assertEqual(row["cause"], "marty handle --settle reject")
        shown = self.bus("dlq", "show", row["id"]).row
        self.assertEqual(shown["message"]["data"], {"n": 0})
        self.assertNotIn("attributes", shown["message"], "what dying has added is beside it")
        self.assertEqual(self.bus("dlq", "show", row["id"], "-o", "raw").out, '{"n": 0}\n')
        self.assertIn("cause", self.bus("dlq", "show", row["id"], "-o", "table").out)
        self.bus("dlq", "show", "nothing", code=3)

    def test_the_beginning_of_an_id(self):
        for name in ("order-1", "order-12", "parcel-1"):
            self.bus("send", "payment", "charge", "{}", "--id", name)
        self.bus("handle", "payment", "--settle", "reject", "--count", "3", "--timeout", "20s")
        self.assertEqual(self.bus("dlq", "show", "parc").row["id"], "parcel-1")
        self.assertEqual(self.bus("dlq", "show", "order-1").row["id"], "order-1")  # itself, though another begins so
        said = self.bus("dlq", "discard", "order", "--yes", code=1).err
        for part in ("2 ids begin with order", "order-1\n", "order-12"):
            self.assertIn(part, said)
        self.bus("dlq", "show", "par", code=3)  # too short to be meant
        self.bus("dlq", "discard", "parc", "--yes")
        self.assertEqual([row["id"] for row in self.bus("dlq", "replay", "order-12").rows], ["order-12"])
        self.assertEqual([row["id"] for row in self.bus("dlq", "ls").rows], ["order-1"])

    def test_where_selects(self):
        self.bury(3)
        self.assertEqual(len(self.bus("dlq", "ls", "--where", "reason ~ 'settle' and attempts >= 1").rows), 3)
        self.assertEqual(self.bus("dlq", "ls", "--where", "reason ~ 'timeout'").rows, [])
        self.assertEqual(len(self.bus("dlq", "ls", "--limit", "2").rows), 2)
        self.assertEqual(len(self.bus("dlq", "ls", "commands.payment").rows), 3)
        self.assertIn("no field", self.bus("dlq", "ls", "--where", "colour = red", code=2).err)

    def test_replay_gives_it_to_the_service_again(self):
        rows = self.bury(2)
        result = self.bus("dlq", "replay", rows[0]["id"])
        self.assertEqual((result.row["id"], result.row["result"]), (rows[0]["id"], "replayed"))
        self.assertEqual([row["id"] for row in self.bus("dlq", "ls").rows], [rows[1]["id"]])
        got = self.bus("handle", "payment", "--count", "1", "--timeout", "20s").row
        self.assertEqual((got["data"], got["type"]), ({"n": 0}, "charge"))
        self.bus("dlq", "replay", rows[0]["id"], code=3)

    def test_data_is_mended_on_the_way(self):
        rows = self.bury(3)
        self.bus("dlq", "replay", rows[0]["id"], "--data", '{"n": 10}')
        result = self.marty("dlq", "replay", rows[1]["id"], "--edit", bus=True, code=0,
                            env={"EDITOR": "sed -i s/1/11/", "TMPDIR": str(self.folder)})
        self.assertEqual(result.row["result"], "replayed")
        got = self.bus("handle", "payment", "--count", "2", "--timeout", "20s").rows
        self.assertEqual([row["data"]["n"] for row in got], [10, 11])
        self.assertEqual([row["id"] for row in got], [row["id"] for row in rows[:2]])
        for editor, says in (("true", "not changed"), ("sed -i s/}//", "JSON"), ("false", "not changed")):
            result = self.marty("dlq", "replay", rows[2]["id"], "--edit", bus=True, code=1,
                                env={"EDITOR": editor, "TMPDIR": str(self.folder)})
            self.assertIn(says, result.row["result"])
        self.assertEqual([row["id"] for row in self.bus("dlq", "ls").rows], [rows[2]["id"]])
        self.assertEqual(list(self.folder.glob("marty-*")), [], "no file is left")
        self.bus("dlq", "replay", "x", "--edit", "--data", "1", code=2)

    def test_replay_of_many_is_confirmed_and_can_be_tried_dry(self):
        self.bury(3)
        self.assertIn("--yes", self.bus("dlq", "replay", "--all", code=2).err)
        dry = self.bus("dlq", "replay", "--all", "--dry-run")
        self.assertEqual([row["result"] for row in dry.rows], ["would be replayed"] * 3)
        self.assertEqual(len(self.bus("dlq", "ls").rows), 3)
        self.assertEqual(len(self.bus("dlq", "replay", "--all", "--yes", "--rate", "1000").rows), 3)
        self.assertEqual(self.bus("dlq", "ls").rows, [])
        got = self.bus("handle", "payment", "--count", "3", "--timeout", "20s").rows
        self.assertEqual([row["data"]["n"] for row in got], [0, 1, 2])

    def test_discard_removes_for_ever(self):
        rows = self.bury(2)
        self.assertIn("say which", self.bus("dlq", "discard", code=2).err)
        self.bus("dlq", "discard", rows[0]["id"], code=2)  # not confirmed
        self.bus("dlq", "discard", rows[0]["id"], "--yes")
        self.assertEqual([row["id"] for row in self.bus("dlq", "ls").rows], [rows[1]["id"]])
        self.bus("dlq", "discard", "--where", "attempts >= 1", "--yes")
        self.assertEqual(self.bus("dlq", "ls").rows, [])
        self.assertIn("no dead letters", self.bus("dlq", "ls").err)

    def test_attempts_used_up_end_here(self):
        self.bus("send", "payment", "charge", "1")
        self.bus("handle", "payment", "--settle", "retry", "--attempts", "2", "--count", "2", "--timeout", "20s")
        row = self.bus("dlq", "ls").row
        self.assertEqual(row["attempts"], 2)


class Topology(Test):
    def test_channels_are_made_checked_shown_and_removed(self):
        self.bus("topology", "check", "events.order", code=3)
        self.assertEqual(self.bus("topology", "create", "events.order").row["result"], "created")
        self.assertEqual(self.bus("topology", "create", "events.order").row["result"], "there")
        self.assertEqual(self.bus("topology", "check", "events.order").row["result"], "right")
        self.bus("pub", "order.created", "1", "--count", "3")
        row = self.bus("topology", "show").row
        self.assertEqual((row["channel"], row["kind"], row["messages"]), ("events.order", "topic", 3))
        self.assertIn("CHANNEL", self.bus("topology", "show", "events.order", "-o", "table").out)
        self.bus("topology", "show", "events.none", code=3)
        self.assertIn("--yes", self.bus("topology", "remove", "events.order", code=2).err)
        self.bus("topology", "remove", "events.order", "--dry-run")
        self.assertEqual(len(self.bus("topology", "show").rows), 1)
        gone = self.bus("topology", "remove", "events.order", "--yes").row
        self.assertEqual((gone["result"], gone["removed"]), ("removed", ["events.order"]))
        self.assertEqual(self.bus("topology", "show").rows, [])
        self.bus("topology", "remove", "events.order", "--yes", code=3)

    def test_a_channel_in_use_is_not_removed_unasked(self):
        self.start("sub", "order.*", "--group", "billing")
        self.assertIn("MARTY_E_STATE", self.bus("topology", "remove", "events.order", "--yes", code=1).err)
        self.bus("topology", "remove", "events.order", "--yes", "--force")

    def test_all_that_the_configuration_names_is_made(self):
        self.write("marty.yaml", "service: s\nbackends: {main: 'sqlite:main.db', log: 'sqlite:log.db'}\nroutes:\n"
                                 "  - {events: 'order.*', to: log}\n  - {events: 'user.*', channel: audit, to: main}\n"
                                 "  - {commands: payment, to: main}\n  - {streams: clicks, to: log}\n"
                                 "  - {events: '>', to: main}\n")
        rows = self.marty("topology", "create", code=0).rows
        self.assertEqual({(row["channel"], row["kind"], row["backend"]) for row in rows},
                         {("events.order", "topic", "log"), ("audit", "topic", "main"),
                          ("commands.payment", "queue", "main"), ("streams.clicks", "stream", "log")})
        self.assertEqual({row["result"] for row in self.marty("topology", "check", code=0).rows}, {"right"})

    def test_groups_and_how_far_behind_they_are(self):
        self.bus("sub", "order.*", "--group", "billing", "--timeout", "100ms", code=4)
        self.bus("pub", "order.created", "1", "--count", "3")
        row = next(row for row in self.bus("subscription", "ls").rows if row["group"] == "billing")
        self.assertEqual((row["channel"], row["lag"]), ("events.order", 3))
        self.bus("subscription", "ls", "events.none", code=3)


class Doctor(Test):
    def test_it_says_what_is_granted(self):
        row = self.bus("doctor").row
        self.assertEqual((row["state"], row["scheme"]), ("up", "sqlite"))
        self.assertIn("groups", row["granted"]["can"]["topic"])
        self.assertIn("version", row["server"])
        text = self.bus("doctor", "-o", "table").out
        for part in ("main  up", "stored", "grants", "topic", "replay"):
            self.assertIn(part, text)
        self.assertEqual(self.bus("backend", "ls").row["name"], "main")

    def test_what_is_unsafe_is_said_with_how_to_mend_it(self):
        url = self.url + "?sync=off"
        row = self.marty("doctor", "-b", url, code=0).row
        self.assertTrue(row["server"]["unsafe"], row)
        self.assertTrue(row["server"]["unsafe"][0]["mend"])
        self.marty("doctor", "-b", url, "--strict", code=1)

    def test_one_that_is_down_is_told_apart(self):
        self.write("marty.yaml", f"backends: {{good: 'sqlite:good.db', bad: 'sqlite:{self.folder}/none/x.db'}}\n"
                                 "routes: [{events: '>', to: good}]\n")
        result = self.marty("doctor", "--timeout", "20s", code=5)
        self.assertEqual({row["name"]: row["state"] == "up" for row in result.rows}, {"good": True, "bad": False})
        self.assertIn("1 of 2 backends up", result.err)
        self.marty("doctor", "-b", f"sqlite:{self.folder}/none/x.db", "--timeout", "20s", code=1)


class Bench(Test):
    def test_it_measures_what_is_stored_and_delivered_and_leaves_nothing(self):
        result = self.bus("bench", "--rate", "200", "--for", "300ms", "--warm-up", "100ms", "--size", "64")
        rows = {row["what"]: row for row in result.rows}
        self.assertEqual(set(rows), {"stored", "delivered"})
        for row in rows.values():
            self.assertGreater(row["count"], 30)
            self.assertLessEqual(row["p50_us"], row["p9999_us"])
            self.assertLessEqual(row["p9999_us"], row["max_us"])
        self.assertIn("0 failed, 0 not delivered", result.err)
        self.assertEqual(self.bus("topology", "show").rows, [])

    def test_it_compares_with_the_plain_client(self):
        words = ["bench", "--compare", "raw", "--for", "200ms", "--warm-up", "50ms", "--rate", "200"]
        if not (pathlib.Path(PROGRAM).parent / "bench/marty-bench-raw").exists():
            self.assertIn("marty-bench-raw", self.bus(*words, code=3).err)
            return
        for url in (self.url, "memory:"):
            rows = {row["what"]: row for row in self.marty(*words, "-b", url, code=0).rows}
            self.assertEqual(set(rows), {"stored", "delivered", "raw stored", "raw delivered"})
            self.assertGreater(rows["raw stored"]["count"], 10)
            self.assertIn("ours_to_raw", rows["raw stored"])
        self.assertEqual([path.name for path in self.folder.glob("*raw*")], [], "its table is gone")
        self.assertIn("--rate", self.bus(*words[:-1], "0", code=2).err)
        self.assertIn("stream", self.bus(*words, "-p", "query", code=2).err)

    def test_every_pattern_can_be_measured(self):
        for pattern in ("command", "query", "stream", "broadcast"):
            result = self.bus("bench", "-p", pattern, "--rate", "100", "--for", "200ms", "--warm-up", "0ms")
            self.assertEqual(len(result.rows), 2, json.dumps(result.rows))


if __name__ == "__main__":
    main()
