#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""marty saga lint, graph and replay: definitions looked at, without a store or a broker."""
import json

from harness import Test, main

ORDER = """saga: order
steps:
  - {name: validate, service: order, command: validate, kind: read_only}
  - {name: reserve, service: inventory, command: reserve, compensate: release}
  - {name: charge, service: payment, command: charge, kind: pivot, in_doubt: probe}
  - {name: ship, service: shipping, command: ship, kind: retriable}
"""
EVENTS = """{"event": "start", "at": "2026-01-01T00:00:00Z", "saga": "s1", "input": {"id": 7}}
{"event": "reply", "step": "validate", "reply": "ok"}
{"event": "reply", "step": "reserve", "reply": "ok", "data": {"ref": 1}}
{"event": "reply", "step": "charge", "reply": "rejected", "reason": "no money"}
{"event": "reply", "step": "reserve", "undo": true, "reply": "ok"}
"""


class Definitions(Test):
    def test_lint_is_content_or_says_the_line_and_fails(self):
        self.write("order.yaml", ORDER)
        report = json.loads(self.marty("saga", "lint", "order.yaml", code=0).out)
        self.assertEqual((report["saga"], report["errors"], report["findings"]), ("order", 0, []))
        self.write("bad.yaml", ORDER.replace(", compensate: release", ""))
        said = self.marty("saga", "lint", "bad.yaml", "-o", "table", code=1).out
        self.assertRegex(said, r"^bad\.yaml:4: error: reserve: has an effect and nothing that undoes it.*\[no-undo\]\n$")

    def test_the_canonical_form_has_the_same_hash(self):
        self.write("order.yaml", ORDER)
        report = json.loads(self.marty("saga", "lint", "order.yaml", code=0).out)
        self.write("again.json", json.dumps(report["canonical"]))
        self.assertEqual(json.loads(self.marty("saga", "lint", "again.json", code=0).out)["hash"], report["hash"])

    def test_a_mistake_names_file_line_and_field(self):
        self.write("bad.yaml", ORDER.replace("kind: pivot", "kind: pifot"))
        said = self.marty("saga", "lint", "bad.yaml", code=1).err
        self.assertIn('bad.yaml:5: steps[2].kind: there is no "pifot"; did you mean "pivot"?', said)
        self.assertIn("nowhere.yaml", self.marty("saga", "lint", "nowhere.yaml", code=3).err)

    def test_graph_draws(self):
        self.write("order.yaml", ORDER)
        self.assertIn('n3[["charge<br/>pivot"]]', self.marty("saga", "graph", "order.yaml", code=0).out)
        self.assertTrue(self.marty("saga", "graph", "order.yaml", "--as", "dot", code=0).out.startswith("digraph saga {"))

    def test_replay_says_what_the_machine_makes_of_each_event(self):
        self.write("order.yaml", ORDER)
        self.write("events.jsonl", EVENTS)
        out = self.marty("saga", "replay", "order.yaml", "events.jsonl", code=0).out
        self.assertEqual(self.marty("saga", "replay", "order.yaml", stdin=EVENTS, code=0).out, out)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([[f"{c['command']} {c['step']}" for c in line["commands"]] for line in lines],
                         [["forward validate"], ["forward reserve"], ["forward charge"], ["undo reserve"], []])
        self.assertEqual(lines[3]["commands"][0]["data"]["forward"]["result"], {"ref": 1})
        self.assertEqual([line["state"]["state"] for line in lines],
                         ["running", "running", "running", "compensating", "compensated"])
        self.assertEqual(lines[3]["state"]["reason"], "no money")


if __name__ == "__main__":
    main()
