"""One upgraded transport: how it closes, and what its peer may not do."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.case import BINARY, CLOSE, PING, PONG, TEXT, HarnessTestCase, Recorder, closeFrame
from txroom import Application, Connection, ReadyState
from txroom.testing import RawClient, RoomHarness, clientFrame

CONTINUATION = 0


class WireCase(HarnessTestCase):
    """A recorder with one raw client."""

    def open(self, application: Application | None = None, **options: Any) -> RawClient:
        self.recorder = Recorder() if application is None else application
        self.harness: RoomHarness = self.serve(self.recorder, **options)
        self.client = self.upgraded(self.harness)
        return self.client

    @property
    def events(self) -> list[Any]:
        """All but the connects."""
        assert isinstance(self.recorder, Recorder)
        return [event for event in self.recorder.events if event[0] != "connect"]

    @property
    def connection(self) -> Connection:
        assert isinstance(self.recorder, Recorder)
        return self.recorder.connection

    def assertFailed(self, code: int, reason: str | None = None) -> None:
        """The client got one Close frame with that code, the application the same, and that was all."""
        output = self.client.take()
        self.assertEqual((output[:1], output[2:4]), (b"\x88", code.to_bytes(2, "big")), output)
        self.assertEqual(len(output), output[1] + 2)
        self.assertTrue(self.client.isClosed)
        ended = [event for event in self.events if event[0] == "disconnect"]
        self.assertEqual([event[1] for event in ended], [code])
        if reason is not None:
            self.assertEqual(ended[0][2], reason)


class PeerClosesTests(WireCase):
    """The peer begins to close."""

    def test_answer(self) -> None:
        """Its code comes back, without the reason; the connection ends at once."""
        self.open()
        self.client.send(closeFrame(1001, "bye"))
        self.assertEqual((self.client.output, self.client.isClosed), (b"\x88\x02\x03\xe9", True))
        self.assertEqual(self.events, [("disconnect", 1001, "bye")])

    def test_everyCode(self) -> None:
        """Every code that a peer may send."""
        for code in (*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999):
            self.open()
            self.client.send(closeFrame(code))
            self.assertFailed(code)

    def test_empty(self) -> None:
        """No code is 1005, and answered without one."""
        self.open()
        self.client.send(clientFrame(CLOSE))
        self.assertEqual(self.client.output, b"\x88\x00")
        self.assertEqual(self.events, [("disconnect", 1005, "")])

    def test_badCodes(self) -> None:
        """1002."""
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535):
            self.open()
            self.client.send(closeFrame(code))
            self.assertFailed(1002)

    def test_badPayloads(self) -> None:
        """Half a code 1002, a reason that is no UTF-8 1007."""
        self.open()
        self.client.send(clientFrame(CLOSE, b"\x03"))
        self.assertFailed(1002)
        self.open()
        self.client.send(closeFrame(1000, b"\xff\xfe"))
        self.assertFailed(1007)

    def test_longReason(self) -> None:
        """As long as fits."""
        self.open()
        self.client.send(closeFrame(1000, "x" * 123))
        self.assertEqual(self.events, [("disconnect", 1000, "x" * 123)])

    def test_nothingAfter(self) -> None:
        """What follows the Close frame isn't looked at, in the same segment or later."""
        self.open()
        self.client.send(closeFrame(1000) + clientFrame(TEXT, "x") + b"\xff" * 100)
        self.client.send(clientFrame(TEXT, "y"))
        self.assertEqual(self.events, [("disconnect", 1000, "")])

    def test_inFragments(self) -> None:
        """Amid a fragmented message, which is never delivered."""
        self.open()
        self.client.send(clientFrame(TEXT, "x", fin=False) + closeFrame(1000))
        self.assertEqual(self.events, [("disconnect", 1000, "")])

    def test_underBackpressure(self) -> None:
        """What was queued goes out before the answer, if the peer reads."""
        self.open()
        self.client.stall()
        self.connection.send("x" * 1000)
        self.client.send(closeFrame(1000))
        self.assertFalse(self.client.isClosed)
        self.client.unstall()
        self.assertEqual(len(self.client.output), 4 + 1000 + 4)
        self.assertEqual(self.events, [("disconnect", 1000, "")])

    def test_neverReads(self) -> None:
        """If it doesn't, it is dropped at `closeTimeout`, with the code it gave."""
        self.open(closeTimeout=5)
        self.client.stall()
        self.connection.send("x" * 1000)
        self.client.send(closeFrame(1000))
        self.harness.advance(4.9)
        self.assertEqual(self.events, [])
        self.harness.advance(0.3)
        self.assertEqual(self.events, [("disconnect", 1000, "")])


class WeCloseTests(WireCase):
    """We begin to close."""

    def test_frame(self) -> None:
        """Code and reason; the connection stays until the answer."""
        self.open()
        self.connection.close(4000, "bye")
        self.harness.flush()
        self.assertEqual((self.client.take(), self.client.isClosed), (b"\x88\x05\x0f\xa0bye", False))
        self.client.send(closeFrame(4000))
        self.assertEqual((self.client.output, self.client.isClosed), (b"", True))
        self.assertEqual(self.events, [("disconnect", 4000, "")])

    def test_everyCode(self) -> None:
        """All that an endpoint may send."""
        for code in (*range(1000, 1004), *range(1007, 1015), 3000, 4999):
            self.open()
            self.connection.close(code)
            self.harness.flush()
            self.assertEqual(self.client.output, b"\x88\x02" + code.to_bytes(2, "big"))

    def test_otherCode(self) -> None:
        """`onDisconnect` tells the peer's code, if it is another."""
        self.open()
        self.connection.close(4000)
        self.client.send(closeFrame(4001, "no, this"))
        self.assertEqual(self.events, [("disconnect", 4001, "no, this")])

    def test_noAnswer(self) -> None:
        """A peer that never answers is dropped at `closeTimeout`: 1006."""
        self.open(closeTimeout=5)
        self.connection.close(4000)
        self.harness.advance(4.9)
        self.assertFalse(self.client.isClosed)
        self.harness.advance(0.3)
        self.assertTrue(self.client.isClosed)
        self.assertEqual(self.events, [("disconnect", 1006, "")])

    def test_noTimeout(self) -> None:
        """`closeTimeout=0`: as long as it takes."""
        self.open(closeTimeout=0)
        self.connection.close(4000)
        self.harness.advance(3600)
        self.assertFalse(self.client.isClosed)
        self.client.send(closeFrame(4000))
        self.assertEqual(self.events, [("disconnect", 4000, "")])

    def test_neverReads(self) -> None:
        """Nor does a peer that doesn't read keep the connection."""
        self.open(closeTimeout=5)
        self.client.stall()
        self.connection.send("x" * 1000)
        self.connection.close()
        self.harness.advance(5.2)
        self.client.unstall()
        self.assertTrue(self.client.isClosed)
        self.assertEqual(self.events, [("disconnect", 1006, "")])

    def test_reset(self) -> None:
        """A peer that resets in place of an answer: 1006."""
        self.open()
        self.connection.close()
        self.client.drop()
        self.assertEqual(self.events, [("disconnect", 1006, "")])

    def test_messagesMeanwhile(self) -> None:
        """Messages that were under way when we closed aren't delivered, nor are pings answered."""
        self.open()
        self.connection.close()
        self.harness.flush()
        self.client.take()
        self.client.send(
            clientFrame(TEXT, "x")
            + clientFrame(PING, "y")
            + clientFrame(BINARY, b"z", fin=False)
            + clientFrame(CONTINUATION, b"z")
            + clientFrame(PONG)
        )
        self.assertEqual((self.events, self.client.output), ([], b""))
        self.client.send(closeFrame(1000))
        self.assertEqual(self.events, [("disconnect", 1000, "")])

    def test_both(self) -> None:
        """Both at the same time: one Close frame each."""
        self.open()
        self.client.stall()
        self.connection.close(4000)
        self.client.send(closeFrame(4001))
        self.client.unstall()
        self.assertEqual(self.client.output, b"\x88\x02\x0f\xa0")
        self.assertEqual(self.events, [("disconnect", 4001, "")])

    def test_wrongMeanwhile(self) -> None:
        """A peer that breaks the rules while we close is let go at once."""
        self.open()
        self.connection.close(4000)
        self.harness.flush()
        self.client.take()
        self.client.send(clientFrame(3))
        self.assertEqual((self.client.output, self.client.isClosed), (b"", True))
        self.assertEqual([event[1] for event in self.events], [1002])

    def test_nothingSentAfter(self) -> None:
        """No frame follows the Close frame, whatever is called."""
        self.open()
        connection = self.connection
        connection.close()
        connection.send("x")
        connection.ping()
        connection.pong()
        connection.close(4000)
        self.harness.flush()
        self.assertEqual(self.client.output, b"\x88\x02\x03\xe8")

    def test_inConnect(self) -> None:
        """`onConnect` may close at once; early frames aren't delivered."""
        messages: list[Any] = []
        self.open(
            Application(
                onConnect=lambda connection: connection.close(4000),
                onMessage=lambda connection, message: messages.append(message),
            )
        )
        self.client.send(clientFrame(TEXT, "x") + closeFrame(4000))
        self.assertEqual(messages, [])
        self.assertEqual((self.client.output, self.client.isClosed), (b"\x88\x02\x0f\xa0", True))

    def test_inDisconnect(self) -> None:
        """Calls in `onDisconnect` do nothing."""

        def disconnected(connection: Connection, code: int, reason: str) -> None:
            connection.close()
            connection.terminate()
            connection.pause()
            states.append(connection.readyState)

        states: list[ReadyState] = []
        self.open(Application(onDisconnect=disconnected))
        self.client.send(closeFrame(1000))
        self.assertEqual(states, [ReadyState.CLOSED])

    def test_terminateAfterClose(self) -> None:
        """`terminate` doesn't wait for an answer."""
        self.open()
        self.connection.close()
        self.connection.terminate()
        self.harness.flush()
        self.assertTrue(self.client.isClosed)
        self.assertEqual(self.events, [("disconnect", 1006, "")])

    def test_terminateWithData(self) -> None:
        """What lies there unread isn't delivered after `terminate`."""

        def handle(connection: Connection, message: str) -> None:
            messages.append(message)
            connection.terminate()

        messages: list[str] = []
        self.open(Application(onMessage=handle))
        self.client.send(clientFrame(TEXT, "a") + clientFrame(TEXT, "b") + clientFrame(PING))
        self.assertEqual((messages, self.client.output), (["a"], b""))


class ViolationTests(WireCase):
    """What a peer may not do, the code it is told, and nothing more from it (RFC 6455 §5, §7.4.1)."""

    def check(self, data: bytes, code: int, delivered: int = 0, **options: Any) -> None:
        self.open(**options)
        self.client.send(data + clientFrame(TEXT, "never") + clientFrame(PING, "never"))
        self.assertFailed(code)
        self.assertEqual(len(self.events), delivered + 1)

    def test_reservedBits(self) -> None:
        """RSV without an extension."""
        for opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            for rsv in range(1, 8):
                self.check(clientFrame(opcode, rsv=rsv), 1002)

    def test_reservedOpcodes(self) -> None:
        """3-7 and 11-15."""
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            self.check(clientFrame(opcode), 1002)

    def test_unmasked(self) -> None:
        """Clients mask (§5.1)."""
        for opcode in (TEXT, BINARY, PING, CLOSE):
            self.check(clientFrame(opcode, b"\x03\xe8", mask=None), 1002)

    def test_lengths(self) -> None:
        """The length in more bytes than it needs, or with the top bit set."""
        for head in (
            b"\x81\xfe\x00\x7d" + b"mask" + b"x" * 125,
            b"\x82\xfe\x00\x00" + b"mask",
            b"\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff",
            b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00",
            b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ):
            self.check(head, 1002, maxPayload=0)

    def test_controls(self) -> None:
        """Control frames longer than 125 bytes, or fragmented."""
        for opcode in (CLOSE, PING, PONG):
            self.check(clientFrame(opcode, b"x" * 126), 1002)
            self.check(clientFrame(opcode, fin=False), 1002)

    def test_fragments(self) -> None:
        """A continuation of nothing; a new message amid another."""
        self.check(clientFrame(CONTINUATION, b"x"), 1002)
        self.check(clientFrame(CONTINUATION, b"x", fin=False), 1002)
        for opcode in (TEXT, BINARY):
            self.check(clientFrame(TEXT, b"x", fin=False) + clientFrame(opcode, b"x"), 1002)

    def test_text(self) -> None:
        """Text that isn't UTF-8: overlong, surrogates, beyond, cut, bytes that never occur."""
        for bad in (
            b"\xff",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"ok \xc3",
            b"\x80",
            b"\xf8\x88\x80\x80\x80",
        ):
            self.check(clientFrame(TEXT, bad), 1007)
            self.check(clientFrame(TEXT, bad[:1], fin=False) + clientFrame(CONTINUATION, bad[1:]), 1007)

    def test_textSoon(self) -> None:
        """Wrong text is noticed as soon as it can be, before the message is complete."""
        self.open()
        self.client.send(clientFrame(TEXT, b"ok \xff", fin=False))
        self.assertFailed(1007)

    def test_afterGood(self) -> None:
        """What came before the error is delivered, what came after isn't."""
        self.check(clientFrame(TEXT, "good") + clientFrame(TEXT, b"\xff"), 1007, delivered=1)
        self.check(clientFrame(TEXT, "x" * 200) + clientFrame(PONG) + clientFrame(3), 1002, delivered=2)

    def test_tooLong(self) -> None:
        """1009 at the header already, before a byte of it has come."""
        self.open(maxPayload=100)
        self.client.send(b"\x82\xe5mask")
        self.assertFailed(1009, "message longer than 100 bytes")

    def test_exactly(self) -> None:
        """A message of exactly the limit passes, at every length of the length."""
        for limit in (1, 125, 126, 65535, 65536):
            self.open(maxPayload=limit)
            self.client.send(clientFrame(BINARY, b"x" * limit))
            self.assertEqual(self.events, [("message", b"x" * limit)])
            self.client.send(clientFrame(BINARY, b"x" * (limit + 1)))
            self.assertFailed(1009)

    def test_tooLongInFragments(self) -> None:
        """The fragments together."""
        self.open(maxPayload=10)
        self.client.send(clientFrame(TEXT, "x" * 6, fin=False))
        self.client.send(clientFrame(CONTINUATION, "x" * 5, fin=False))
        self.assertFailed(1009)

    def test_manyFragments(self) -> None:
        """As many as are allowed, empty ones count; one more: 1008."""
        empty = clientFrame(CONTINUATION, fin=False)
        self.open(maxFragments=5)
        self.client.send(clientFrame(TEXT, "x", fin=False) + empty * 3 + clientFrame(CONTINUATION))
        self.assertEqual(self.events, [("message", "x")])
        self.client.send(clientFrame(TEXT, "x", fin=False) + empty * 5)
        self.assertFailed(1008, "more than 5 fragments")

    def test_unlimited(self) -> None:
        """0 is no limit, for both."""
        self.open(maxFragments=0, maxPayload=0)
        self.client.send(clientFrame(BINARY, b"x" * 2_000_000, fin=False))
        self.client.send(clientFrame(CONTINUATION, b"x", fin=False) * 3000 + clientFrame(CONTINUATION))
        ((_, message),) = self.events
        self.assertEqual(len(message), 2_003_000)

    def test_stillReads(self) -> None:
        """After a failure the peer may go on sending; it is read no more, and gets no second answer."""
        self.open()
        self.client.stall()
        self.client.send(clientFrame(3))
        for _ in range(10):
            self.client.send(clientFrame(TEXT, "x" * 1000))
        self.client.unstall()
        self.assertFailed(1002)

    def test_failTimeout(self) -> None:
        """One that neither reads nor closes is dropped at `closeTimeout`."""
        self.open(closeTimeout=3)
        self.client.stall()
        self.connection.send("x")
        self.client.send(clientFrame(3))
        self.harness.advance(2.9)
        self.assertEqual(self.events, [])
        self.harness.advance(0.3)
        self.assertEqual([event[1] for event in self.events], [1002])

    def test_reasons(self) -> None:
        """Every failure tells why, in what fits a Close frame."""
        self.open()
        self.client.send(clientFrame(3))
        reason = self.events[0][2]
        self.assertTrue(0 < len(reason.encode()) <= 123, reason)
        self.assertTrue(self.client.output.endswith(reason.encode()))


class TimeTests(WireCase):
    """`messageTimeout`: a message that is begun is finished in time."""

    def check(self, *parts: bytes) -> None:
        """The first part begins a message; the others come, but don't finish it."""
        self.open(messageTimeout=10, pingInterval=0)
        first, *others = parts
        self.client.send(first)
        for part in others:
            self.harness.advance(9.8 / len(others))
            self.client.send(part)
        self.harness.advance(0.1 if others else 9.8)
        self.assertEqual(self.events, [])
        self.harness.advance(0.4)
        self.assertFailed(1008, "message not complete in time")

    def test_fragments(self) -> None:
        """However many fragments come meanwhile."""
        self.check(clientFrame(TEXT, "x", fin=False), *[clientFrame(CONTINUATION, "y", fin=False)] * 9)

    def test_frame(self) -> None:
        """A frame that trickles."""
        data = clientFrame(TEXT, "x" * 100)
        self.check(data[:50], *[data[at : at + 1] for at in range(50, 60)])

    def test_header(self) -> None:
        """A header that isn't complete."""
        self.check(b"\x81")

    def test_slowLink(self) -> None:
        """900 kB at 25 kB/s take longer than the timeout, and are delivered."""
        self.open(messageTimeout=30, pingInterval=0)
        data = clientFrame(BINARY, bytes(900_000))
        for at in range(0, len(data), 25_000):
            self.client.send(data[at : at + 25_000])
            self.harness.advance(1)
        self.assertEqual([(name, len(message)) for name, message in self.events], [("message", 900_000)])

    def test_slowFragments(self) -> None:
        """So are they in fragments, of which all that came counts."""
        self.open(messageTimeout=10, pingInterval=0)
        for index in range(30):
            opcode = CONTINUATION if index else BINARY
            self.client.send(clientFrame(opcode, bytes(8192), fin=index == 29))
            self.harness.advance(1.9)
        self.assertEqual([(name, len(message)) for name, message in self.events], [("message", 30 * 8192)])

    def test_trickle(self) -> None:
        """A peer that sends less than 4 KiB a second gets no longer than that is worth."""
        self.open(messageTimeout=10, pingInterval=0)
        self.client.send(clientFrame(BINARY, bytes(1 << 20))[:20_014])
        for _ in range(13):
            self.harness.advance(1)
            self.client.send(b"\0")
        self.assertEqual(self.events, [])
        self.harness.advance(1.5)
        self.assertFailed(1008, "message not complete in time")

    def test_controlsBetween(self) -> None:
        """Pings between don't stretch it."""
        self.open(messageTimeout=10, pingInterval=0)
        self.client.send(clientFrame(TEXT, "x", fin=False))
        for _ in range(11):
            self.harness.advance(0.95)
            self.client.send(clientFrame(PING))
        self.client.take()
        self.assertIn(1008, [event[1] for event in self.events])

    def test_complete(self) -> None:
        """Messages that are complete have no deadline; each has its own."""
        self.open(messageTimeout=10, pingInterval=0)
        for _ in range(5):
            self.client.send(clientFrame(TEXT, "x", fin=False))
            self.harness.advance(8)
            self.client.send(clientFrame(CONTINUATION, "y"))
            self.harness.advance(8)
        self.assertEqual(self.events, [("message", "xy")] * 5)

    def test_off(self) -> None:
        """0: no deadline."""
        self.open(messageTimeout=0, pingInterval=0)
        self.client.send(clientFrame(TEXT, "x", fin=False))
        self.harness.advance(3600)
        self.client.send(clientFrame(CONTINUATION, "y"))
        self.assertEqual(self.events, [("message", "xy")])

    def test_paused(self) -> None:
        """While the application has paused, it isn't the peer who is late."""
        self.open(messageTimeout=10, pingInterval=0)
        self.client.send(clientFrame(TEXT, "x", fin=False))
        self.connection.pause()
        self.harness.advance(60)
        self.client.send(clientFrame(CONTINUATION, "y"))
        self.connection.resume()
        self.harness.flush()
        self.assertEqual(self.events, [("message", "xy")])

    def test_heldMessages(self) -> None:
        """Whole messages that wait for a handler aren't incomplete ones."""
        waiting: list[Deferred[None]] = []

        def handle(connection: Connection, message: str) -> Deferred[None]:
            waiting.append(Deferred())
            return waiting[-1]

        self.open(Recorder(onMessage=handle), messageTimeout=1, pingInterval=0)
        self.client.send(clientFrame(TEXT, "x") * 3)
        for index in range(3):
            self.harness.advance(5)
            waiting[index].callback(None)
        self.harness.advance(5)
        self.assertEqual((len(waiting), self.events), (3, []))


class GarbageTests(HarnessTestCase):
    """A connection that is over leaves nothing for the collector."""

    def test_none(self) -> None:
        """However it ended, and whatever it has had."""
        endings: list[Callable[[Any, Connection], object]] = [
            lambda client, connection: client.drop(),
            lambda client, connection: connection.terminate(),
            lambda client, connection: client.send(closeFrame(1000)),
            lambda client, connection: client.send(clientFrame(TEXT, b"\xff")),
        ]
        harness = self.serve(Application())
        for end in endings:
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                self.connected(harness, end)
                self.assertEqual(harness.server.connections, [])
                gc.collect()
                left = [each for each in gc.garbage if type(each).__module__.startswith("txroom.wire")]
                self.assertEqual(left, [])
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()

    def connected(self, harness: RoomHarness, end: Callable[[Any, Connection], object]) -> None:
        """One connection, of which nothing is kept here."""
        client = self.upgraded(harness)
        (connection,) = harness.server.connections
        client.send(clientFrame(PING, "x") + clientFrame(TEXT, "a", fin=False))
        connection.pause()
        connection.resume()
        end(client, connection)
        client.drop()
        harness.flush()
