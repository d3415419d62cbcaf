#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Payments as a participant of sagas, over a plain NATS client (pip install nats-py): payment.py NATS-URL DATABASE.
Effect, note and stored answer are one transaction of its own database; whatever kills it in between, it is done once."""
import asyncio, json, os, signal, sqlite3, sys
from datetime import datetime, timezone
from urllib.parse import quote, unquote

import nats

TABLES = """CREATE TABLE IF NOT EXISTS operation (key TEXT PRIMARY KEY, word TEXT, answer TEXT);
            CREATE TABLE IF NOT EXISTS effect (what TEXT, order_id TEXT);"""


class Refused(Exception):
    """For good: there is and will be no effect."""


def work(db, what, data):
    """What this service is there for, in the open transaction: its result, or Refused; any other exception means not now."""
    if what == "charge" and data["input"]["card"].endswith("0"):
        raise Refused("card refused")
    db.execute("INSERT INTO effect VALUES (?, ?)", (what, data["input"]["order"]))
    return {"receipt": 17}


def operate(db, ce, data):
    """The rules: which word to answer, and its text. All of it in the open transaction."""
    def find(key):
        return db.execute("SELECT word, answer FROM operation WHERE key = ?", (key,)).fetchone()

    def note(key, word, answer):
        db.execute("INSERT INTO operation VALUES (?, ?, ?)", (key, word, answer))
        return word, answer

    key, direction = ce["sagaop"], ce["sagadirection"]
    known = find(key)
    if direction == "probe":
        word, answer = known or note(key, "tombstone", "")
        return ("done", answer) if word == "ok" else ("not_done", "null")
    if known:
        return known  # what was answered before
    if direction == "undo":
        forward = find(ce["sagaforward"])
        if not forward and ce.get("sagaknown") != "true":
            forward = note(ce["sagaforward"], "tombstone", "")  # when it comes, it finds its key sealed
        if forward and forward[0] != "ok":
            return note(key, "ok", "null")  # nothing was done, so nothing is to be undone
    elif datetime.fromisoformat(ce.get("expirytime", "9999-12-31T00:00:00Z").replace("Z", "+00:00")) < datetime.now(timezone.utc):
        return "retry", "it came too late"
    db.execute("SAVEPOINT work")
    try:
        return note(key, "ok", json.dumps(work(db, ce["type"], json.loads(data))))
    except Refused as reason:
        db.execute("ROLLBACK TO work")
        return note(key, "rejected", str(reason))


def handle(db, ce, data):
    """One transaction: committed before anything is answered, or nothing of it happened."""
    db.execute("BEGIN IMMEDIATE")
    try:
        word, answer = operate(db, ce, data)
    except Exception as reason:
        word, answer = "unknown" if ce["sagadirection"] == "probe" else "retry", repr(reason)
        db.execute("ROLLBACK")
    if db.in_transaction:
        db.execute("COMMIT")  # if it fails, nobody knows: this process ends, and who gets the command next looks it up
    return word, answer


async def answer(stream, ce, word, text):
    attributes = {name: ce[name] for name in ("sagaid", "sagaop", "sagaattempt")}
    attributes.update(specversion="1.0", id=f"{ce['id']}/{word}", source="/payment", type="saga.reply", sagareply=word)
    if word == "tombstone":
        attributes.update(sagareply="rejected", sagatombstone="true")
    data = text if word in ("ok", "done") else "null"
    if data != text and text:
        attributes["sagareason"] = text
    headers = {"ce-" + name: quote(value) for name, value in attributes.items()} | {"content-type": "application/json"}
    await stream.publish(f"commands.{ce['sagareplyto']}.saga.reply", data.encode(), headers=headers)  # returns when stored


async def main(url, path):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # at any time: what is not acked comes again
    db = sqlite3.connect(path, isolation_level=None, timeout=30)
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + TABLES)
    client = await nats.connect(url.split("?")[0], max_reconnect_attempts=-1)
    stream, queue = client.jetstream(), None
    while not queue:  # the first command makes the stream
        try:
            queue = await stream.pull_subscribe("commands.payment.>", durable="payment")
        except nats.js.errors.NotFoundError:
            await asyncio.sleep(0.2)
    while True:
        try:
            messages = await queue.fetch(16, timeout=60)
        except nats.errors.TimeoutError:
            continue
        for message in messages:
            headers = message.headers or {}
            ce = {name.lower()[3:]: unquote(value) for name, value in headers.items() if name.lower().startswith("ce-")}
            if not {"id", "type", "sagaid", "sagaop", "sagaattempt", "sagadirection", "sagareplyto"} <= ce.keys():
                await message.term()  # nobody could be answered
                continue
            await answer(stream, ce, *handle(db, ce, message.data))
            await message.ack()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
