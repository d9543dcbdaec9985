"""Ports that can't accept."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet import tcp
from twisted.internet.protocol import Factory
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from txroom.service.accepting import REST, SILENCE, watchAccepting
from txroom.testing import MemoryReactor


class Taken:
    """A connection that was accepted, to be closed."""

    def close(self) -> None:
        """That is all."""


class Waiting:
    """A listening socket with clients that wait, and what accepting them comes to."""

    def __init__(self) -> None:
        self.outcomes: list[Any] = []

    def accept(self) -> Any:
        outcome = self.outcomes.pop(0) if self.outcomes else errno.EAGAIN
        if isinstance(outcome, int):
            raise OSError(outcome, "")
        return outcome


class Reserve:
    """The descriptor that Twisted keeps for this moment."""

    def __init__(self, isThere: bool) -> None:
        self._isThere = isThere
        self.reserved = 0

    def available(self) -> bool:
        return self._isThere

    def reserve(self) -> None:
        self.reserved += 1

    def __enter__(self) -> None:
        """It is given up."""

    def __exit__(self, *exception: object) -> None:
        """It is taken again."""


class AcceptingTests(SynchronousTestCase):
    """What a port says, and does."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.port: Any = tcp.Port(0, Factory(), reactor=self.reactor)
        self.port.socket = Waiting()
        self.port.connected = True
        self.port.startReading()
        watchAccepting(self.port, self.reactor)

    def reserve(self, isThere: bool) -> Reserve:
        reserve = Reserve(isThere)
        self.patch(tcp, "_reservedFD", reserve)
        return reserve

    def read(self, *outcomes: Any) -> list[str]:
        """What is logged when clients wait."""
        self.port.socket.outcomes = list(outcomes)
        self.port.numberAccepts = 100
        with capturedLogs() as events:
            self.port.doRead()
        return [formatEvent(event) for event in events]

    def test_full(self) -> None:
        """Twisted closes who waits; one line tells of all, and the next one comes a minute later."""
        self.reserve(True)
        client = (Taken(), ("192.0.2.1", 9))
        said = self.read(errno.EMFILE, client, client)
        self.assertEqual(len(said), 1)
        self.assertIn("no file descriptors are left for new connections (EMFILE), 1 were closed", said[0])
        for _ in range(100):
            self.assertEqual(self.read(errno.EMFILE, client, client), [])
        self.reactor.rightNow += SILENCE
        (line,) = self.read(errno.EMFILE, client)
        self.assertIn(" 202 were closed at once", line)
        self.assertEqual(self.read(errno.EMFILE, client), [])
        self.assertIn(self.port, self.reactor.readers)

    def test_helpless(self) -> None:
        """If not even that can be done it rests, instead of trying in each turn of the reactor."""
        for error, name in ((errno.EMFILE, "EMFILE"), (errno.ENFILE, "ENFILE"), (errno.ENOMEM, "ENOMEM")):
            reserve = self.reserve(False)
            (line,) = self.read(error)
            self.assertIn(f"({name})", line)
            self.assertNotIn(self.port, self.reactor.readers)
            self.reactor.rightNow += REST  # the sockets of this reactor are others
            (call,) = self.reactor.calls
            call.func()
            call.cancel()
            self.assertIn(self.port, self.reactor.readers)
            self.assertEqual(reserve.reserved, 1)
            self.reactor.rightNow += SILENCE

    def test_stopped(self) -> None:
        """A port that is closed meanwhile isn't opened again."""
        self.reserve(False)
        self.read(errno.EMFILE)
        self.port.connected = False
        (call,) = self.reactor.calls
        call.func()
        call.cancel()
        self.assertNotIn(self.port, self.reactor.readers)

    def test_others(self) -> None:
        """A client that has left before it was accepted is no news; other ports aren't watched."""
        self.assertEqual(self.read(errno.ECONNABORTED), [])
        self.assertIn(self.port, self.reactor.readers)
        watchAccepting(object(), self.reactor)
