"""Slow links: a connection over which bytes arrive is not lost, and a slow answer is not an error."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.client.case import DEFAULTS, ClientTestCase, membership
from txroom.client import mayReconnect
from txroom.core.codes import MESSAGE_TIMEOUT

#: Bytes per second.
RATE = 25_000


class DownTests(ClientTestCase):
    """Slow downloads."""

    def trickle(self, size: int, rate: int = RATE) -> None:
        """Let that many bytes arrive."""
        for _ in range(size // (rate // 5)):
            self.wire.attempt.progress(rate // 5)
            self.clock.advance(0.2)

    def test_largeSnapshot(self) -> None:
        """A room of 900 kB is joined at 25 kB/s, though no frame is complete for longer than all timeouts."""
        joining = self.client.join("chat")
        self.wire.open()
        [join, ping] = self.wire.take(withPings=True)
        self.trickle(900_000)
        self.assertEqual((self.client.state, self.wire.closed), ("open", None))
        self.assertNoResult(joining)
        self.wire.receive("joined", join[1], "r1", membership(snapshot="large"))
        self.wire.receive("reply", ping[1], None)
        self.assertEqual(self.successResultOf(joining).snapshot, "large")

    def test_resume(self) -> None:
        """It is resumed too; a server that then sends nothing more is given up as usual."""
        room = self.join()
        self.wire.end()
        self.nextWire()
        self.wire.open()
        [resume] = self.wire.take()
        self.trickle(600_000)
        self.resumed(resume, recovered=False)
        self.assertEqual(room.status, "joined")
        self.wire.end()
        self.nextWire()
        self.wire.open()
        self.trickle(50_000)
        self.clock.advance(DEFAULTS.pingTimeout + DEFAULTS.requestTimeout)
        self.assertEqual((room.status, self.wire.closed), ("away", (0, "")))

    def test_drops(self) -> None:
        """Single bytes now and then do not extend the time of a join by much."""
        joining = self.client.join("chat")
        self.wire.open()
        for _ in range(3):
            self.assertNoResult(joining)
            self.wire.attempt.progress(1)
            self.clock.advance(5)
        self.assertEqual(self.codeOf(joining), "timeout")


class UpTests(ClientTestCase):
    """Slow uploads."""

    def upload(self, size: int) -> Any:
        """A room, and a message of that size on its way; the next heartbeat is sent behind it."""
        self.begin(maxPayload=2 << 20)
        room = self.join()
        self.wire.receive("reply", 1, None)
        self.answerPing()
        room.send("blob", "x" * size)
        self.clock.advance(DEFAULTS.pingInterval)
        return room

    def answerPing(self) -> None:
        """Answer the pings that have arrived."""
        for frame in self.pings():
            self.wire.receive("reply", frame[1], None)

    def pings(self) -> list[Any]:
        return [frame for frame in self.wire.take(withPings=True) if frame[0] == "ping"]

    def test_largeMessage(self) -> None:
        """While 300 kB are sent at 25 kB/s, or 1 MB at 4 kB/s, the connection does not count as lost."""
        for size, seconds in ((300_000, 12), (1_000_000, 240)):
            room = self.upload(size)
            self.clock.advance(seconds)
            self.assertEqual((room.status, self.wire.closed), ("joined", None))
            self.answerPing()
            self.clock.advance(DEFAULTS.pingInterval)
            self.assertEqual(len(self.pings()), 1)
            # The answer shows that the message has arrived, so the usual timeout applies again.
            self.clock.advance(DEFAULTS.pingTimeout)
            self.assertEqual((room.status, self.wire.closed), ("away", (0, "")))

    def test_dead(self) -> None:
        """A peer that is gone is noticed, after one more second for each 4 KiB."""
        room = self.upload(40_960)
        self.clock.advance(DEFAULTS.pingTimeout + 9)
        self.assertEqual(room.status, "joined")
        self.clock.advance(2)
        self.assertEqual((room.status, self.wire.closed), ("away", (0, "")))

    def test_small(self) -> None:
        """Without large messages the usual timeout applies."""
        room = self.upload(100)
        self.clock.advance(DEFAULTS.pingTimeout)
        self.assertEqual(room.status, "away")

    def test_messageTimeout(self) -> None:
        """1008 because a message took too long is not final; any other 1008 is."""
        for reason in (MESSAGE_TIMEOUT, "message timeout"):
            self.assertTrue(mayReconnect(1008, reason))
            room = self.join()
            room.send("blob", "x")
            self.wire.end(1008, reason)
            self.assertEqual((room.status, self.nextWire()), ("away", 0.125))
            self.wire.open()
            self.resumed(self.wire.take()[0])
            self.assertEqual([frame[0] for frame in self.wire.take()], ["send"])
            self.begin()
        self.assertFalse(mayReconnect(1008, "rate"))
        self.assertFalse(mayReconnect(1008))
        room = self.join()
        self.wire.end(1008, "too many messages")
        self.assertEqual(room.status, "left")


class AttemptTests(ClientTestCase):
    """Bytes of a connection that was given up have no effect."""

    def test_former(self) -> None:
        """They do not keep the next connection alive."""
        room = self.join()
        former = self.wire
        self.wire.end()
        self.nextWire()
        self.wire.open()
        self.resumed(self.wire.take()[0])
        self.clock.advance(DEFAULTS.pingInterval)
        for _ in range(4):
            former.attempt.progress(1000)
            former.attempt.received(msgspec.json.encode(["msg", "r1", 1, "n", 1]), False)
            self.clock.advance(DEFAULTS.pingTimeout / 4)
        self.assertEqual(room.status, "away")
