"""
Nobody is late for what was not read, and nobody is silent whose bytes still flow.

The reactor of the tests does as a real one: when it comes late, it first runs what is due, then reads.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.case import BINARY, PING, PONG, TEXT, HarnessTestCase, Recorder, closeFrame
from tests.wire.test_timerwheel import Item
from txroom import Application
from txroom.testing import MemoryReactor, RawClient, RoomHarness, clientFrame, upgradeRequest
from txroom.wire.closehandshake import MAX_EARNED
from txroom.wire.timerwheel import LATE, STANDSTILL, TICK, TimerWheel


class TimerWheelTests(SynchronousTestCase):
    """A look that comes late."""

    def setUp(self) -> None:
        self.clock = MemoryReactor()
        self.wheel = TimerWheel(self.clock)
        self.told: list[tuple[Any, float]] = []
        self.wheel.schedule(Item(self.told), self.clock.seconds() + 5.0)

    def late(self, seconds: float) -> None:
        """One turn of a reactor that hasn't turned for so long."""
        self.clock.rightNow += seconds
        self.clock.turn()

    def test_putOff(self) -> None:
        """It is put off by one turn, in which the reactor reads; then it is made, however late that is."""
        self.late(5.2 + LATE)
        self.assertEqual(self.told, [])
        self.late(0)
        self.assertEqual(len(self.told), 1)
        self.wheel.schedule(Item(self.told), self.clock.seconds() + 1)
        self.late(100)
        self.assertEqual(len(self.told), 1)
        self.late(100)
        self.assertEqual(len(self.told), 2)

    def test_lost(self) -> None:
        """How long the process stood still, as far as that is after a time; a busy moment isn't that."""
        began = self.clock.seconds()
        self.late(STANDSTILL + 2 * TICK)
        self.late(0)
        lost = self.wheel.lostSince(began)
        self.assertLess(abs(lost - STANDSTILL), 3 * TICK)
        for _ in range(4):
            self.late(TICK + LATE)
            self.late(0)
        self.assertEqual(self.wheel.lostSince(began), lost)
        middle = self.clock.seconds()
        self.late(10)
        self.late(0)
        self.assertLess(abs(self.wheel.lostSince(began) - lost - 10), 2 * TICK)
        self.assertLess(abs(self.wheel.lostSince(middle + 4) - 6), 2 * TICK)
        self.assertEqual(self.wheel.lostSince(self.clock.seconds()), 0)

    def test_bounded(self) -> None:
        """Only the last ones are remembered."""
        began = self.clock.seconds()
        for _ in range(200):
            self.wheel.schedule(Item(self.told), self.clock.seconds())
            self.late(2)
            self.late(0)
        self.assertLess(self.wheel.lostSince(began), 200)
        self.assertEqual(len(self.told), 201)


class StandstillCase(HarnessTestCase):
    """A server whose process stands still for a while."""

    def open(self, app: Application | None = None, spread: float = 1.0, **options: Any) -> RawClient:
        self.patch(sys.modules["txroom.wire.heartbeat"], "random", lambda: spread)
        self.app = app or Recorder()
        self.harness: RoomHarness = self.serve(self.app, **options)
        self.client = self.upgraded(self.harness)
        return self.client

    def standStill(self, seconds: float, client: RawClient, data: bytes) -> None:
        """Time goes by, and what the client sent meanwhile lies in the socket."""
        self.harness.clock.rightNow += seconds
        client.send(data)
        self.harness.advance(TICK)

    def events(self, name: str) -> list[Any]:
        assert isinstance(self.app, Recorder)
        return self.app.named(name)


class LateTests(StandstillCase):
    """Each deadline of a client, after a standstill that is longer than it."""

    def test_pong(self) -> None:
        """Answers to pings that nobody could read yet, of sixty clients."""
        self.open(pingInterval=10, pingTimeout=5)
        clients = [self.client, *(self.upgraded(self.harness) for _ in range(59))]
        self.harness.advance(10)
        pongs = [clientFrame(PONG, client.take()[2:]) for client in clients]
        self.harness.clock.rightNow += 60
        for client, pong in zip(clients, pongs, strict=True):
            client.protocol.transport.write(pong)
        self.harness.advance(9)
        self.assertEqual((self.events("disconnect"), len(self.harness.server.connections)), ([], 60))

    def test_dead(self) -> None:
        """A peer that really doesn't answer is dropped all the same, once it has had its time."""
        self.open(pingInterval=10, pingTimeout=5)
        self.harness.advance(10)
        self.standStill(60, self.client, b"")
        self.harness.advance(4)
        self.assertEqual(self.events("disconnect"), [])
        self.harness.advance(2)
        self.assertEqual(self.events("disconnect"), [(1011, "no heartbeat")])

    def test_message(self) -> None:
        """A message of which a part was read: the rest lies in the socket, and more of it is on its way."""
        self.open(messageTimeout=10, pingInterval=0)
        data = clientFrame(BINARY, bytes(200_000))
        self.client.send(data[:100])
        self.standStill(100, self.client, data[100:70_000])
        self.harness.advance(9)
        self.client.send(data[70_000:])
        self.assertEqual([len(message) for message in self.events("message")], [200_000])

    def test_idle(self) -> None:
        """A message that lies in the socket."""
        self.open(idleTimeout=20, pingInterval=0)
        self.standStill(50, self.client, clientFrame(TEXT, "here"))
        self.harness.advance(5)
        self.assertEqual((self.events("message"), self.events("disconnect")), (["here"], []))
        self.harness.advance(20)
        self.assertEqual(self.events("disconnect"), [])
        self.assertTrue(self.client.output.endswith(b"idle"))

    def test_close(self) -> None:
        """The answer to our Close frame."""
        self.open(closeTimeout=3)
        assert isinstance(self.app, Recorder)
        self.app.connection.close(4000, "bye")
        self.standStill(30, self.client, closeFrame(4000))
        self.assertEqual(self.events("disconnect"), [(4000, "")])

    def test_head(self) -> None:
        """The rest of a request."""
        self.open(handshakeTimeout=5)
        request = upgradeRequest()
        client = self.harness.raw(request[:40])
        self.standStill(30, client, request[40:])
        self.assertIn(b"HTTP/1.1 101 ", client.output)
        slow = self.harness.raw(request[:40])
        self.standStill(30, slow, b"")
        self.harness.advance(4)
        self.assertEqual(slow.output, b"")
        self.harness.advance(2)
        self.assertIn(b"HTTP/1.1 408 ", slow.output)

    def test_hook(self) -> None:
        """A hook had no time to decide either."""
        waiting: Deferred[bool] = Deferred()
        self.app = Recorder(verifyClient=lambda handshake: waiting)
        self.harness = self.serve(self.app, handshakeTimeout=5)
        client = self.harness.raw(upgradeRequest())
        self.standStill(30, client, b"")
        self.assertEqual(client.output, b"")
        waiting.callback(True)
        self.harness.flush()
        self.assertIn(b"HTTP/1.1 101 ", client.output)

    def test_paused(self) -> None:
        """A pong that came while reading was paused is read before its sender is judged."""
        self.open(spread=0.0, pingInterval=25, pingTimeout=5)
        self.harness.advance(12.5)
        pong = clientFrame(PONG, self.client.take()[2:])
        assert isinstance(self.app, Recorder)
        self.app.connection.pause()
        self.client.send(pong)
        self.harness.advance(40)
        self.assertEqual(self.events("disconnect"), [])


class FlowTests(StandstillCase):
    """Bytes that flow."""

    def close(self, **options: Any) -> None:
        self.open(closeTimeout=10, pingInterval=0, **options)
        assert isinstance(self.app, Recorder)
        self.client.stall()
        self.app.connection.send(bytes(300_000))
        self.app.connection.close(4000, "bye")

    def test_slowReader(self) -> None:
        """A peer that takes 25 kB/s gets all that was sent before our Close frame, and answers in peace."""
        self.close()
        for _ in range(14):
            self.client.unstall(25_000)
            self.harness.advance(1)
        self.assertEqual(self.events("disconnect"), [])
        self.assertTrue(self.client.output.endswith(b"bye"))
        self.client.unstall()
        self.client.send(closeFrame(4000))
        self.assertEqual(self.events("disconnect"), [(4000, "")])

    def test_trickle(self) -> None:
        """One that takes a little now and then doesn't stay for ever."""
        self.close()
        for _ in range(30):
            self.client.unstall(100)
            self.harness.advance(1)
        self.assertEqual(self.events("disconnect"), [(1006, "")])

    def test_stops(self) -> None:
        """What it took earns no time to a peer that has stopped taking anything."""
        self.close()
        self.client.unstall(250_000)
        self.harness.advance(13)
        self.assertEqual(self.events("disconnect"), [(1006, "")])

    def test_flood(self) -> None:
        """After it broke a rule a peer earns nothing by what it sends."""
        self.open(closeTimeout=10, pingInterval=0)
        assert isinstance(self.app, Recorder)
        self.client.stall()
        self.app.connection.send(bytes(300_000))
        self.client.send(b"\xff" * 2)
        for _ in range(11):
            self.client.send(bytes(50_000))
            self.harness.advance(1)
        self.assertEqual([code for code, _ in self.events("disconnect")], [1002])

    def test_upload(self) -> None:
        """One whose answer comes behind what it was sending."""
        self.open(closeTimeout=10, pingInterval=0)
        assert isinstance(self.app, Recorder)
        data = clientFrame(BINARY, bytes(600_000))
        self.client.send(data[:25_000])
        self.app.connection.close(4000, "bye")
        for at in range(25_000, len(data), 25_000):
            self.harness.advance(1)
            self.client.send(data[at : at + 25_000])
        self.client.send(closeFrame(4000))
        self.assertEqual((self.events("message"), self.events("disconnect")), ([], [(4000, "")]))

    def test_endless(self) -> None:
        """One that sends without end earns no more than 1 MiB is worth."""
        self.open(closeTimeout=10, pingInterval=0, maxPayload=0)
        assert isinstance(self.app, Recorder)
        self.app.connection.close(4000, "bye")
        frame = clientFrame(BINARY, bytes(8000))
        for _ in range(MAX_EARNED // 4096):
            self.harness.advance(1)
            self.client.send(frame)
        self.assertEqual(self.events("disconnect"), [])
        for _ in range(11):
            self.harness.advance(1)
            self.client.send(frame)
        self.assertEqual(self.events("disconnect"), [(1006, "")])

    def test_idleUpload(self) -> None:
        """A long message isn't idleness; what comes of it counts, pings don't."""
        self.open(idleTimeout=5, pingInterval=0)
        data = clientFrame(BINARY, bytes(500_000))
        for at in range(0, len(data), 25_000):
            self.client.send(data[at : at + 25_000])
            self.harness.advance(1)
        self.assertEqual(len(self.events("message")), 1)
        for _ in range(6):
            self.client.send(clientFrame(PING))
            self.harness.advance(1)
        self.assertTrue(self.client.output.endswith(b"idle"))


class PayloadTests(StandstillCase):
    """The heartbeat's payload."""

    def test_random(self) -> None:
        """It says nothing, not even the time of the host, and is another one each time."""
        self.open(pingInterval=10, pingTimeout=5)
        payloads = []
        for _ in range(20):
            self.harness.advance(10)
            payload = self.client.take()[2:10]
            payloads.append(payload)
            self.client.send(clientFrame(PONG, payload))
        self.assertEqual({len(payload) for payload in payloads}, {8})
        self.assertEqual(len(set(payloads)), 20)
        # A clock's readings would have their first bytes in common.
        self.assertGreater(len({payload[0] for payload in payloads}), 5)
        assert isinstance(self.app, Recorder)
        self.assertEqual(self.events("pong"), [])

    def test_roundTrip(self) -> None:
        """Measured from when it was sent, not from what the client says."""
        self.open(pingInterval=10, pingTimeout=5)
        while not (output := self.client.take()):
            self.harness.advance(0.1)
        self.harness.advance(2)
        self.client.send(clientFrame(PONG, output[2:]))
        assert isinstance(self.app, Recorder)
        assert self.app.connection.rtt is not None
        self.assertLess(abs(self.app.connection.rtt - 2), 0.2)
