#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input and faults as a user of the program meets them: the code, a text that says which thing and what to do, the
exit code, and nothing on stdout."""
from harness import Test, main, port_of_nobody


class Places(Test):
    def fails(self, words, code, *says):
        result = self.marty(*words, code=code)
        self.assertNotIn('"stored"', result.out)
        for part in says:
            self.assertIn(part, result.err)
        return result

    def test_an_unknown_scheme_names_the_known_ones(self):
        self.fails(["pub", "a.b", "1", "-b", "foo://x"], 1, "MARTY_E_CONFIG", "foo", "sqlite", "nats")

    def test_a_missing_module_names_its_package(self):
        self.fails(["pub", "a.b", "1", "-b", "kafka://127.0.0.1:9092"], 1, "MARTY_E_MISSING_MODULE", "marty-kafka")

    def test_a_wrong_url_says_what_is_wrong(self):
        self.fails(["pub", "a.b", "1", "-b", f"{self.url}?snyc=full"], 1, "MARTY_E_CONFIG", "snyc", "sync")
        self.fails(["pub", "a.b", "1", "-b", f"{self.url}?lease=soon"], 1, "MARTY_E_CONFIG", "lease")

    def test_a_word_that_is_no_url_and_no_backend(self):
        self.fails(["pub", "a.b", "1", "-b", "main"], 2, "is no URL")
        self.write("marty.yaml", "backends: {log: 'sqlite:log.db'}\n")
        self.fails(["pub", "a.b", "1", "-b", "main"], 3, 'no backend called "main"; there are log')

    def test_a_folder_that_is_not_there(self):
        self.fails(["pub", "a.b", "1", "-b", f"sqlite:{self.folder}/none/x.db"], 3, "MARTY_E_NOT_FOUND", "none/x.db", "make it")

    def test_a_file_that_is_no_database(self):
        self.write("e2e.db", "this is text, and long enough to be looked at as a database header would be" * 20)
        self.fails(["pub", "a.b", "1", "-b", self.url], 1, "e2e.db")

    def test_a_broker_that_is_not_there_says_how_to_go_on(self):
        result = self.marty("pub", "a.b", "1", "-b", f"nats://user:hunter2@127.0.0.1:{port_of_nobody(self)}")
        if "MARTY_E_MISSING_MODULE" in result.err:
            self.skipTest("the module for nats is not built here")
        self.assertEqual(result.code, 1)
        self.assertIn("MARTY_E_UNAVAILABLE", result.err)
        self.assertEqual(result.err.count("connection refused"), 1, result.err)
        self.assertIn("127.0.0.1", result.err)
        self.assertIn("next: marty doctor", result.err)
        self.assertNotIn("hunter2", result.err)

    def test_what_the_configuration_does_not_route_names_the_line_to_add(self):
        self.write("marty.yaml", "backends: {log: 'sqlite:log.db', b: 'memory:'}\nroutes:\n  - {events: 'order.*', to: log}\n")
        self.fails(["pub", "user.created", "1"], 3, "MARTY_E_NOT_FOUND", "user.created", "to: log")


class Messages(Test):
    def test_names_that_no_broker_can_carry(self):
        for words in (["pub", "", "1"], ["pub", "a..b", "1"], ["pub", "order.*", "1"], ["pub", "x" * 256, "1"],
                      ["send", "", "charge", "1"], ["sub", "a..b", "--timeout", "1s"]):
            result = self.marty(*words, bus=True, code=1)
            self.assertIn("MARTY_E_ARGUMENT", result.err)
            self.assertEqual(result.out.strip("[]\n "), "" if words[0] == "sub" else result.out.strip("[]\n "))

    def test_a_header_that_would_inject_is_refused(self):
        result = self.marty("pub", "a.b", "1", "-H", "x:a\r\nb: c", bus=True, code=1)
        self.assertIn("MARTY_E_", result.err)
        self.assertEqual(self.bus("topology", "show").rows, [])

    def test_too_many_headers(self):
        words = [word for number in range(1100) for word in ("-H", f"h{number}:1")]
        result = self.marty("pub", "a.b", "1", *words, bus=True, code=1)
        self.assertIn("MARTY_E_TOO_LARGE", result.err)
        self.assertIn("1,024", result.err.replace("1024", "1,024"))

    def test_a_level_that_the_backend_does_not_grant(self):
        result = self.marty("pub", "a.b", "1", "--level", "replicated", bus=True, code=1)
        self.assertIn("MARTY_E_UNSUPPORTED", result.err)
        self.assertIn("replicated", result.err)

    def test_a_query_that_nobody_answers(self):
        result = self.marty("request", "user", "profile", "1", "--timeout", "20s", bus=True, code=1)
        self.assertIn("MARTY_E_NO_RESPONDER", result.err)
        self.assertIn("next: marty reply user profile", result.err)

    def test_nothing_before_the_time_limit(self):
        self.assertEqual(self.marty("sub", "a.*", "--timeout", "50ms", bus=True, code=4).out, "")


if __name__ == "__main__":
    main()
