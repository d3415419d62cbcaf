#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The five patterns between processes, as people type them."""
import json
import os
import signal
import subprocess
import time

from harness import DEADLINE, PROGRAM, Test, main, wait_for


class Events(Test):
    def test_an_event_arrives_whole(self):
        sub = self.start("sub", "order.*", "--count", "1")
        sent = self.bus("pub", "order.created", "--key", "7", "-H", "x-a: 1", "-H", "x-a: 2", "--attribute", "tenant:acme",
                        "--subject", "s", "--correlation-id", "c1", "--id", "id-1",
                        stdin='{"amount": 99.99, "big": 12345678901234567890123}\n').row
        self.assertEqual((sent["outcome"], sent["channel"], sent["id"]), ("stored", "events.order", "id-1"))
        self.assertIn(sent["level"], ("memory", "written", "synced", "replicated"))
        line = sub.line()
        self.assertIn('"data":{"amount":99.99,"big":12345678901234567890123}', line)
        got = json.loads(line)
        self.assertEqual((got["type"], got["id"], got["key"], got["subject"], got["correlation_id"]),
                         ("order.created", "id-1", "7", "s", "c1"))
        self.assertEqual(got["headers"], {"x-a": ["1", "2"]})
        self.assertEqual(got["attributes"]["tenant"], "acme")
        self.assertEqual((got["channel"], got["attempt"], got["pattern"]), ("events.order", 1, "event"))
        self.assertEqual(sub.end(), 0)

    def test_data_is_typed_by_what_it_is(self):
        sub = self.start("sub", "a.>", "--count", "3")
        self.bus("pub", "a.json", '{"a": 1}')
        self.bus("pub", "a.text", stdin="hello\nworld\n")
        self.bus("pub", "a.text", "--exact", stdin="kept\n")
        got = [sub.json() for _ in range(3)]
        self.assertEqual([(m.get("content_type"), m["data"]) for m in got],
                         [("application/json", {"a": 1}), ("text/plain", "hello\nworld"), ("text/plain", "kept\n")])

    def test_lines_are_messages_in_order_and_each_has_an_outcome(self):
        sub = self.start("sub", "log.*", "--count", "600", "-o", "raw")
        result = self.bus("pub", "log.line", "--lines", stdin="".join(f"{n}\n" for n in range(600)))
        self.assertEqual(len(result.rows), 600)
        self.assertEqual({row["outcome"] for row in result.rows}, {"stored"})
        self.assertIn("600 stored", result.err)
        self.assertEqual([sub.line() for _ in range(600)], [str(n) for n in range(600)])
        self.assertEqual(sub.end(), 0)

    def test_lines_go_out_as_they_come(self):
        sub = self.start("sub", "log.*", "-o", "raw")
        pub = self.start("pub", "log.line", "--lines", ready=None)
        for word in ("one", "two"):
            pub.process.stdin.write(word + "\n")
            pub.process.stdin.flush()
            self.assertEqual(pub.json()["outcome"], "stored")
            self.assertEqual(sub.line(), word)
        pub.process.stdin.close()
        self.assertEqual(pub.process.wait(30), 0)

    def test_a_group_shares_and_keeps_its_place(self):
        first = self.start("sub", "order.*", "--group", "billing", "--count", "2", "-o", "raw")
        self.bus("pub", "order.created", "1", "--count", "2")
        self.assertEqual([first.line(), first.line()], ["1", "1"])
        self.assertEqual(first.end(), 0)
        self.bus("pub", "order.created", "3")
        again = self.bus("sub", "order.*", "--group", "billing", "--count", "1", "-o", "raw", "--timeout", "20s")
        self.assertEqual(again.out, "3\n")

    def test_the_past_is_read_from_where_it_is_asked(self):
        sent = [self.bus("pub", "order.created", str(n)).row for n in range(3)]
        everything = self.bus("sub", "order.*", "--from", "earliest", "--count", "3", "-o", "raw", "--timeout", "20s")
        self.assertEqual(everything.out.split(), ["0", "1", "2"])
        part = self.bus("sub", "order.*", "--position", sent[1]["position"], "--count", "1", "-o", "raw", "--timeout", "20s")
        self.assertEqual(part.out.strip(), "1")
        hour = self.bus("sub", "order.*", "--from", "1h", "--count", "3", "-o", "raw", "--timeout", "20s")
        self.assertEqual(hour.out.split(), ["0", "1", "2"])

    def test_too_few_before_the_time_limit_is_partial(self):
        self.bus("pub", "order.created", "1")
        result = self.bus("sub", "order.*", "--from", "earliest", "--count", "2", "--timeout", "4s", code=5)
        self.assertEqual(len(result.rows), 1)

    def test_an_interrupt_ends_it_with_130(self):
        sub = self.start("sub", "order.*", "-o", "json")
        self.bus("pub", "order.created", "1")
        self.assertEqual(sub.line(), "[")
        sub.line()
        sub.signal(signal.SIGINT)
        self.assertEqual(sub.end(), 130)
        self.assertEqual(sub.line(), "]")

    def test_a_reader_that_goes_away_takes_nothing_with_it(self):
        reading, writing = os.pipe()
        self.bus("sub", "order.*", "--group", "g", "--timeout", "1ms", code=4)  # the group is there from now on
        sub = subprocess.Popen([PROGRAM, "sub", "order.*", "--group", "g", "-o", "raw", "-b", self.url], cwd=self.folder,
                               env=self.env, stdout=writing, stderr=subprocess.DEVNULL)
        os.close(writing)
        self.bus("pub", "order.created", "1")
        self.assertEqual(os.read(reading, 10), b"1\n")
        os.close(reading)
        self.bus("pub", "order.created", "2")
        self.assertEqual(sub.wait(DEADLINE), 0)
        again = self.bus("sub", "order.*", "--group", "g", "--count", "1", "-o", "raw", "--timeout", "20s")
        self.assertEqual(again.out, "2\n")

    def test_a_scheduled_event_waits(self):
        sub = self.start("sub", "remind.*", "--count", "2", "-o", "raw")
        begun = time.monotonic()
        self.bus("pub", "remind.me", "late", "--in", "700ms")
        self.bus("pub", "remind.me", "soon")
        came = {sub.line(): time.monotonic() - begun for _ in range(2)}
        self.assertEqual(sorted(came), ["late", "soon"])
        self.assertGreaterEqual(came["late"], 0.7)

    def test_what_has_expired_is_not_handled(self):
        self.bus("pub", "old.news", "gone", "--ttl", "1ms")
        self.bus("pub", "old.news", "fresh")
        result = self.bus("sub", "old.*", "--from", "earliest", "--count", "1", "-o", "raw", "--timeout", "20s")
        self.assertEqual(result.out, "fresh\n")

    def test_a_repeated_id_is_stored_once(self):
        for _ in range(2):
            self.bus("pub", "order.created", "1", "--id", "same")
        self.bus("pub", "order.created", "2")
        result = self.bus("sub", "order.*", "--from", "earliest", "--count", "2", "-o", "raw", "--timeout", "20s")
        self.assertEqual(result.out.split(), ["1", "2"])

    def test_a_table_is_for_people(self):
        line = self.bus("pub", "order.created", "1", "-o", "table").out
        self.assertRegex(line, r"^stored \((written|synced)\)  main  events\.order  seq \S+  [\d.]+ ms\n$")
        shown = self.bus("sub", "order.*", "--from", "earliest", "--count", "1", "-o", "table", "--timeout", "20s").out
        self.assertRegex(shown, r"^\d\d:\d\d:\d\d\.\d{3}  order\.created  1\n$")

    def test_escape_sequences_do_not_reach_the_terminal(self):
        self.bus("pub", "order.created", "\x1b[2Jx", "--content-type", "text/plain")
        shown = self.bus("sub", "order.*", "--from", "earliest", "--count", "1", "-o", "table", "--timeout", "20s").out
        self.assertIn("\\x1b[2Jx", shown)


class Commands(Test):
    def test_a_command_waits_for_its_service(self):
        sent = self.bus("send", "payment", "charge", '{"amount": 99.99}').row
        self.assertEqual(sent["channel"], "commands.payment")
        got = self.bus("handle", "payment", "--count", "1", "--timeout", "20s").row
        self.assertEqual((got["type"], got["data"], got["pattern"]), ("charge", {"amount": 99.99}, "command"))
        self.bus("handle", "payment", "--timeout", "200ms", code=4)

    def test_exec_settles_by_exit_status(self):
        script = self.write("charge.sh", "#!/bin/sh\nread line\necho \"$MARTY_TYPE $MARTY_ATTEMPT $line\"\n"
                                         "case $line in bad) exit 65;; again) [ $MARTY_ATTEMPT -gt 1 ] || exit 1;; esac\n")
        script.chmod(0o755)
        handle = self.start("handle", "payment", "charge", "--exec", "./charge.sh", "--count", "4")
        for word in ("good", "bad", "again"):
            self.bus("send", "payment", "charge", word)
        lines = [handle.line() for _ in range(4)]
        self.assertEqual(sorted(lines), ["charge 1 again", "charge 1 bad", "charge 1 good", "charge 2 again"])
        self.assertEqual(handle.end(), 0)
        dead = self.bus("dlq", "ls").row
        self.assertEqual((dead["type"], dead["cause"]), ("charge", "exit status 65"))

    def test_two_handlers_share(self):
        handlers = [self.start("handle", "payment", "-o", "raw") for _ in range(2)]
        self.bus("send", "payment", "charge", "--lines", stdin="".join(f"{n}\n" for n in range(40)))
        got = []
        def all_came():
            for handler in handlers:
                while not handler.lines.empty():
                    got.append(handler.line())
            return len(got) >= 40
        wait_for(all_came, "forty commands")
        self.assertEqual(sorted(map(int, got)), list(range(40)))


class Queries(Test):
    def test_an_answer_comes_back(self):
        reply = self.start("reply", "user", "profile", '{"name": "Ada"}')
        result = self.bus("request", "user", "profile", '{"id": 1}')
        self.assertEqual(result.row["data"], {"name": "Ada"})
        self.assertEqual(result.row["causation_id"], reply.json()["id"])
        self.assertEqual(self.bus("request", "user", "profile", "-o", "raw", stdin="1").out, '{"name": "Ada"}\n')
        table = self.bus("request", "user", "profile", "1", "-o", "table")
        self.assertEqual(table.out, '{"name": "Ada"}\n')
        self.assertIn("answered in", table.err)

    def test_a_signal_that_comes_twice_is_one(self):
        """`timeout` sends it to the process and to its group; the second must not cut the drain short."""
        self.write("slow.sh", "#!/bin/sh\ntouch begun; while ! [ -e go ]; do sleep 0.01; done; touch ended\n").chmod(0o755)
        reply = self.start("reply", "slow", ">", "--exec", "./slow.sh")
        asking = self.start("request", "slow", "anything", "1", "--timeout", "20s", ready=None)
        wait_for((self.folder / "begun").exists, "it has begun")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            reply.signal(number)
        self.write("go", "")
        self.assertEqual(reply.end(), 130)
        self.assertTrue((self.folder / "ended").exists())
        self.assertEqual(asking.end(), 0)

    def test_echo_and_exec(self):
        self.start("reply", "echo", ">", "--echo")
        self.assertEqual(self.bus("request", "echo", "x", "hello").row["data"], "hello")
        self.start("reply", "upper", ">", "--exec", "tr a-z A-Z")
        self.assertEqual(self.bus("request", "upper", "x", "hello").row["data"], "HELLO")
        self.start("reply", "broken", ">", "--exec", "exit 3")
        self.assertIn("exit_3", self.bus("request", "broken", "x", "1", code=1).err)

    def test_an_error_comes_back_typed(self):
        self.start("reply", "user", "profile", "--fail", "not_found:no user 7")
        result = self.bus("request", "user", "profile", "7", code=1)
        self.assertIn("MARTY_E_REMOTE  not_found: no user 7", result.err)
        self.assertEqual(result.out, "")

    def test_an_answer_that_takes_too_long_is_124(self):
        self.start("reply", "slow", ">", "--exec", "exec sleep 5")
        result = self.bus("request", "slow", "x", "1", "--timeout", "300ms", code=124)
        self.assertIn("MARTY_E_TIMEOUT", result.err)


class Streams(Test):
    def test_a_stream_is_read_again_and_keeps_order_by_key(self):
        for key in ("a", "b"):
            self.bus("stream", "publish", "clicks", "page.view", "--lines", "--key", key,
                     stdin="".join(f"{key}{n}\n" for n in range(20)))
        for _ in range(2):
            result = self.bus("stream", "read", "clicks", "--count", "40", "-o", "raw", "--timeout", "20s")
            for key in ("a", "b"):
                mine = [line for line in result.out.split() if line[0] == key]
                self.assertEqual(mine, [f"{key}{n}" for n in range(20)])

    def test_a_group_goes_on_where_it_was(self):
        self.bus("stream", "publish", "clicks", "page.view", "--lines", "--key", "k", stdin="1\n2\n3\n")
        first = self.bus("stream", "read", "clicks", "--group", "g", "--count", "2", "-o", "raw", "--timeout", "20s")
        second = self.bus("stream", "read", "clicks", "--group", "g", "--count", "1", "-o", "raw", "--timeout", "20s")
        self.assertEqual((first.out.split(), second.out.split()), (["1", "2"], ["3"]))


class Broadcasts(Test):
    def test_every_listener_hears_it(self):
        listeners = [self.start("sub", "--broadcast", "cache.*", "--count", "1", "-o", "raw") for _ in range(2)]
        self.bus("broadcast", "cache.clear", "users")
        self.assertEqual([listener.line() for listener in listeners], ["users", "users"])

    def test_it_needs_no_listener_and_is_not_kept(self):
        sent = self.bus("broadcast", "cache.clear", "1").row
        self.assertEqual((sent["outcome"], "level" in sent), ("sent", False))
        self.bus("sub", "--broadcast", "cache.*", "--timeout", "200ms", code=4)
        self.bus("sub", "--broadcast", "cache.*", "--from", "earliest", code=2)


if __name__ == "__main__":
    main()
