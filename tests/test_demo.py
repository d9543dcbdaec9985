"""The demonstration: its page, its echo, its broadcast, and that there is nothing else."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

from tests.case import HarnessTestCase
from txroom import ServerOptions
from txroom.demo import contentPolicy, makeDemo
from txroom.testing import Response, RoomHarness

MIB = 1024 * 1024


class DemoTestCase(HarnessTestCase):
    """Tests of the demonstration."""

    def demo(self, **options: Any) -> RoomHarness:
        return self.serve(lambda clock: makeDemo(ServerOptions(**options), clock))

    def get(self, harness: RoomHarness, path: str, method: str = "GET") -> Response:
        request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = harness.raw(request.encode()).response
        assert answer is not None
        return answer


class PageTests(DemoTestCase):
    """The page at "/"."""

    def test_page(self) -> None:
        """It is HTML that is sent whole, and not kept without asking again."""
        page = self.get(self.demo(), "/")
        self.assertEqual(page.status, 200)
        self.assertEqual(page.headers.get("content-type"), "text/html; charset=utf-8")
        self.assertEqual(page.headers.get("cache-control"), "no-cache")
        self.assertTrue(page.body.startswith(b"<!doctype html>"))
        self.assertTrue(page.body.rstrip().endswith(b"</html>"))

    def test_selfContained(self) -> None:
        """It loads nothing: neither from elsewhere nor from here."""
        page = self.get(self.demo(), "/").body.decode()
        loads = re.findall(r"(?:src|href|action|url)\s*[=(]\s*[\"']?([^\"'\s>)]+)", page)
        self.assertEqual([each for each in loads if not each.startswith(("data:", "location."))], [])

    def test_policy(self) -> None:
        """Its policy lets run what is written in it, by its hash, and nothing else."""
        page = self.get(self.demo(), "/")
        policy = page.headers.get("content-security-policy") or ""
        script = re.findall(b"<script>(.*?)</script>", page.body, re.DOTALL)[0]
        self.assertIn(f"script-src 'sha256-{b64encode(sha256(script).digest()).decode()}';", policy)
        self.assertIn("default-src 'none';", policy)
        self.assertNotIn("unsafe", policy)
        self.assertNotRegex(page.body, rb"<[^>]+\s(?:style|on\w+)=")  # no hash allows these

    def test_policyOfNothing(self) -> None:
        """A page without a script may run none."""
        self.assertIn("script-src 'none'; style-src 'none';", contentPolicy(b"<p>hello"))

    def test_nothingElse(self) -> None:
        """There is a page and the health page; a socket's path is no page, an unknown path no socket."""
        harness = self.demo()
        paths = {
            "/": 200,
            "/healthz": 200,
            "/echo": 426,
            "/broadcast": 426,
            "/index.html": 426,
            "/web/index.html": 426,
            "//": 426,
            "/../demo.py": 400,
        }
        self.assertEqual({path: self.get(harness, path).status for path in paths}, paths)
        for path in ("/", "/other", "/echo/", "/healthz"):
            client = harness.connect(path)
            self.assertIsNotNone(client.response, path)
            assert client.response is not None
            self.assertEqual(client.response.status, 404, path)
        self.assertEqual(self.get(harness, "/", "POST").status, 405)


class EchoTests(DemoTestCase):
    """/echo"""

    def test_kinds(self) -> None:
        """Text comes back as text, binary as binary, to the sender only."""
        harness = self.demo()
        client, other = harness.connect("/echo"), harness.connect("/echo")
        for message in ("schön", b"\x00\xff", "", b""):
            client.send(message)
        self.assertEqual(client.received, ["schön", b"\x00\xff", "", b""])
        self.assertEqual(other.received, [])

    def test_slowReader(self) -> None:
        """Nothing is lost, and little is held, for a client that sends and doesn't read."""
        harness = self.demo()
        client = harness.connect("/echo")
        connection = harness.connectionOf(client)
        client.stall()
        sent = [f"{number:06}" * 1000 for number in range(200)]
        for message in sent:
            client.send(message)
        self.assertLess(connection.bufferedAmount, 2 * harness.server.options.highWaterMark)
        client.unstall()
        harness.advance(1)
        self.assertEqual(client.received, sent)

    def test_large(self) -> None:
        """A message of 16 MiB comes back if `maxPayload` allows it, whatever `maxBackpressure` is."""
        harness = self.demo(maxPayload=16 * MIB)
        client = harness.connect("/echo")
        message = bytes(16 * MIB)
        client.send(message)
        harness.advance(1)
        self.assertEqual(len(client.received), 1)
        self.assertTrue(client.received[0] == message)

    def test_largeAfterSmall(self) -> None:
        """A message that is too long for what still waits is sent when it has gone."""
        harness = self.demo(maxPayload=4 * MIB)
        client = harness.connect("/echo")
        client.stall()
        client.send("small" * 2000)
        client.send("large" * 500_000)
        client.send("end")
        client.unstall()
        harness.advance(1)
        self.assertEqual([message[:5] for message in client.received], ["small", "large", "end"])

    def test_lostBeforeSent(self) -> None:
        """A client that leaves while its echo waits leaves nothing behind, and no error."""
        harness = self.demo(maxPayload=4 * MIB)
        client = harness.connect("/echo")
        client.stall()
        client.send("small" * 2000)
        client.send("large" * 500_000)
        client.drop()
        harness.flush()
        self.assertEqual(harness.server.connections, [])


class BroadcastTests(DemoTestCase):
    """/broadcast"""

    def test_everyone(self) -> None:
        """Every message comes to all who are connected there, the sender too, and to nobody else."""
        harness = self.demo()
        ann, bob, other = (harness.connect(path) for path in ("/broadcast", "/broadcast", "/echo"))
        ann.send("hello")
        bob.send(b"\x01")
        self.assertEqual(ann.received, ["hello", b"\x01"])
        self.assertEqual(bob.received, ["hello", b"\x01"])
        self.assertEqual(other.received, [])

    def test_left(self) -> None:
        """Who has left is not missed."""
        harness = self.demo()
        ann, bob = harness.connect("/broadcast"), harness.connect("/broadcast")
        bob.close()
        ann.send("hello")
        self.assertEqual((ann.received, bob.received), (["hello"], []))
