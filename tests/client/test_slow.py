"""Slow links: what flows is life, and what takes long is no failure."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.client.case import DEFAULTS, ClientTestCase, membership
from txroom.client import mayReconnect
from txroom.core.codes import MESSAGE_TIMEOUT

#: Bytes a second.
RATE = 25_000


class DownTests(ClientTestCase):
    """What comes in."""

    def trickle(self, size: int, rate: int = RATE) -> None:
        """So many bytes come in."""
        for _ in range(size // (rate // 5)):
            self.wire.attempt.progress(rate // 5)
            self.clock.advance(0.2)

    def test_largeSnapshot(self) -> None:
        """A room of 900 kB is joined at 25 kB/s, though no frame comes for longer than all timeouts."""
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
        """So is one that is resumed, and whoever sends nothing any more is given up as ever."""
        room = self.join()
        self.wire.end()
        self.nextWire()
        self.wire.open()
        [resume] = self.wire.take()
        self.trickle(600_000)
        self.resumed(resume, recovered=False)
        self.assertEqual(room.state, "joined")
        self.wire.end()
        self.nextWire()
        self.wire.open()
        self.trickle(50_000)
        self.clock.advance(DEFAULTS.pingTimeout + DEFAULTS.requestTimeout)
        self.assertEqual((room.state, self.wire.closed), ("away", (0, "")))

    def test_drops(self) -> None:
        """A byte now and then is no answer: a join has its time, and little more."""
        joining = self.client.join("chat")
        self.wire.open()
        for _ in range(3):
            self.assertNoResult(joining)
            self.wire.attempt.progress(1)
            self.clock.advance(5)
        self.assertEqual(self.codeOf(joining), "timeout")


class UpTests(ClientTestCase):
    """What goes out."""

    def upload(self, size: int) -> Any:
        """A room, and a message of that size that is on its way; the next heartbeat is behind it."""
        self.begin(maxPayload=2 << 20)
        room = self.join()
        self.wire.receive("reply", 1, None)
        self.answerPing()
        room.send("blob", "x" * size)
        self.clock.advance(DEFAULTS.pingInterval)
        return room

    def answerPing(self) -> None:
        """The server answers the pings that have come."""
        for frame in self.pings():
            self.wire.receive("reply", frame[1], None)

    def pings(self) -> list[Any]:
        return [frame for frame in self.wire.take(withPings=True) if frame[0] == "ping"]

    def test_largeMessage(self) -> None:
        """300 kB that go out at 25 kB/s aren't silence, nor is 1 MB at 4 kB/s."""
        for size, seconds in ((300_000, 12), (1_000_000, 240)):
            room = self.upload(size)
            self.clock.advance(seconds)
            self.assertEqual((room.state, self.wire.closed), ("joined", None))
            self.answerPing()
            self.clock.advance(DEFAULTS.pingInterval)
            self.assertEqual(len(self.pings()), 1)
            # What was answered has arrived, and silence is silence again.
            self.clock.advance(DEFAULTS.pingTimeout)
            self.assertEqual((room.state, self.wire.closed), ("away", (0, "")))

    def test_dead(self) -> None:
        """A peer that is gone is noticed, after a second more for each 4 KiB."""
        room = self.upload(40_960)
        self.clock.advance(DEFAULTS.pingTimeout + 9)
        self.assertEqual(room.state, "joined")
        self.clock.advance(2)
        self.assertEqual((room.state, self.wire.closed), ("away", (0, "")))

    def test_small(self) -> None:
        """Without any such the time is the usual one."""
        room = self.upload(100)
        self.clock.advance(DEFAULTS.pingTimeout)
        self.assertEqual(room.state, "away")

    def test_messageTimeout(self) -> None:
        """1008 since a message took too long is no misbehaviour; any other 1008 is final."""
        for reason in (MESSAGE_TIMEOUT, "message timeout"):
            self.assertTrue(mayReconnect(1008, reason))
            room = self.join()
            room.send("blob", "x")
            self.wire.end(1008, reason)
            self.assertEqual((room.state, self.nextWire()), ("away", 0.125))
            self.wire.open()
            self.resumed(self.wire.take()[0])
            self.assertEqual([frame[0] for frame in self.wire.take()], ["send"])
            self.begin()
        self.assertFalse(mayReconnect(1008, "rate"))
        self.assertFalse(mayReconnect(1008))
        room = self.join()
        self.wire.end(1008, "too many messages")
        self.assertEqual(room.state, "left")


class AttemptTests(ClientTestCase):
    """Bytes of a connection that was given up count for nothing."""

    def test_former(self) -> None:
        """They don't keep the next one alive."""
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
        self.assertEqual(room.state, "away")
