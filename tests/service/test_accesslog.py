"""
Tests for the access log.
"""

from __future__ import annotations

import io
import re
from typing import Any

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.log import FileLogObserver

from tests.case import HarnessTestCase
from txroom import Application, Deny

TIME = r"\[\d\d/[A-Z][a-z][a-z]/2\d\d\d:\d\d:\d\d:\d\d \+0000\]"


class AccessLogTests(HarnessTestCase):
    """One line for each request."""

    def lines(self, *requests: bytes, isOn: bool = True, **options: Any) -> list[str]:
        """Return the lines for some requests, each over a connection of its own."""
        application = Application(verifyClient=lambda handshake: handshake.path != "/no" or Deny(402))
        harness = self.serve(application, **options)
        harness.server.addHealthPage()
        harness.server.setAccessLog(isOn)
        with capturedLogs() as events:
            for request in requests:
                harness.raw(request)
        accesses = [event for event in events if event["log_namespace"] == "txroom.access"]
        self.assertEqual({event["log_level"] for event in accesses} - {LogLevel.info}, set())
        return [re.sub(TIME, "[now]", formatEvent(event)) for event in accesses]

    UPGRADE = (
        b"Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )

    def test_oldObservers(self) -> None:
        """
        Log observers of Twisted's old kind, for which some field names are special, write the lines, too.
        """
        file = io.StringIO()
        observer = FileLogObserver(file)
        observer.start()
        self.addCleanup(observer.stop)
        self.lines(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIn('"GET /healthz HTTP/1.1" 200 ', file.getvalue())

    def test_page(self) -> None:
        """A page request is logged with its status, length and client."""
        request = b"GET /healthz?x HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8\r\nReferer: http://b/\r\n\r\n"
        expected = '203.0.113.9 - - [now] "GET /healthz?x HTTP/1.1" 200 16 "http://b/" "curl/8"'
        self.assertEqual(self.lines(request), [expected])

    def test_upgrade(self) -> None:
        """An upgrade and a refused one are logged."""
        lines = self.lines(
            b"GET /chat HTTP/1.1\r\n" + self.UPGRADE + b"\r\n",
            b"GET /no HTTP/1.1\r\n" + self.UPGRADE + b"\r\n",
        )
        expected = ['"GET /chat HTTP/1.1" 101 - "-" "-"', '"GET /no HTTP/1.1" 402 - "-" "-"']
        self.assertEqual(lines, [f"203.0.113.9 - - [now] {each}" for each in expected])

    def test_proxy(self) -> None:
        """Behind a trusted proxy both have the client's address."""
        told = b"X-Forwarded-For: 203.0.113.7\r\n\r\n"
        lines = self.lines(
            b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + told,
            b"GET /chat HTTP/1.1\r\n" + self.UPGRADE + told,
            trustedProxies=["203.0.113.9"],
        )
        self.assertEqual([line.partition(" ")[0] for line in lines], ["203.0.113.7"] * 2)

    def test_secrets(self) -> None:
        """Tokens in the query are not logged."""
        lines = self.lines(
            b"GET /chat/r?sessionId=S&reconnectionToken=S&_authToken=S%20S&skipHandshake=1 HTTP/1.1\r\n"
            + self.UPGRADE
            + b"\r\n",
            b"GET /healthz?auth=S&seat=S&mode=x HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        page = b"GET /healthz HTTP/1.1\r\nHost: a\r\nReferer: http://a/?x='&auth=S'S#y\r\n\r\n"
        self.assertIn('"http://a/?x=\'&auth=..."', self.lines(page)[0])
        secret = "/chat/r?sessionId=...&reconnectionToken=...&_authToken=...&skipHandshake=1"
        self.assertIn(f'"GET {secret} HTTP/1.1"', lines[0])
        self.assertIn('"GET /healthz?auth=...&seat=...&mode=x HTTP/1.1"', lines[1])

    def test_quotes(self) -> None:
        """A client can't write a line of its own into the log, nor a format."""
        request = b'GET /healthz?"%0a{peer} HTTP/1.1\r\nHost: a\r\nUser-Agent: "a\\{x}\xff\r\n\r\n'
        (line,) = self.lines(request)
        self.assertTrue(line.endswith(r'"GET /healthz?\"%0a{peer} HTTP/1.1" 200 16 "-" "\"a\\{x}\xff"'), line)

    def test_off(self) -> None:
        """By default nothing is logged."""
        upgrade = b"GET /chat HTTP/1.1\r\n" + self.UPGRADE + b"\r\n"
        page = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertEqual(self.lines(upgrade, page, isOn=False), [])
