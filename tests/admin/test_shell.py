"""The shell: commands, and what it prints."""

from __future__ import annotations

import json
from contextlib import redirect_stderr
from datetime import datetime
from io import StringIO
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.admin.rpccase import READ, TOKEN, RpcCase
from txroom.admin.__main__ import isSafe, main, targetOf
from txroom.admin.shell import Shell
from txroom.admin.shellcalls import Method, Mistake, Parameter, argumentsOf, find, help
from txroom.admin.shelltables import table, textOf, timed


def method(name: str, *params: Parameter, role: str = "read") -> Method:
    return Method(name=name, role=role, params=list(params))


TEXT: dict[str, Any] = {"type": "string"}
MAYBE: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}


class TestFind(SynchronousTestCase):
    methods = {
        name: method(name)
        for name in (
            "rooms.list",
            "rooms.get",
            "rooms.kick",
            "users.kick",
            "server.stats",
            "a.drain",
            "b.do",
            "c.do",
        )
    }

    def test_short(self) -> None:
        """A word stands for a call where that is clear."""
        for word, name in (
            ("rooms.kick", "rooms.kick"),
            ("rooms", "rooms.list"),
            ("room", "rooms.get"),
            ("kick", "rooms.kick"),
            ("server", "server.stats"),
            ("drain", "a.drain"),
        ):
            self.assertEqual(find(word, self.methods).name, name)

    def test_mistakes(self) -> None:
        for word, said in (("do", "b.do or c.do"), ("fly", "no such call"), ("", "no such call")):
            with self.assertRaises(Mistake) as caught:
                find(word, self.methods)
            self.assertIn(said, str(caught.exception))


class TestArguments(SynchronousTestCase):
    call = method(
        "rooms.kick",
        Parameter("room", TEXT, required=True),
        Parameter("userId", MAYBE),
        Parameter("limit", {"type": "integer", "default": 100}),
        Parameter("isLocked", {"type": "boolean"}),
        Parameter("filter", {"anyOf": [{"type": "object"}, {"type": "null"}]}),
        Parameter("data", {}),
    )

    def test_words(self) -> None:
        """Words are arguments by their names, or else in their order; values are what the parameter takes."""
        commands: tuple[tuple[list[str], dict[str, Any]], ...] = (
            (["x7"], {"room": "x7"}),
            (["x7", "7"], {"room": "x7", "userId": "7"}),
            (["limit=5", "x=7"], {"limit": 5, "room": "x=7"}),
            (["room=x7", "isLocked=true", "userId=null"], {"room": "x7", "isLocked": True, "userId": None}),
            (["x7", 'filter={"mode": "blitz"}'], {"room": "x7", "filter": {"mode": "blitz"}}),
            (["x7", "data=hello"], {"room": "x7", "data": "hello"}),
            (["x7", "data=[1]"], {"room": "x7", "data": [1]}),
            (["12345"], {"room": "12345"}),
        )
        for words, args in commands:
            self.assertEqual(argumentsOf(self.call, words), args)

    def test_mistakes(self) -> None:
        for words, said in (
            ([], "needs room"),
            (["limit=5"], "needs room"),
            (["x7", "limit=many"], "integer"),
            (["x7", "filter=all"], "object"),
            (["x7", "room=x8"], "twice"),
            (["1"] * 2 + ["3", "true", "{}", "6", "7"], "takes room, userId"),
        ):
            with self.assertRaises(Mistake, msg=str(words)) as caught:
                argumentsOf(self.call, words)
            self.assertIn(said, str(caught.exception))

    def test_help(self) -> None:
        """All that is known of a call."""
        text = help(self.call)
        self.assertIn("room (string)", text)
        self.assertIn("limit (integer, optional, by default 100)", text)
        self.assertIn("role read", text)


class TestTables(SynchronousTestCase):
    def test_table(self) -> None:
        """A column for each name; numbers to the right; what is too long is cut, and nothing is empty."""
        rows = [{"room": "x", "clients": 5}, {"room": "日本", "clients": 1000, "meta": {"a": [1]}}]
        self.assertEqual(
            table(rows).splitlines(),
            ["room  clients  meta", "x           5", '日本     1000  {"a": [1]}'],
        )
        self.assertTrue(table([{"a": "x" * 100}]).endswith("x" * 39 + "…"))

    def test_answers(self) -> None:
        for answer, text in (
            (None, "done"),
            (5, "5"),
            ("a", "a"),
            ([1, 2], "[1, 2]"),
            ([], "[]"),
            ({}, "nothing"),
            ({"rooms": [{"room": "x"}], "next": None}, "room\nx"),
            ({"a": 1, "long": True}, "a     1\nlong  true"),
            ({"a": 1, "rooms": [{"room": "x"}]}, "a  1\n\nrooms:\nroom\nx"),
        ):
            self.assertEqual(textOf(answer), text)

    def test_times(self) -> None:
        """Times are shown as times of day, and not in seconds since 1970."""
        now = datetime(2026, 11, 30, 12, 26, 44, 352000)
        text = textOf({"entries": [{"offset": 1, "at": now.timestamp()}]})
        self.assertEqual(text.split(), ["offset", "at", "1", "2026-11-30", "12:26:44"])
        self.assertEqual(textOf({"startedAt": now.timestamp()}), "startedAt  2026-11-30 12:26:44")
        for at in (5.5, 1e300, "soon", None):
            self.assertEqual(timed("at", at), at)
        self.assertEqual(timed("format", 2e9), 2e9)

    def test_escaped(self) -> None:
        """What clients have written can't command the terminal."""
        nasty = "\x1b[2J\r\n\x9b2J\u202e\ud800"
        for answer in (nasty, [{"a": nasty}], {"a": nasty}, {nasty: 1}, {"a": {"b": nasty}}):
            text = textOf(answer)
            self.assertNotRegex(text, r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]")


class TestTargets(SynchronousTestCase):
    def test_missing(self) -> None:
        """Only the URL is required."""
        errors = StringIO()
        with redirect_stderr(errors), self.assertRaises(SystemExit):
            main([])
        self.assertTrue(errors.getvalue().endswith("the following arguments are required: url\n"))

    def test_targets(self) -> None:
        for given, url, endpoint in (
            ("9000", "http://127.0.0.1:9000/rpc", None),
            ("localhost:9000", "http://localhost:9000/rpc", None),
            ("https://chat.example/", "https://chat.example/rpc", None),
            ("unix:/run/admin.sock", "ws://localhost/rpc", "unix:/run/admin.sock"),
        ):
            self.assertEqual(targetOf(given), (url, endpoint))

    def test_safe(self) -> None:
        """The secret is sent to other machines with TLS only."""
        for url, isSafely in (
            ("http://127.0.0.1:9000/rpc", True),
            ("http://[::1]:9000/rpc", True),
            ("ws://localhost/rpc", True),
            ("https://chat.example/rpc", True),
            ("WSS://chat.example/rpc", True),
            ("http://chat.example/rpc", False),
            ("ws://10.0.0.1/rpc", False),
        ):
            self.assertEqual(isSafe(url), isSafely, url)


class TestShell(RpcCase):
    def setUp(self) -> None:
        self.start()
        self.out, self.errors = StringIO(), StringIO()

    def begin(
        self, *words: str, token: str = TOKEN, isJSON: bool = False, every: float | None = None
    ) -> Deferred[int]:
        client = self.client(token, maxAttempts=None if every else 0)
        shell = Shell(client.client, self.out, self.errors, isJSON)
        running = Deferred.fromCoroutine(shell.run(words, every))
        self.harness.advance(0.5)
        return running

    def run_(self, *words: str, status: int = 0, **options: Any) -> str:
        """What is printed."""
        self.assertEqual(self.successResultOf(self.begin(*words, **options)), status)
        written = (self.errors if status else self.out).getvalue()
        self.assertEqual((self.out if status else self.errors).getvalue(), "")
        return written

    def test_call(self) -> None:
        """A call of any name, with its answer as text or in JSON."""
        self.assertEqual(self.run_("sample.add", "by=4"), "4\n")
        self.assertEqual(self.run_("count").splitlines()[-1], "count  4")
        self.assertEqual(json.loads(self.run_("count", isJSON=True).splitlines()[-1]), {"count": 4})

    def test_list(self) -> None:
        """Without a call, all calls are listed; `help` describes one."""
        self.assertIn("sample.add", self.run_())
        self.assertIn("by (integer, optional, by default 1)", self.run_("help", "sample.add"))

    def test_errors(self) -> None:
        """Errors are told in one line; the status says whose mistake it is."""
        self.assertIn("there is no such call", self.run_("fly", status=2))
        self.sample.count = -1
        self.assertIn("unavailable: below zero", self.run_("count", status=1))
        self.assertIn("forbidden", self.run_("sample.add", token=READ, status=1))
        said = self.run_("count", token="x" * 32, status=1).splitlines()[-1]
        expected = "unauthorized: the secret is wrong: check TXROOM_ADMIN_TOKEN, or give --token-file"
        self.assertEqual(said, f"txroom.admin: {expected}")

    def test_noSecret(self) -> None:
        """An operator without a secret is told how to give it."""
        client = self.client("", maxAttempts=0)
        shell = Shell(client.client, self.out, self.errors, False, hasSecret=False)
        running = Deferred.fromCoroutine(shell.run(["count"]))
        self.harness.advance(0.5)
        self.assertEqual(self.successResultOf(running), 1)
        expected = "the server needs a secret: set TXROOM_ADMIN_TOKEN, or give --token-file"
        self.assertEqual(self.errors.getvalue(), f"txroom.admin: unauthorized: {expected}\n")

    def test_watch(self) -> None:
        """A watch prints each answer, and goes on when the connection or the membership is lost."""
        running = self.begin("count", every=1.0, isJSON=True)
        self.sample.count = 1
        self.harness.advance(1.0)
        for connection in self.admin._sockets._connections.all:
            connection.terminate()
        self.sample.count = 2
        self.harness.advance(5.0)
        (room,) = self.admin._sockets._rooms.rooms.values()
        self.harness.resultOf(room.disconnect(code=4101))
        self.sample.count = 3
        self.harness.advance(10.0)
        self.assertNoResult(running)
        self.assertEqual(
            [json.loads(each)["count"] for each in self.out.getvalue().split("\n")[:-1]], [0, 1, 2, 3]
        )
        self.sample.count = -1
        self.harness.advance(2.0)
        self.assertIn("unavailable", self.errors.getvalue())
