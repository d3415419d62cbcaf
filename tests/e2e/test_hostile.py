#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program against a server that means harm: it greets like a nats-server, answers the first question, and then says
too much, or what is no protocol. The program says what is wrong, stays small, goes on, and ends when it is told to."""
import os
import pathlib
import socket
import sys
import threading

from harness import DEADLINE, Peer, Test, main, wait_for

MODULES = [pathlib.Path(folder) for folder in os.environ.get("MARTY_MODULE_PATH", "").split(":") if folder]
GREETING = (b'INFO {"server_id":"x","version":"2.10.0","headers":true,"max_payload":1048576,"jetstream":true,"proto":1}'
            b"\r\n")
MEGABYTE = 1 << 20


class Server:
    """Serves each connection on a thread; what it is asked by the name of its JetStream it calls attack for."""

    def __init__(self, attack, greeting=GREETING):
        self.attack, self.greeting = attack, greeting
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"nats://127.0.0.1:{self.socket.getsockname()[1]}"
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                one, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(one)
            one.settimeout(DEADLINE)
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one):
        inboxes = []
        try:
            one.sendall(self.greeting)
            for line in one.makefile("rb"):
                words = line.split() or [b""]  # what has no words is the body of a PUB
                if words[0] == b"PING":
                    one.sendall(b"PONG\r\n")
                elif words[0] == b"SUB":
                    inboxes.append((words[1].rstrip(b">"), words[-1]))
                elif words[0] == b"PUB":
                    to = words[2] if len(words) > 3 else words[1]
                    for start, sid in inboxes:
                        if to.startswith(start):
                            one.sendall(b"MSG %s %s 2\r\n{}\r\n" % (to, sid))
                    if words[1] == b"$JS.API.INFO":
                        self.attack(one)
        except OSError:
            pass  # the program has closed it

    def end(self):
        self.socket.close()
        for one in self.open:
            one.close()


def size_of(running):
    """The most memory that it ever had."""
    for line in pathlib.Path(f"/proc/{running.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


class Hostile(Test):
    def against(self, attack, greeting=GREETING, said="", most=64 * MEGABYTE):
        """What it does against that server: it says so, and it answers and ends all the same."""
        server = Server(attack, greeting)
        self.addCleanup(server.end)
        peer = Peer(self)
        peer.ok("open", where=server.url, service="billing", lazy=True, log=True)
        texts = [peer.event("log")["text"]]
        while said not in texts[-1]:
            texts.append(peer.event("log")["text"])  # it gives up when nothing comes
        self.assertLess(size_of(peer.running), most)
        peer.ok("version")
        self.assertEqual(peer.end(), 0)
        return texts

    def test_pings_without_end_whose_answers_nobody_reads(self):
        pushed = threading.Event()

        def flood(one):
            for _ in range(96):
                one.sendall(b"PING\r\n" * 100000)
            pushed.set()
            one.sendall(b"ENOUGH\r\n")
        self.against(flood, said="no frame of its protocol")
        self.assertTrue(pushed.is_set())

    def test_a_message_larger_than_any_server_carries(self):
        self.against(lambda one: one.sendall(b"MSG a 1 1073741823\r\n" + b"x" * MEGABYTE), said="no frame of its protocol")

    def test_what_is_no_protocol(self):
        for wrong in (b"MSG a 1 -5\r\n", b"MSG a 1 99999999999999999999\r\n", b"HMSG a 1 100 10\r\n", b"\r\n",
                      b"HMSG a 1 10 10\r\n0123456789\r\n", b"\x00\xff\xfe\r\n", b"x" * (2 * MEGABYTE)):
            self.against(lambda one, wrong=wrong: one.sendall(wrong), said="no frame of its protocol")

    def test_errors_without_end(self):
        def storm(one):
            one.sendall(b"-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n" * 20000 + b"-ERR 'Stale Connection'\r\n")
        texts = self.against(storm, said="Stale Connection")
        self.assertLess(len([text for text in texts if "Permissions Violation" in text]), 20)

    def test_a_server_that_hangs_up_at_once_is_not_asked_without_end(self):
        asked = []

        def hang_up(one):
            asked.append(one)
            one.sendall(b"-ERR 'Stale Connection'\r\n")
        server = Server(hang_up)
        self.addCleanup(server.end)
        peer = Peer(self)
        peer.ok("open", where=server.url, service="billing", lazy=True)
        wait_for(lambda: len(asked) >= 5, "five attempts")
        begun = len(asked)
        self.assertEqual(peer.ask("publish", message={"type": "order.created", "data": 1}, timeout_ms=1000)["ok"], False)
        self.assertLess(len(asked) - begun, 5)
        self.assertEqual(peer.end(), 0)

    def test_a_greeting_that_is_none(self):
        for greeting, said in ((b"x" * MEGABYTE, "its greeting is too long"), (b"INFO {]\r\n", "is no NATS server"),
                               (b"HTTP/1.1 200 OK\r\n\r\n", "is no NATS server")):
            self.against(lambda one: None, greeting, said)


if __name__ == "__main__":
    if not any((folder / "marty-nats.so").exists() for folder in MODULES):
        print("the module for nats is not built here")
        sys.exit(77)
    main()
