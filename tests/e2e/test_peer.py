#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`marty peer`: the whole protocol, over memory in one peer and over sqlite between peers."""
import contextlib
import os

from harness import Peer, Test, main


class OnePeer(Test):
    def setUp(self):
        super().setUp()
        self.peer = Peer(self)
        self.peer.ok("open", where="memory:", service="billing")

    def test_an_event_is_delivered_and_settled_by_name(self):
        peer = self.peer
        subscription = peer.ok("subscribe", name="order.*")["subscription"]
        message = {"type": "order.created", "key": "k", "headers": {"x": ["1", "2"]}, "attributes": {"n": -3, "b": True},
                   "data": {"amount": 99.99}}
        outcome = peer.ok("publish", message=message)["outcomes"][0]
        self.assertEqual((outcome["outcome"], outcome["channel"]), ("stored", "events.order"))
        event = peer.event()
        self.assertEqual((event["subscription"], event["attempt"]), (subscription, 1))
        self.assertEqual({key: event["message"][key] for key in message}, message)
        self.assertEqual(event["message"]["id"], outcome["id"])
        peer.ok("check", delivery=event["delivery"])
        peer.ok("settle", delivery=event["delivery"], verb="extend")
        for other in ("s" + event["delivery"][1:], event["delivery"] + "x", "d", "d-1", "d18446744073709551617"):
            self.assertEqual(peer.error("settle", delivery=other, verb="ack")["code"], "MARTY_E_STATE", other)
        peer.ok("settle", delivery=event["delivery"], verb="ack")
        self.assertEqual(peer.error("settle", delivery=event["delivery"], verb="ack")["code"], "MARTY_E_STATE")
        stats = peer.ok("stats", subscription=subscription)["stats"]
        self.assertEqual((stats["delivered"], stats["acked"]), (1, 1))

    def test_what_was_delivered_can_be_published_again_as_it_is(self):
        peer = self.peer
        peer.ok("subscribe", name="a.*")
        peer.ok("publish", message={"type": "a.b", "data_base64": "AP8=", "content_type": "application/octet-stream"})
        first = peer.event()
        again = dict(first["message"], id="other")
        peer.ok("publish", message=again)
        second = peer.event()
        self.assertEqual(dict(second["message"], id=""), dict(first["message"], id=""))

    def test_retry_reject_and_give_back(self):
        peer = self.peer
        peer.ok("handle", name="charge", retry_first_ms=1, attempts=9)
        peer.ok("send", service="billing", message={"type": "charge", "data": 1})
        first = peer.event()
        peer.ok("settle", delivery=first["delivery"], verb="retry", delay_ms=1, reason="later")
        second = peer.event()
        self.assertEqual((second["attempt"], second["message"]["id"]), (2, first["message"]["id"]))
        peer.ok("settle", delivery=second["delivery"], verb="give_back")
        third = peer.event()
        self.assertEqual(third["attempt"], 2, "not counted")
        peer.ok("settle", delivery=third["delivery"], verb="reject", reason="no")
        peer.ok("flush")
        letters = wait_letters(peer)
        self.assertEqual((letters[0]["cause"], letters[0]["channel"]), ("no", "commands.billing"))
        peer.ok("dead_letters", verb="replay")
        self.assertEqual(peer.event()["message"]["id"], first["message"]["id"])

    def test_queries_are_answered_and_failed(self):
        peer = self.peer
        peer.ok("subscribe", pattern="query", name="profile")
        number = peer.send("request", service="billing", message={"type": "profile", "data": {"id": 1}}, timeout_ms=20000)
        peer.ok("reply", delivery=peer.event()["delivery"], message={"data": {"name": "Ada"}})
        answer = peer.answer(number)
        self.assertEqual(answer["reply"]["data"], {"name": "Ada"})
        number = peer.send("request", service="billing", message={"type": "profile"}, timeout_ms=20000)
        peer.ok("fail", delivery=peer.event()["delivery"], code="not_found", text="no such user", **{"class": "fatal"})
        error = peer.answer(number)["error"]
        self.assertEqual((error["code"], error["remote"], error["text"], error["class"]),
                         ("MARTY_E_REMOTE", "not_found", "no such user", "fatal"))
        self.assertEqual(peer.error("request", service="nobody", message={"type": "x"})["code"], "MARTY_E_NO_RESPONDER")

    def test_numbers_keep_their_digits(self):
        peer = self.peer
        peer.ok("subscribe", name="order.*", settle="auto")
        data = {"n": 123456789012345678901234567890, "m": [-18446744073709551617, 0]}
        peer.ok("publish", message={"type": "order.created", "data": data})
        self.assertEqual(peer.event()["message"]["data"], data)

    def test_a_call_is_cancelled_by_its_name(self):
        peer = self.peer
        peer.ok("subscribe", pattern="query", name="slow")
        number = peer.send("request", service="billing", message={"type": "slow"}, timeout_ms=20000, cancel="mine")
        peer.event()
        self.assertEqual(peer.ok("cancel", cancel="mine")["cancelled"], 1)
        self.assertIn(peer.answer(number)["error"]["code"], ("MARTY_E_CANCELLED", "MARTY_E_MAYBE_STORED"))

    def test_a_subscription_can_be_pulled(self):
        peer = self.peer
        subscription = peer.ok("subscribe", name="order.*", pull=True, batch_max=10)["subscription"]
        waiting = peer.send("receive", subscription=subscription, timeout_ms=20000)
        peer.ok("publish", messages=[{"type": "order.created", "data": n} for n in range(3)])
        got = peer.answer(waiting)["deliveries"]
        while len(got) < 3:
            got += peer.ok("receive", subscription=subscription, timeout_ms=20000)["deliveries"]
        self.assertEqual([one["message"]["data"] for one in got], [0, 1, 2])
        for one in got:
            peer.ok("settle", delivery=one["delivery"], verb="ack")
        self.assertEqual(peer.error("receive", subscription=subscription, timeout_ms=20)["code"], "MARTY_E_TIMEOUT")
        peer.ok("unsubscribe", subscription=subscription)
        self.assertEqual(peer.error("stats", subscription=subscription)["code"], "MARTY_E_ARGUMENT")

    def test_a_stream_is_sought(self):
        peer = self.peer
        peer.ok("stream", stream="clicks", messages=[{"type": "page.view", "key": "k", "data": n} for n in range(3)])
        subscription = peer.ok("subscribe", pattern="stream", name="clicks", settle="auto")["subscription"]
        self.assertEqual([peer.event()["message"]["data"] for _ in range(3)], [0, 1, 2])
        peer.ok("seek", subscription=subscription, **{"from": "earliest"})
        self.assertEqual([peer.event()["message"]["data"] for _ in range(3)], [0, 1, 2])
        peer.ok("pause", subscription=subscription)
        peer.ok("concurrency", subscription=subscription, concurrency=4)
        peer.ok("pause", subscription=subscription, paused=False)

    def test_a_publish_settles_what_caused_it(self):
        peer = self.peer
        cause = peer.ok("subscribe", name="order.*")["subscription"]
        peer.ok("publish", message={"type": "order.created"})
        event = peer.event()
        peer.ok("publish", message={"type": "bill.sent"}, settles=event["delivery"], once="bill")
        self.assertEqual(peer.error("settle", delivery=event["delivery"], verb="ack")["code"], "MARTY_E_STATE")
        peer.ok("flush")
        self.assertEqual(peer.ok("stats", subscription=cause)["stats"]["acked"], 1)

    def test_a_scheduled_message_is_taken_back(self):
        peer = self.peer
        peer.ok("publish", message={"type": "remind.me", "id": "later"}, deliver_in_ms=3600000)
        peer.ok("unschedule", type="remind.me", message_id="later")
        self.assertEqual(peer.error("unschedule", type="remind.me", message_id="later")["code"], "MARTY_E_NOT_FOUND")

    def test_a_number_that_is_too_large_is_not_a_small_one(self):
        peer = self.peer
        peer.ok("subscribe", name="remind.*")
        peer.ok("publish", message={"type": "remind.me", "id": "later"}, deliver_in_ms=1 << 32, timeout_ms=(1 << 32) + 1)
        peer.ok("publish", message={"type": "remind.me", "id": "now"})
        self.assertEqual(peer.event()["message"]["id"], "now")

    def test_reports_and_topology(self):
        peer = self.peer
        peer.ok("topology", verb="ensure", channel="events.order")
        listed = peer.ok("topology", verb="list")["report"]
        self.assertIn("events.order", str(listed))
        for report in ("health", "backends", "subscriptions", "channels", "metrics", "config"):
            self.assertIsInstance(peer.ok("report", report=report)["report"], dict)

    def test_mistakes_are_told_and_change_nothing(self):
        peer = self.peer
        for op, fields, says in (("pubilsh", {}, "did you mean \"publish\""),
                                 ("publish", {"mesage": {}}, "unknown field \"mesage\""),
                                 ("publish", {"message": {"typ": "a"}}, "unknown field \"typ\""),
                                 ("publish", {"message": {}}, "type"),
                                 ("publish", {}, "message: an object"),
                                 ("subscribe", {}, "name: it is missing"),
                                 ("subscribe", {"name": "a", "order": "strict"}, "order: one of"),
                                 ("settle", {"delivery": "d99", "verb": "ack"}, "settled already"),
                                 ("settle", {"verb": "eat"}, "verb: one of"),
                                 ("flush", {"bus": "b9"}, "bus: there is none"),
                                 ("report", {"report": "x"}, "report: one of")):
            error = peer.error(op, **fields)
            self.assertIn(says, error["text"])
            self.assertEqual(error["class"], "caller")
        peer.running.process.stdin.write("no json\n\n[1]\n")
        peer.running.process.stdin.flush()
        self.assertEqual(peer.answer(None)["error"]["code"], "MARTY_E_MALFORMED")
        self.assertEqual(peer.answer(None)["error"]["code"], "MARTY_E_MALFORMED")
        self.assertEqual(peer.ok("version")["protocol"], 1)

    def test_close_and_end(self):
        peer = self.peer
        peer.ok("subscribe", name="order.*")
        peer.ok("publish", message={"type": "order.created"})
        peer.event()
        peer.ok("close")
        self.assertIn("no bus is open", peer.error("flush")["text"])
        peer.ok("open", where="memory:")
        self.assertEqual(peer.end(), 0)


def wait_letters(peer):
    """A rejected one is on its way for a moment."""
    from harness import wait_for
    return wait_for(lambda: peer.ok("dead_letters")["letters"], "a dead letter")


class Lines(Test):
    def test_a_line_without_end_is_refused_and_not_taken_for_a_whole_one(self):
        peer = Peer(self)
        with contextlib.suppress(BrokenPipeError):
            for _ in range(257 * 16):
                os.write(peer.running.process.stdin.fileno(), b"x" * (1 << 16))
        self.assertNotEqual(peer.end(), 0)
        peer.running.wait_said("a line of over 268435456 bytes")
        self.assertTrue(peer.running.lines.empty())


class TwoPeers(Test):
    def test_what_a_killed_peer_held_comes_to_the_other(self):
        url = self.url + "?lease=1s"
        first, second = Peer(self), Peer(self)
        for peer in (first, second):
            peer.ok("open", where=url, service="billing")
        first.ok("handle", name="charge")
        first.ok("send", service="billing", message={"type": "charge", "data": 7})
        held = first.event()
        first.running.kill()
        second.ok("handle", name="charge")
        again = second.event()
        self.assertEqual(again["message"]["id"], held["message"]["id"])
        second.ok("settle", delivery=again["delivery"], verb="ack")

    def test_what_an_ending_peer_held_is_given_back_uncounted(self):
        first, second = Peer(self), Peer(self)
        for peer in (first, second):
            peer.ok("open", where=self.url, service="billing")
        first.ok("handle", name="charge")
        first.ok("send", service="billing", message={"type": "charge"})
        first.event()
        self.assertEqual(first.end(), 0)
        second.ok("handle", name="charge")
        self.assertEqual(second.event()["attempt"], 1)


if __name__ == "__main__":
    main()
