"""The command line of a load test."""

from __future__ import annotations

import io
import resource
import sys
from typing import Any

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from txroom.loadtest.__main__ import allowFiles, main
from txroom.loadtest.options import Options
from txroom.loadtest.plan import Plan

URL = "ws://localhost:8080/rooms"


def planOf(*words: str) -> Plan:
    """The plan of a command line."""
    options = Options()
    options.parseOptions(words)
    return options.plan


class PlanTests(SynchronousTestCase):
    """The options become a plan."""

    def test_all(self) -> None:
        """Every option is in the plan; the URL may be first or last."""
        words = {
            "--room": "chat",
            "--clients": "200",
            "--options": '{"name": "x{n}", "n": {n}}',
            "--rate": "0.5",
            "--type": "say",
            "--data": '{"text": "{id}"}',
            "--duration": "30.5",
            "--ramp": "0",
            "--endpoint": "unix:/run/chat.sock",
        }
        flat = [word for pair in words.items() for word in pair]
        flat += ["--call", "--header", "X-A: 1", "--header", "Cookie: a=b; c"]
        expected = Plan(
            url=URL,
            room="chat",
            clients=200,
            options='{"name": "x{n}", "n": {n}}',
            rate=0.5,
            type="say",
            data='{"text": "{id}"}',
            duration=30.5,
            ramp=0.0,
            endpoint="unix:/run/chat.sock",
            isCall=True,
            headers={"X-A": "1", "Cookie": "a=b; c"},
        )
        self.assertEqual(planOf(URL, *flat), expected)
        self.assertEqual(planOf(*flat, URL), expected)
        for index in range(0, len(words) * 2, 2):
            self.assertEqual(planOf(*flat[:index], URL, *flat[index:]), expected)
        self.assertEqual(planOf("--call", "--quiet", *flat, "--", URL), expected)

    def test_urls(self) -> None:
        """URLs are read as by `txroom.client`; plain clients use the given path."""
        for url, expected in (
            ("http://localhost:8080", "ws://localhost:8080/rooms"),
            ("https://example.org/chat/rooms?a=b", "wss://example.org/chat/rooms?a=b"),
            ("ws://localhost:8080/", "ws://localhost:8080/rooms"),
        ):
            self.assertEqual(planOf(url, "--room", "chat").url, expected)
        self.assertEqual(planOf("http://localhost:8080", "--plain").url, "ws://localhost:8080/")
        self.assertEqual(planOf("https://localhost/echo", "--plain").url, "wss://localhost/echo")

    def test_plain(self) -> None:
        """Without rooms, the data is the text itself."""
        plan = planOf("wss://example.org/echo", "--plain", "--data", "hello")
        self.assertEqual((plan.room, plan.data, plan.isSending), (None, "hello", True))
        self.assertFalse(planOf("wss://example.org/echo", "--plain").isSending)

    def test_scenario(self) -> None:
        """A scenario is a function, given by its name."""
        plan = planOf(URL, "--room", "chat", "--scenario", f"{__name__}:planOf")
        self.assertEqual((plan.scenario, plan.isSending), (planOf, False))

    def test_marks(self) -> None:
        """Messages are marked if the data has a place for the mark."""
        self.assertTrue(planOf(URL, "--room", "a", "--type", "b", "--data", '"{id}"').isMarked)
        self.assertFalse(planOf(URL, "--room", "a", "--type", "b").isMarked)


class MistakeTests(SynchronousTestCase):
    """Each mistake has a one-line error that names it."""

    def assertRefused(self, expected: str, *words: str) -> None:
        error = self.assertRaises(UsageError, planOf, *words)
        self.assertEqual(str(error), expected)

    def test_url(self) -> None:
        """Wrong URLs."""
        self.assertRefused("give one URL", "--room", "chat")
        self.assertRefused(f"give one URL, but there are 2: {URL} chat", URL, "--room", "chat", "chat")
        must = "must be a URL such as ws://host:port/path, with ws, wss, http or https"
        for url in (
            "localhost:8080",
            "ftp://localhost",
            "ws://",
            "ws://localhost:99999",
            "ws://a:x",
            "ws://[a",
        ):
            self.assertRefused(f"{url}: {must}", url, "--plain")

    def test_values(self) -> None:
        """Wrong values."""
        number = "must be a number, 0 or more"
        json = "must be JSON; for a string write '\"hello\"'"
        room = (URL, "--room", "chat")
        for option, value, expected in (
            ("--clients", "0", "must be a whole number, 1 or more"),
            ("--clients", "many", "must be a whole number, 1 or more"),
            ("--ramp", "-1", number),
            ("--duration", "1e3", number),
            ("--rate", "0", "must be a number, more than 0"),
            ("--rate", "nan", "must be a number, more than 0"),
            ("--options", "[1]", 'must be a JSON object, such as \'{"name": "ada"}\''),
            ("--options", "{", 'must be a JSON object, such as \'{"name": "ada"}\''),
            ("--header", "Cookie", 'must be a header of the form "Name: value"'),
            ("--header", "A b: c", 'must be a header of the form "Name: value"'),
            ("--header", "A: b\r\nc: d", 'must be a header of the form "Name: value"'),
            ("--type", "", "must be a string of 1 to 128 characters"),
            ("--scenario", "chat", "must be module:attribute"),
            ("--scenario", "nosuch:play", "there is no module 'nosuch'"),
            ("--scenario", f"{__name__}:URL", "must be the name of a function, module:function"),
        ):
            self.assertRefused(f"{option} {value}: {expected}", *room, option, value)
        self.assertRefused(f"--data hello: {json}", *room, "--type", "say", "--data", "hello")
        error = self.assertRaises(UsageError, planOf, *room, "--endpoint", "nosuch:1")
        self.assertTrue(str(error).startswith("--endpoint nosuch:1: "), error)

    def test_combinations(self) -> None:
        """Options that cannot be combined."""
        either = "give either --room or --plain"
        self.assertRefused(either, URL)
        self.assertRefused(either, URL, "--plain", "--room", "chat")
        self.assertRefused("--plain and --call can't be combined", URL, "--plain", "--call")
        self.assertRefused("--plain and --type can't be combined", URL, "--plain", "--type", "say")
        scenario = ("--scenario", f"{__name__}:planOf")
        self.assertRefused(
            "--scenario and --rate can't be combined", URL, "--room", "chat", *scenario, "--rate", "1"
        )
        self.assertRefused("--data needs --type", URL, "--room", "chat", "--data", "1")
        self.assertRefused("--call needs --type", URL, "--room", "chat", "--call")


class MainTests(SynchronousTestCase):
    """The command."""

    def test_mistakes(self) -> None:
        """A mistake prints one line, and the status is 2."""
        for words, expected in (
            (["--nonsense"], "option --nonsense not recognized"),
            (
                [URL, "--room", "chat", "--client", "3"],
                "option --client not recognized: did you mean --clients?",
            ),
            ([URL, "--plain", "--json", "/nosuch/x"], "--json /nosuch/x: No such file or directory"),
        ):
            errors = io.StringIO()
            self.patch(sys, "stderr", errors)
            self.assertEqual(main(words), 2)
            self.assertEqual(errors.getvalue(), f"txroom.loadtest: {expected}\n")

    def test_files(self) -> None:
        """The limit of open files is raised if possible, otherwise the error names it."""
        limits: list[Any] = []
        self.patch(resource, "getrlimit", lambda which: (256, 1000))
        self.patch(resource, "setrlimit", lambda which, limit: limits.append(limit))
        allowFiles(256)
        self.assertEqual(limits, [])
        allowFiles(1000)
        self.assertEqual(limits, [(1000, 1000)])
        error = self.assertRaises(UsageError, allowFiles, 1001)
        limit = "this needs 1001 open files, but the limit of this process is 1000 (ulimit -n)"
        self.assertEqual(str(error), f"--clients: {limit}")

    def test_version(self) -> None:
        """`--version` prints txroom's version."""
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        self.assertRaises(SystemExit, main, ["--version"])
        self.assertTrue(output.getvalue().startswith("txroom "))
