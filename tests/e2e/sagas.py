# SPDX-License-Identifier: Apache-2.0
"""What the tests of `marty saga` share: an orchestrator that runs, sagas, and the participants. These are the test itself: it
reads what they are asked from the saga, and answers with `marty send`, as docs/guide/participants.md says."""
import json

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
