"""
What the unit tests share: a harness that cleans up after itself, and an application that records its
events.
"""

from __future__ import annotations

import warnings
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txroom import Application, Connection
from txroom.testing import Client, RawClient, RoomHarness, clientFrame, upgradeRequest

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Recorder(Application):
    """Records every event of its connections; `connection` is the newest one."""

    connection: Connection

    def __init__(self, **hooksAndOptions: Any) -> None:
        self.events: list[tuple[Any, ...]] = []
        super().__init__(**hooksAndOptions)

    def named(self, name: str) -> list[Any]:
        """The arguments of the events of that name."""
        return [event[1] if len(event) == 2 else event[1:] for event in self.events if event[0] == name]

    def onConnect(self, connection: Connection) -> Any:
        self.connection = connection
        self.events.append(("connect",))

    def onMessage(self, connection: Connection, message: str | bytes) -> Any:
        self.events.append(("message", message))

    def onPing(self, connection: Connection, payload: bytes) -> Any:
        self.events.append(("ping", payload))

    def onPong(self, connection: Connection, payload: bytes) -> Any:
        self.events.append(("pong", payload))

    def onDrain(self, connection: Connection) -> Any:
        self.events.append(("drain",))

    def onDisconnect(self, connection: Connection, code: int, reason: str) -> Any:
        self.events.append(("disconnect", code, reason))

    def onError(self, connection: Connection, failure: Any) -> Any:
        self.events.append(("error", failure.type))


def echo(connection: Connection, message: str | bytes) -> None:
    """Send a message back."""
    connection.send(message)


def warningsOf(case: SynchronousTestCase) -> list[dict[str, Any]]:
    """
    Return the warnings of a test so far, and remove them.

    The garbage collector may close files that an earlier test has left open at any time. Warnings about
    that are passed on, since they do not belong to this test.
    """
    found = []
    for warning in case.flushWarnings():
        if warning["category"] is ResourceWarning:
            warnings.warn_explicit(**warning)
        else:
            found.append(warning)
    return found


class HarnessTestCase(SynchronousTestCase):
    """Tests that run a server in memory."""

    def serve(self, serves: Any = None, **options: Any) -> RoomHarness:
        """A harness that is stopped at the end, and checked for leaks."""
        harness = RoomHarness(serves, **options)
        self.addCleanup(harness.stop)
        return harness

    def upgraded(self, harness: RoomHarness, **more: Any) -> RawClient:
        """A raw client that has upgraded."""
        client = harness.raw(upgradeRequest("/", more.pop("headers", ())), **more)
        head, end, rest = client.take().partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 101 ") and end, head)
        client.output = rest
        return client

    def assertClosed(self, client: Client, code: int, reason: str | None = None) -> None:
        """
        Check that the client received a Close frame with that code, and that its TCP connection is closed.
        """
        self.assertEqual((client.closeCode, client.isClosed), (code, True))
        if reason is not None and client.closeInfo is not None:
            self.assertEqual(client.closeInfo.reason, reason)

    def assertRaised(self, kind: type[BaseException], count: int = 1) -> None:
        """Check that this many errors of that kind were logged, and remove them."""
        self.assertEqual(len(self.flushLoggedErrors(kind)), count)


def closeFrame(code: int, reason: str | bytes = b"", **more: Any) -> bytes:
    """A client's Close frame."""
    tail = reason.encode() if isinstance(reason, str) else reason
    return clientFrame(CLOSE, code.to_bytes(2, "big") + tail, **more)


def fired(deferred: Deferred[Any]) -> list[Any]:
    """A list to which the result or failure of a Deferred is added."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results
