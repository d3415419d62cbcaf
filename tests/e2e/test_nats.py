#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program over real nats-servers, both ends of the range: every pattern, what it says of refused credentials, and
the envelope of the older Python services, read and written byte by byte by a client of its own."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

from harness import DEADLINE, Test, main, port_of_nobody, wait_for

CACHE = pathlib.Path(os.environ.get("MARTY_CACHE") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "marty")
MODULES = [pathlib.Path(folder) for folder in os.environ.get("MARTY_MODULE_PATH", "").split(":") if folder]


def found(variable, version):
    for path in (os.environ.get(variable), CACHE / "servers" / f"nats-server-{version}",
                 shutil.which("nats-server") if variable == "MARTY_NATS_OLD" else None):
        if path and os.access(path, os.X_OK):
            return str(path)
    return None


class Raw:
    """A client that knows nothing of Marty: the protocol of NATS, line by line."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.lines = self.socket.makefile("rb")
        self.lines.readline()  # INFO
        self.send('CONNECT {"verbose":false,"headers":true,"no_responders":true}')

    def send(self, line, body=None):
        self.socket.sendall(line.encode() + b"\r\n" + (b"" if body is None else body + b"\r\n"))

    def subscribe(self, subject):
        self.send(f"SUB {subject} 1")
        self.send("PING")
        while self.lines.readline().strip() != b"PONG":
            pass

    def publish(self, subject, body, reply=""):
        self.send(f"PUB {subject} {reply} {len(body)}", body)

    def message(self):
        """Kind of the line (MSG, or HMSG when there are headers), subject, reply subject, body."""
        while True:
            line = self.lines.readline().decode().split()
            if line[0] == "PING":
                self.send("PONG")
            elif line[0] in ("MSG", "HMSG"):
                body = self.lines.read(int(line[-1]))
                self.lines.readline()
                counts = 2 if line[0] == "HMSG" else 1
                return line[0], line[1], line[3] if len(line) - counts > 3 else None, body

    def close(self):
        self.lines.close()
        self.socket.close()


class OnServer(Test):
    server = None
    options = ()

    def setUp(self):
        super().setUp()
        self.log = self.folder / "nats.log"
        words = [self.server, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(self.folder / "js"), "-l", str(self.log)]
        process = subprocess.Popen(words + list(self.options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, DEADLINE)
        self.addCleanup(process.kill)
        wait_for(lambda: self.log.exists() and "Server is ready" in self.log.read_text(), "nats-server")
        self.port = int(re.search(r"Listening for client connections on 127\.0\.0\.1:(\d+)", self.log.read_text()).group(1))
        self.url = f"nats://127.0.0.1:{self.port}"

    def bus(self, *arguments, **how):
        """A server that takes two seconds to greet is there all the same."""
        return super().bus(*arguments, "--wait", "20s", **how)

    def start(self, *arguments, **how):
        return super().start(*arguments, "--wait", "20s", **how)

    def raw(self):
        client = Raw(self.port)
        self.addCleanup(client.close)
        return client


class Patterns:
    """Every pattern once, between processes."""

    def test_events(self):
        sub = self.start("sub", "order.*", "--count", "2")
        sent = self.bus("pub", "order.created", '{"amount": 99.99}', "-H", "x-a: 1", "--key", "k").row
        self.assertEqual((sent["outcome"], sent["level"]), ("stored", "written"))
        got = sub.json()
        self.assertEqual((got["data"], got["headers"], got["key"]), ({"amount": 99.99}, {"x-a": "1"}, "k"))
        self.bus("pub", "order.paid", "2")
        self.assertEqual(sub.json()["type"], "order.paid")
        self.assertEqual(sub.end(), 0)
        past = self.bus("sub", "order.*", "--from", "earliest", "--count", "2", "--timeout", "20s")
        self.assertEqual([row["type"] for row in past.rows], ["order.created", "order.paid"])

    def test_commands_and_their_dead_letters(self):
        self.bus("send", "payment", "charge", "--lines", stdin="1\n2\n")
        self.bus("handle", "payment", "--settle", "reject", "--count", "1", "--timeout", "20s")
        self.assertEqual(self.bus("handle", "payment", "--count", "1", "--timeout", "20s").row["data"], 2)
        dead = self.bus("dlq", "ls").row
        self.assertEqual((dead["channel"], dead["type"]), ("commands.payment", "charge"))
        self.bus("dlq", "replay", dead["id"])
        self.assertEqual(self.bus("dlq", "ls").rows, [])
        self.assertEqual(self.bus("handle", "payment", "--count", "1", "--timeout", "20s").row["data"], 1)

    def test_queries(self):
        result = self.marty("request", "user", "profile", "1", bus=True, code=1)
        self.assertIn("MARTY_E_NO_RESPONDER", result.err)
        self.start("reply", "user", "profile", '{"name": "Ada"}')
        self.assertEqual(self.bus("request", "user", "profile", "1").row["data"], {"name": "Ada"})

    def test_streams_and_broadcasts(self):
        self.bus("stream", "publish", "clicks", "page.view", "--lines", "--key", "k", stdin="1\n2\n3\n")
        result = self.bus("stream", "read", "clicks", "--count", "3", "-o", "raw", "--timeout", "20s")
        self.assertEqual(result.out.split(), ["1", "2", "3"])
        rows = self.bus("stream", "read", "clicks", "--count", "3", "--timeout", "20s").rows
        rest = self.bus("stream", "read", "clicks", "--position", rows[1]["position"], "--count", "2", "-o", "raw", "--timeout", "20s")
        self.assertEqual(rest.out.split(), ["2", "3"])
        shared = self.bus("stream", "read", "clicks", "--group", "g", "--count", "3", "--timeout", "20s").rows
        self.assertEqual([row["position"] for row in shared], [row["position"] for row in rows])
        listener = self.start("sub", "--broadcast", "cache.*", "--count", "1", "-o", "raw")
        self.bus("broadcast", "cache.clear", "users")
        self.assertEqual(listener.line(), "users")

    def test_only_an_orchestrator_makes_a_store_of_sagas(self):
        store = ("--store", f"{self.url}/orders?replicas=1")
        for verb in (("ls",), ("show", "x"), ("start", "order", "{}"), ("cancel", "x"), ("export",)):
            result = self.bus("saga", *verb, *store, code=3)
            self.assertIn("an orchestrator makes the store", result.err)
        orchestrator = self.start("saga", "run", *store, "--service", "orders", ready="running sagas")
        orchestrator.wait_said("warning: sagas: nats: bucket orders, 1 copy: UNSAFE")
        self.assertEqual(self.marty("saga", "ls", *store, code=0).rows, [])

    def test_doctor_names_the_server_and_what_is_unsafe(self):
        row = self.bus("doctor").row
        version = subprocess.run([self.server, "--version"], capture_output=True, text=True, check=True).stdout
        self.assertIn(row["server"]["version"], version)
        self.assertTrue(all(item["mend"] for item in row["server"]["unsafe"]))
        self.assertIn("groups", row["granted"]["can"]["topic"])

    def test_what_is_written_for_older_services_is_their_envelope(self):
        client = self.raw()
        client.subscribe("events.>")
        self.bus("pub", "order.created", '{"amount": 99.99, "name": "J\u00fcrgen"}', "--envelope", "legacy", "--id", "id-1")
        kind, subject, _, body = client.message()
        self.assertEqual((kind, subject), ("MSG", "events.order.created"), "no headers at all")
        told = json.loads(body)
        self.assertEqual(told["data"], {"amount": 99.99, "name": "J\u00fcrgen"})
        self.assertEqual((told["metadata"]["message_type"], told["metadata"]["message_id"]), ("order.created", "id-1"))
        self.assertIn(b"J\\u00fcrgen", body, "ASCII only")
        self.assertEqual(list(told["metadata"]), ["message_id", "correlation_id", "causation_id", "timestamp", "ttl", "priority",
                                                  "content_type", "headers", "routing_key", "reply_to", "message_type"])

    def test_what_older_services_write_is_read(self):
        sub = self.start("sub", "order.*", "--envelope", "legacy", "--count", "1")
        self.raw().publish("events.order.created", json.dumps(
            {"data": {"id": 7}, "metadata": {"message_id": "m1", "message_type": "order.created", "correlation_id": "c1",
                                             "timestamp": "2026-01-02T03:04:05.678901", "priority": 0}}).encode())
        got = sub.json()
        self.assertEqual((got["type"], got["id"], got["data"], got["correlation_id"]), ("order.created", "m1", {"id": 7}, "c1"))
        self.assertEqual(sub.end(), 0)

    def test_both_envelopes_are_read_at_once(self):
        sub = self.start("sub", "order.*", "--envelope", "both", "--count", "2")
        self.bus("pub", "order.created", '{"from": "legacy"}', "--envelope", "legacy")
        self.assertEqual(sub.json()["data"], {"from": "legacy"})
        self.bus("pub", "order.created", '{"from": "ours"}', "--envelope", "both")
        self.assertEqual(sub.json()["data"], {"from": "ours"})
        self.assertEqual(sub.end(), 0)

    def test_an_older_service_is_answered(self):
        self.start("reply", "user", ">", "--echo", "--envelope", "legacy")
        client = self.raw()
        client.subscribe("_INBOX.raw.*")
        body = json.dumps({"data": {"user": 1}, "metadata": {"message_id": "q1", "message_type": "profile", "reply_to": None}})
        client.publish("queries.user.profile", body.encode(), "_INBOX.raw.1")
        told = json.loads(client.message()[3])
        self.assertEqual(told["data"], {"user": 1})
        self.assertEqual(told["metadata"]["causation_id"], "q1")

    def test_an_older_service_answers(self):
        client = self.raw()
        client.subscribe("queries.user.>")
        asking = self.start("request", "user", "profile", '{"user": 1}', "--envelope", "legacy", "--timeout", "20s", ready=None)
        _, subject, reply, body = client.message()
        told = json.loads(body)
        self.assertEqual((subject, told["data"]), ("queries.user.profile", {"user": 1}))
        self.assertEqual(told["metadata"]["reply_to"], reply, "where older services answer to")
        client.publish(reply, json.dumps({"data": {"name": "Ada"}, "metadata": {
            "message_id": "r1", "message_type": None, "causation_id": told["metadata"]["message_id"],
            "correlation_id": told["metadata"]["correlation_id"]}}).encode())
        self.assertEqual(asking.json()["data"], {"name": "Ada"})
        self.assertEqual(asking.end(), 0)


class Refused:
    """What is said when the server does not let us in."""
    options = ("--user", "ada", "--pass", "right")

    def test_wrong_and_right_credentials(self):
        bare = self.url.removeprefix("nats://")
        for login in ("", "ada:wrong@"):
            result = self.marty("pub", "a.b", "1", "-b", f"nats://{login}{bare}", code=1)
            self.assertIn("MARTY_E_DENIED", result.err)
            self.assertIn("next: marty doctor", result.err)
            self.assertNotIn("wrong", result.out + result.err)
        self.marty("pub", "a.b", "1", "-b", f"nats://ada:right@{bare}", code=0)

    def test_tls_asked_of_a_plain_server(self):
        result = self.marty("pub", "a.b", "1", "-b", f"{self.url.replace('nats:', 'tls:')}", code=1)
        self.assertIn("MARTY_E_TLS", result.err)


class Late(Test):
    """A broker that comes later than who needs it."""

    def test_waiting_is_asked_for(self):
        port = port_of_nobody(self)
        self.url = f"nats://127.0.0.1:{port}"
        result = self.bus("pub", "a.b", "1", code=1)
        self.assertIn(f"MARTY_E_UNAVAILABLE  {self.url}: connection refused", result.err)
        pub = self.start("pub", "a.b", "1", "--wait", "20s", ready="connection refused")
        server = subprocess.Popen([NEW or OLD, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(self.folder / "js")],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait, DEADLINE)
        self.addCleanup(server.kill)
        self.assertEqual(pub.json()["outcome"], "stored")
        self.assertEqual(pub.end(), 0)


OLD, NEW = found("MARTY_NATS_OLD", "2.9.10"), found("MARTY_NATS_NEW", "2.15.2")
if OLD:
    class OldPatterns(Patterns, OnServer):
        server = OLD

    class OldRefused(Refused, OnServer):
        server = OLD
if NEW:
    class NewPatterns(Patterns, OnServer):
        server = NEW

    class NewRefused(Refused, OnServer):
        server = NEW


if __name__ == "__main__":
    if not (OLD or NEW):
        print("no nats-server: make setup fetches it")
        sys.exit(77)
    if not any((folder / "marty-nats.so").exists() for folder in MODULES):
        print("the module for nats is not built here")
        sys.exit(77)
    main()
