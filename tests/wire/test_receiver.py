"""The way in: whole messages and messages in parts, controls, and what holds them up."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred

from tests.case import BINARY, PING, PONG, TEXT, closeFrame
from tests.wire.test_protocol import CONTINUATION, WireCase
from txroom import Application, Connection
from txroom.testing import clientFrame, upgradeRequest
from txroom.wire.receiver import TURN_BUDGET, WEIGHT


class MessageTests(WireCase):
    """Messages of all sizes, in all cuts."""

    def test_sizes(self) -> None:
        """Around the edges of the three lengths, text and binary."""
        self.open()
        for size in (0, 1, 125, 126, 127, 1023, 1024, 1025, 65535, 65536, 100_000):
            self.client.send(clientFrame(TEXT, "x" * size))
            self.client.send(clientFrame(BINARY, b"y" * size))
            self.assertEqual(self.events[-2:], [("message", "x" * size), ("message", b"y" * size)])

    def test_characters(self) -> None:
        """Characters of one to four bytes, and the one that the BOM is."""
        self.open()
        for text in ("aé€😀", "\ufeffx", "\0", "\U0010ffff"):
            self.client.send(clientFrame(TEXT, text))
            self.assertEqual(self.events[-1], ("message", text))

    def test_masks(self) -> None:
        """Any mask, no mask (which is one of zeros)."""
        self.open()
        for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"):
            for size in (5, 500, 5000):
                self.client.send(clientFrame(BINARY, b"z" * size, mask=mask))
                self.assertEqual(self.events[-1], ("message", b"z" * size))

    def test_manyInOne(self) -> None:
        """Many in one segment, of every kind, in order."""
        self.open()
        self.client.send(
            clientFrame(TEXT, "a")
            + clientFrame(PING, "p")
            + clientFrame(BINARY, b"b" * 300)
            + clientFrame(TEXT, "c", fin=False)
            + clientFrame(PONG, "q")
            + clientFrame(CONTINUATION, "d")
            + clientFrame(TEXT, "e" * 70_000)
            + clientFrame(TEXT, "")
        )
        self.assertEqual(
            self.events,
            [
                ("message", "a"),
                ("ping", b"p"),
                ("message", b"b" * 300),
                ("pong", b"q"),
                ("message", "cd"),
                ("message", "e" * 70_000),
                ("message", ""),
            ],
        )
        self.assertEqual(self.client.output, b"\x8a\x01p")

    def test_cuts(self) -> None:
        """However TCP cuts the stream, the same messages come."""
        stream = b"".join(
            (
                clientFrame(TEXT, "é" * 20),
                clientFrame(PING, "ping"),
                clientFrame(BINARY, b"x" * 130),
                clientFrame(TEXT, "€"[:1].encode()[:2], fin=False),
                clientFrame(PONG),
                clientFrame(CONTINUATION, "€".encode()[2:], fin=False),
                clientFrame(CONTINUATION),
                clientFrame(TEXT, "end"),
            )
        )
        chance = random.Random(1)
        self.open()
        self.client.send(stream)
        expected = self.events
        self.assertEqual(len(expected), 6)
        for _ in range(100):
            self.open()
            at = 0
            while at < len(stream):
                size = chance.choice((1, 2, 3, 7, 50, 400))
                self.client.send(stream[at : at + size])
                at += size
            self.assertEqual(self.events, expected)

    def test_splitCharacter(self) -> None:
        """A character may be cut by fragments (§5.6)."""
        self.open()
        data = "€😀".encode()
        parts = [data[at : at + 1] for at in range(len(data))]
        frames = [clientFrame(CONTINUATION, part, fin=False) for part in parts]
        self.client.send(clientFrame(TEXT, fin=False) + b"".join(frames) + clientFrame(CONTINUATION))
        self.assertEqual(self.events, [("message", "€😀")])

    def test_emptyFragments(self) -> None:
        """A message of nothing but empty frames is empty."""
        self.open()
        self.client.send(clientFrame(BINARY, fin=False) + clientFrame(CONTINUATION))
        self.assertEqual(self.events, [("message", b"")])

    def test_counted(self) -> None:
        """All are counted, however they came."""
        self.open()
        self.client.send(clientFrame(TEXT, "abc") + clientFrame(TEXT, "d", fin=False))
        self.client.send(clientFrame(CONTINUATION, "ef"))
        stats = self.harness.server.stats()
        self.assertEqual((stats.messagesReceived, stats.bytesReceived), (2, 6))


class UTF8Tests(WireCase):
    """`skipUTF8Validation`."""

    def test_skip(self) -> None:
        """What is wrong becomes U+FFFD, in whole and in fragmented messages."""
        self.open(skipUTF8Validation=True)
        self.client.send(clientFrame(TEXT, b"a\xffb"))
        self.client.send(clientFrame(TEXT, b"a\xff", fin=False) + clientFrame(CONTINUATION, b"b"))
        self.client.send(clientFrame(TEXT, "é"))
        self.assertEqual(self.events, [("message", "a\ufffdb")] * 2 + [("message", "é")])

    def test_closeReason(self) -> None:
        """A Close frame's reason is checked all the same."""
        self.open(skipUTF8Validation=True)
        self.client.send(closeFrame(1000, b"\xff"))
        self.assertFailed(1007)


class ControlTests(WireCase):
    """Pings and pongs."""

    def test_pong(self) -> None:
        """Every ping is answered with its payload, before `onPing`."""
        self.open()
        for payload in (b"", b"x", b"y" * 125):
            self.client.send(clientFrame(PING, payload))
            self.assertEqual(self.client.take(), bytes((0x8A, len(payload))) + payload)
            self.assertEqual(self.events[-1], ("ping", payload))

    def test_autoPongOff(self) -> None:
        """`autoPong=False`: the application answers."""
        self.open(autoPong=False)
        self.client.send(clientFrame(PING, "x"))
        self.assertEqual((self.client.take(), self.events), (b"", [("ping", b"x")]))
        self.connection.pong(b"x")
        self.harness.flush()
        self.assertEqual(self.client.take(), b"\x8a\x01x")

    def test_unasked(self) -> None:
        """A pong that nobody asked for is told and not answered (§5.5.3)."""
        self.open()
        self.client.send(clientFrame(PONG, "x"))
        self.assertEqual((self.client.output, self.events), (b"", [("pong", b"x")]))

    def test_merged(self) -> None:
        """Of a peer that doesn't read only the newest ping is answered, once it reads."""
        self.open()
        self.client.stall()
        self.connection.send(b"x" * 5000)
        for number in range(100):
            self.client.send(clientFrame(PING, str(number)))
        waiting = self.connection.bufferedAmount
        self.assertEqual(waiting, 5004)
        self.client.unstall()
        self.assertEqual(self.client.output[5004:], b"\x8a\x0299")

    def test_notMerged(self) -> None:
        """While it reads, all are answered."""
        self.open()
        self.client.send(b"".join(clientFrame(PING, str(number)) for number in range(100)))
        self.assertEqual(self.client.output.count(b"\x8a"), 100)

    def test_boundedPongs(self) -> None:
        """However many pings come from one that doesn't read, the answers to one read are kept for it."""
        self.open()
        self.client.stall()
        for _ in range(30):
            self.client.send(clientFrame(PING, b"x" * 125) * 50)
            self.harness.advance(0.6)
        self.assertLess(self.connection.bufferedAmount, 51 * 127)


class HoldTests(WireCase):
    """Messages that are held, and where."""

    def test_pauses(self) -> None:
        """While a hook runs nothing is read: what the peer sends stays in the kernel."""
        waiting: Deferred[None] = Deferred()
        self.open(Application(onMessage=lambda connection, message: waiting))
        self.client.send(clientFrame(TEXT, "a"))
        reading = len(self.harness.clock.readers)
        waiting.callback(None)
        self.assertEqual(len(self.harness.clock.readers), reading + 1)

    def test_notPausedNeedlessly(self) -> None:
        """A handler that pauses and resumes while it runs costs the transport nothing."""

        def handle(connection: Connection, message: str) -> None:
            connection.pause()
            connection.resume()

        calls: list[str] = []
        self.open(Application(onMessage=handle))
        transport: Any = next(
            reader for reader in self.harness.clock.readers if hasattr(reader.protocol, "connection")
        )
        self.patch(transport, "pauseProducing", lambda: calls.append("pause"))
        self.patch(transport, "resumeProducing", lambda: calls.append("resume"))
        self.client.send(clientFrame(TEXT, "a") * 3)
        self.assertEqual(calls, [])

    def turnsOf(self, data: bytes, **options: Any) -> list[int]:
        """Send that at once; the turns of the reactor in which its messages are handled."""
        turns: list[int] = []
        count = 0
        self.open(Application(onMessage=lambda connection, message: turns.append(count)), **options)
        original = self.harness.clock.turn

        def turn() -> bool:
            nonlocal count
            count += 1
            return original()

        self.patch(self.harness.clock, "turn", turn)
        self.client.send(data)
        return turns

    def test_oneATurn(self) -> None:
        """`allowSynchronousEvents=False`: one message a turn of the reactor, as in ws."""
        turns = self.turnsOf(clientFrame(TEXT, "a") * 5, allowSynchronousEvents=False)
        self.assertEqual(len(turns), 5)
        self.assertEqual(len(set(turns)), 5)

    def test_oneATurnClosed(self) -> None:
        """A connection that closes or goes meanwhile is left alone."""
        self.open(allowSynchronousEvents=False)
        self.client.protocol.transport.write(clientFrame(TEXT, "a") * 5)
        self.harness.clock.turn()
        self.connection.terminate()
        self.harness.flush()
        self.assertEqual([event for event in self.events if event[0] == "message"][1:], [])
        self.assertEqual(self.events[-1], ("disconnect", 1006, ""))

    def test_pausedByLong(self) -> None:
        """A handler that pauses gets no more, whether the message was short or long."""
        for size in (10, 70_000):
            heard: list[int] = []

            def hear(connection: Connection, message: str | bytes, heard: list[int] = heard) -> None:
                heard.append(len(message))
                connection.pause()

            self.open(Application(onMessage=hear))
            self.client.send(clientFrame(BINARY, b"x" * size) + clientFrame(TEXT, "a") * 2)
            self.assertEqual(heard, [size])
            (connection,) = self.harness.server.connections
            connection.resume()
            self.harness.flush()
            self.assertEqual(heard, [size, 1])

    def test_budget(self) -> None:
        """A burst is handled in parts, so that it doesn't hold up the others; none of it is lost."""
        heard: list[str | bytes] = []
        self.open(Application(onMessage=lambda connection, message: heard.append(message)))
        other = self.harness.raw(upgradeRequest("/"))
        self.client.protocol.transport.write(clientFrame(TEXT, "a") * (3 * TURN_BUDGET))
        other.protocol.transport.write(clientFrame(TEXT, "b"))
        self.harness.flush()
        self.assertEqual((heard.count("a"), heard.count("b")), (3 * TURN_BUDGET, 1))
        self.assertLessEqual(heard.index("b"), 2 * TURN_BUDGET)

    def test_budgetOfWork(self) -> None:
        """What the handlers of a burst send counts too: each message of this one is sent to ten."""
        heard: list[str | bytes] = []

        def say(connection: Connection, message: str | bytes) -> None:
            heard.append(message)
            connection.application.broadcast(message)

        self.open(Application(onMessage=say))
        for _ in range(8):
            self.harness.raw(upgradeRequest("/"))
        other = self.harness.raw(upgradeRequest("/"))
        self.client.protocol.transport.write(clientFrame(TEXT, "a") * TURN_BUDGET)
        other.protocol.transport.write(clientFrame(TEXT, "b"))
        self.harness.flush()
        self.assertEqual((heard.count("a"), heard.count("b")), (TURN_BUDGET, 1))
        self.assertLessEqual(heard.index("b"), 2 * TURN_BUDGET // 10)

    def test_budgetLong(self) -> None:
        """A long message may take the whole turn: what came right behind it is handled in another."""
        size = TURN_BUDGET * WEIGHT
        data = clientFrame(BINARY, b"x" * size) + clientFrame(TEXT, "a") * 2
        first, second, third = self.turnsOf(data, maxPayload=2 * size)
        self.assertLess(first, second)
        self.assertEqual(second, third)

    def turnsToClose(self, data: bytes) -> int:
        """How many turns of the reactor a connection takes that we have closed, and whose peer sends that."""
        self.open()
        self.connection.close()
        self.harness.flush()
        self.client.protocol.transport.write(data)
        turns = 0
        while not self.client.isClosed:
            self.harness.clock.turn()
            turns += 1
        self.harness.flush()
        self.assertEqual(self.events, [("disconnect", 1000, "bye")])
        return turns

    def test_budgetClosing(self) -> None:
        """Messages that come before the peer's Close are not delivered, but to parse them takes turns too."""
        close = closeFrame(1000, "bye")
        alone = self.turnsToClose(close)
        many = self.turnsToClose(clientFrame(TEXT, "a") * (3 * TURN_BUDGET) + close)
        self.assertGreaterEqual(many, alone + 2)

    def test_budgetClosingLost(self) -> None:
        """A connection that goes in the middle of that is left alone."""
        self.open()
        self.connection.close()
        self.harness.flush()
        self.client.protocol.transport.write(clientFrame(TEXT, "a") * (3 * TURN_BUDGET))
        self.harness.clock.turn()
        self.connection.terminate()
        self.harness.flush()
        self.assertEqual(self.events, [("disconnect", 1006, "")])

    def test_fair(self) -> None:
        """All messages of one read come in one turn otherwise."""
        self.open()
        self.client.protocol.transport.write(clientFrame(TEXT, "a") * 5)
        self.harness.clock.turn()
        self.harness.clock.turn()
        self.assertEqual(len(self.events), 5)


class LateTests(WireCase):
    """What comes after the end."""

    def test_afterLost(self) -> None:
        """Bytes, and a second end, of a connection that is over are nobody's."""
        self.open()
        wire: Any = self.connection._wire
        receiver = wire.receiver
        self.client.drop()
        self.harness.flush()
        receiver.dataReceived(clientFrame(TEXT, "a"))
        receiver.connectionLost()
        self.assertEqual(self.events, [("disconnect", 1006, "")])
        self.assertEqual((self.connection.lastActivity, self.connection.rtt), (wire.connectedAt, None))
