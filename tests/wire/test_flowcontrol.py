"""Whether a connection is read: every state and transition of the machine, on its own."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txroom.wire.flowcontrol import (
    APPLICATION,
    FLOWING,
    HELD,
    HOOK,
    LONG_HOLD,
    MAX_PEEKED,
    PEEKING,
    RATE,
    TURN,
    FlowControl,
)


class Connection:
    """A connection that notes what is done with it, and is its own transport and context."""

    def __init__(self) -> None:
        clock = Clock()
        self.advance, self.seconds = clock.advance, clock.seconds
        self.context: Any = self
        self.transport: Any = self
        self.data = b""
        self.reading = FLOWING
        self.isParsing = False
        self.lastReceived = 0.0
        self.incompleteSince: float | None = 1.0
        self.calls: list[Any] = []

    def parse(self) -> None:
        self.calls.append("parse")

    def credit(self, seconds: float, now: float) -> None:
        self.calls.append(("credit", seconds, now))

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")


class ReadingTests(SynchronousTestCase):
    """The head of `txroom.wire.flowcontrol`, line by line."""

    def setUp(self) -> None:
        self.connection = Connection()
        self.reading = FlowControl(self.connection)

    def assertState(self, state: int, *calls: Any) -> None:
        """That state, and what was done to get there."""
        self.assertEqual((self.connection.reading, self.connection.calls), (state, list(calls)))
        self.connection.calls.clear()

    def test_hold(self) -> None:
        """FLOWING → HELD for any reason; told to the transport once."""
        for why in (APPLICATION, HOOK, RATE, TURN):
            self.reading.hold(why)
            self.reading.hold(why)
            self.assertState(HELD, "pause")
            self.reading.release(why)
            self.assertState(FLOWING, "parse", "resume")

    def test_lastReason(self) -> None:
        """HELD → FLOWING when the last reason is gone, and not before; a reason that isn't there is none."""
        self.reading.hold(APPLICATION)
        self.reading.hold(HOOK)
        self.reading.release(RATE)
        self.reading.release(HOOK)
        self.assertState(HELD, "pause")
        self.reading.release(APPLICATION)
        self.assertState(FLOWING, "parse", "resume")

    def test_excused(self) -> None:
        """What was silent or incomplete meanwhile was so because nothing was read."""
        self.reading.hold(APPLICATION)
        self.connection.advance(0.5)
        self.reading.release(APPLICATION)
        self.assertEqual((self.connection.lastReceived, self.reading.resumedAt), (0.5, 0.5))
        self.assertIsNone(self.connection.incompleteSince)

    def test_credit(self) -> None:
        """A long hold that isn't the client's doing is credited, one by its rate is not."""
        self.reading.hold(HOOK)
        self.reading.hold(APPLICATION)
        self.connection.advance(LONG_HOLD + 1)
        self.reading.release(HOOK)
        self.reading.release(APPLICATION)
        self.assertState(FLOWING, "pause", ("credit", 2.0, 2.0), "parse", "resume")
        self.reading.hold(RATE)
        self.connection.advance(LONG_HOLD + 1)
        self.reading.release(RATE)
        self.assertState(FLOWING, "pause", "parse", "resume")

    def test_peek(self) -> None:
        """HELD → PEEKING → HELD again when much has come; → FLOWING when it is released."""
        self.assertTrue(self.reading.peek())
        self.assertState(FLOWING)
        self.reading.hold(HOOK)
        self.assertTrue(self.reading.peek())
        self.assertState(PEEKING, "pause", "resume")
        self.reading.hold(APPLICATION)
        self.assertState(PEEKING)
        self.connection.data = b"x" * (MAX_PEEKED + 1)
        self.reading.tooMuch()
        self.assertState(HELD, "pause")
        self.assertFalse(self.reading.peek())
        self.reading.release(HOOK)
        self.reading.release(APPLICATION)
        self.assertState(FLOWING, "parse", "resume")

    def test_whileParsing(self) -> None:
        """The transport is told when the read has been parsed, of what has come of it."""
        self.connection.isParsing = True
        self.reading.hold(HOOK)
        self.reading.lift(HOOK)
        self.reading.hold(APPLICATION)
        self.assertState(HELD)
        self.connection.isParsing = False
        self.reading.apply()
        self.assertState(HELD, "pause")

    def test_clear(self) -> None:
        """→ FLOWING from everywhere, whatever the reasons; nothing is parsed by that."""
        for prepare in (lambda: None, lambda: self.reading.hold(RATE), self.reading.peek):
            prepare()
            self.reading.until = 5.0
            self.reading.clear()
            self.assertEqual((self.connection.reading, self.reading.reasons), (FLOWING, 0))
            self.assertIsNone(self.reading.until)
        self.assertNotIn("parse", self.connection.calls)

    def test_lost(self) -> None:
        """When the TCP connection is gone nothing is parsed and nobody told."""
        self.reading.hold(HOOK)
        self.connection.transport = None
        self.reading.release(HOOK)
        self.reading.apply()
        self.assertState(FLOWING, "pause")
