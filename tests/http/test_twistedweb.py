"""
Tests for the private names of twisted.web.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Site

from txroom.http import twistedweb
from txroom.testing import MemoryReactor


class Noting(twistedweb.RefusingChannel):
    """A channel that records bad requests, and answers them or does not."""

    noted = 0
    answers = True

    def badRequest(self) -> None:
        self.noted += 1
        if self.answers:
            super().badRequest()


class ChannelTests(SynchronousTestCase):
    """Channels of twisted.web."""

    def connect(self, channel: http.HTTPChannel) -> StringTransport:
        site: Any = Site(Resource(), reactor=MemoryReactor())
        channel.site = channel.factory = site  # type: ignore[attr-defined]
        channel.requestFactory = http.Request
        channel.timeOut = None
        transport: Any = StringTransport()
        channel.makeConnection(transport)
        result: StringTransport = transport
        return result

    def test_badRequest(self) -> None:
        """The subclass is told, and answers itself or as twisted.web does."""
        for answers, sent in ((True, b"HTTP/1.1 400 Bad Request\r\n\r\n"), (False, b"")):
            channel = Noting()
            channel.answers = answers
            transport = self.connect(channel)
            channel.dataReceived(b"nonsense\r\n")
            self.assertEqual((channel.noted, transport.value(), transport.disconnecting), (1, sent, answers))

    def test_takeReadAhead(self) -> None:
        """Bytes that arrived during a request are returned once."""
        channel = http.HTTPChannel()
        self.connect(channel)
        self.patch(http.Request, "process", lambda request: None)
        channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for more in (b"and ", b"more"):
            channel.dataReceived(more)
        self.assertEqual([twistedweb.takeReadAhead(channel) for _ in range(2)], [b"and more", b""])


class TimeTests(SynchronousTestCase):
    """The time in access logs."""

    def test_logTimeOfDay(self) -> None:
        """It is the time of day, updated each second, not the reactor's time."""
        self.patch(http.HTTPFactory, "_updateLogDateTime", http.HTTPFactory._updateLogDateTime)
        twistedweb.logTimeOfDay()
        self.patch(twistedweb, "datetimeToLogString", lambda *args: f"now{args}")
        clock = MemoryReactor()
        site: Any = Site(Resource(), reactor=clock)
        site.startFactory()
        self.addCleanup(site.stopFactory)
        self.assertEqual(site._logDateTime, "now()")
        site._logDateTime = None
        clock.advance(1)
        self.assertEqual(site._logDateTime, "now()")
