"""One connection to Redis: replies, pushes, and what is overdue."""

from __future__ import annotations

from typing import Any

from hiredis import ProtocolError
from twisted.internet.interfaces import ITCPTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from tests.case import fired
from tests.engine.redis.server import OK, PONG, Wire, push
from txroom.engine.redis.resp import Aging, Connection, Lost, NotSent, RedisError


class Events:
    """Records what a connection reports."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.onLost = lambda: None

    def connected(self, connection: Connection) -> None:
        self.events.append("connected")

    def pushed(self, message: list[Any]) -> None:
        self.events.append(message)

    def received(self) -> None:
        self.events.append("received")

    def unsent(self, reply: Any, why: str) -> None:
        self.events.append("unsent")
        reply(NotSent(why))

    def disconnected(self, connection: Connection, why: str) -> None:
        self.events.append(("disconnected", why))
        self.onLost()

    def take(self) -> list[Any]:
        events, self.events = self.events, []
        return events


class ConnectionTestCase(SynchronousTestCase):
    """Tests with one connection whose commands and replies go through `self.wire`."""

    def setUp(self) -> None:
        self.receiver = Events()
        self.connection = Connection(self.receiver, 4)
        self.wire = Wire()
        self.wire.protocol = self.connection
        self.connection.makeConnection(self.wire)
        self.assertEqual(self.receiver.take(), ["connected"])

    def note(self, reply: Any) -> None:
        """Add a reply to the events."""
        self.receiver.events.append(reply)


class ReplyTests(ConnectionTestCase):
    """Each command gets its own reply."""

    def test_order(self) -> None:
        """Replies that arrive together are given out in the order of the commands, and then reported once."""
        self.connection.send(self.note, "SET", b"k\x00", 1)
        self.connection.send(self.note, "GET", b"k\x00")
        self.assertEqual(self.wire.commands(), [["SET", "k\x00", "1"], ["GET", "k\x00"]])
        self.wire.reply(OK, b"$1\r\n1\r\n")
        self.assertEqual(self.receiver.take(), [b"OK", b"1", "received"])

    def test_kinds(self) -> None:
        """Replies are plain data; an error is an exception, also inside of a list."""
        for raw, expected in (
            (b":7\r\n", 7),
            (b",1.5\r\n", 1.5),
            (b"#t\r\n", True),
            (b"_\r\n", None),
            (b"$-1\r\n", None),
            (b"*2\r\n:1\r\n*0\r\n", [1, []]),
            (b"~1\r\n:1\r\n", [1]),
            (b"%1\r\n+a\r\n:1\r\n", {b"a": 1}),
        ):
            self.connection.send(self.note, "X")
            self.wire.reply(raw)
            self.assertEqual(self.receiver.take(), [expected, "received"])
        self.connection.send(self.note, "X")
        self.wire.reply(b"*1\r\n-ERR inside\r\n")
        [[error], _] = self.receiver.take()
        self.assertIsInstance(error, RedisError)

    def test_partial(self) -> None:
        """A reply may arrive byte by byte."""
        self.connection.send(self.note, "X")
        for byte in b"*2\r\n$3\r\nabc\r\n:12\r\n":
            self.wire.reply(bytes([byte]))
        self.assertEqual([each for each in self.receiver.take() if each != "received"], [[b"abc", 12]])

    def test_ask(self) -> None:
        """A Deferred fires with the reply, or fails with the error."""
        good, bad = self.connection.ask("A"), self.connection.ask("B")
        self.wire.reply(b"+fine\r\n", b"-ERR wrong\r\n")
        self.assertEqual(self.successResultOf(good), b"fine")
        self.assertEqual(str(self.failureResultOf(bad, RedisError).value), "ERR wrong")

    def test_cancelled(self) -> None:
        """The reply to a Deferred that was cancelled is dropped; others get theirs."""
        first, second = fired(one := self.connection.ask("A")), self.connection.ask("B")
        one.cancel()
        self.wire.reply(OK, PONG)
        self.assertEqual(len(first), 1)
        self.assertEqual(self.successResultOf(second), b"PONG")

    def test_raises(self) -> None:
        """A callback that raises is logged, and harms no other."""

        def broken(reply: Any) -> None:
            raise ZeroDivisionError

        self.connection.send(broken, "A")
        self.connection.send(self.note, "B")
        self.wire.reply(OK, PONG)
        self.assertEqual(self.receiver.take(), [b"PONG", "received"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_arguments(self) -> None:
        """An argument of a wrong type raises at once, and nothing is sent."""
        for wrong in (None, True, ["x"]):
            self.assertRaises(TypeError, self.connection.send, self.note, "A", wrong)
        self.assertEqual((self.wire.commands(), self.connection.count), ([], 0))

    def test_counts(self) -> None:
        """The connection knows how many commands and bytes have no reply yet."""
        self.connection.send(self.note, "PING")
        self.connection.send(self.note, "PING")
        self.assertEqual((self.connection.count, self.connection.size), (2, 28))
        self.wire.reply(PONG)
        self.assertEqual((self.connection.count, self.connection.size), (1, 14))

    def test_noDelay(self) -> None:
        """TCP sends small commands at once."""
        told: list[bool] = []
        transport: Any = Wire()
        transport.setTcpNoDelay = told.append
        directlyProvides(transport, ITCPTransport)
        Connection(self.receiver, 4).makeConnection(transport)
        self.assertEqual(told, [True])


class PushTests(ConnectionTestCase):
    """What Redis sends without being asked."""

    def test_between(self) -> None:
        """Pushes between replies are reported in their place."""
        self.connection.send(self.note, "A")
        self.connection.send(self.note, "B")
        self.wire.reply(push("message", "c", "1"), OK, push("message", "c", "2"), PONG)
        self.assertEqual(
            self.receiver.take(),
            [[b"message", b"c", b"1"], b"OK", [b"message", b"c", b"2"], b"PONG", "received"],
        )

    def test_subscribe(self) -> None:
        """The confirmation of a subscription comes in the place of a reply, and isn't reported."""
        before = self.connection.ask("A")
        subscribed = self.connection.subscribe("c")
        after = self.connection.ask("B")
        self.assertEqual(self.wire.commands(), [["A"], ["SUBSCRIBE", "c"], ["B"]])
        self.wire.reply(OK, push("subscribe", "c", 1), push("message", "c", "x"), PONG)
        self.assertEqual(self.successResultOf(before), b"OK")
        self.assertEqual(self.successResultOf(subscribed), [b"subscribe", b"c", 1])
        self.assertEqual(self.successResultOf(after), b"PONG")
        self.assertEqual(self.receiver.take(), [[b"message", b"c", b"x"], "received"])
        ended = self.connection.unsubscribe(b"c")
        self.wire.reply(push("unsubscribe", "c", 0))
        self.successResultOf(ended)

    def test_subscriptionRefused(self) -> None:
        """Redis refuses a subscription by an ordinary error."""
        subscribed = self.connection.subscribe("c")
        self.wire.reply(b"-NOPERM no\r\n")
        self.failureResultOf(subscribed, RedisError)

    def test_foreignSubscription(self) -> None:
        """Several channels in one command would get several confirmations: the connection is dropped."""
        reply = self.connection.ask("SUBSCRIBE", "a", "b")
        self.wire.reply(push("subscribe", "a", 1))
        self.assertTrue(self.wire.isAborted)
        self.assertNoResult(reply)
        self.wire.lose()
        self.assertIn("subscribe()", str(self.failureResultOf(reply, Lost).value))


class LossTests(ConnectionTestCase):
    """The end of a connection."""

    def test_lost(self) -> None:
        """First the loss is reported, then each command fails in order, then that is reported."""
        self.connection.send(self.note, "A")
        self.connection.send(self.note, "B")
        self.wire.lose()
        (what, _), one, two, last = self.receiver.take()
        self.assertEqual((what, last), ("disconnected", "received"))
        self.assertIsInstance(one, Lost)
        self.assertIsInstance(two, Lost)
        self.assertIsNot(one, two)

    def test_later(self) -> None:
        """Nothing is written after the loss; those commands fail in order after the others."""
        self.connection.send(lambda reply: self.connection.send(self.note, "C"), "A")
        self.wire.lose()
        self.assertIsInstance(self.receiver.take()[2], NotSent)

    def test_garbage(self) -> None:
        """What isn't RESP3, answers nothing or has unusable keys drops the connection."""
        for garbage in (b"HTTP/1.1 400 Bad Request\r\n", OK, b"%1\r\n*0\r\n:1\r\n"):
            self.setUp()
            if garbage is not OK:
                self.connection.send(self.note, "A")
            self.wire.reply(garbage)
            self.assertTrue(self.wire.isAborted)
            self.assertEqual(self.receiver.take(), ["received"])
            self.wire.lose()
            [(_, why), *_] = self.receiver.take()
            self.assertIn("not RESP3", why)

    def test_garbageKind(self) -> None:
        """hiredis raises this exception, which the connection relies on."""
        from hiredis import Reader

        reader = Reader()
        reader.feed(b"HTTP/1.1\r\n")
        self.assertRaises(ProtocolError, reader.gets)


class LookTests(ConnectionTestCase):
    """Overdue replies."""

    def looks(self, count: int) -> None:
        for _ in range(count):
            self.connection.look()

    def test_overdue(self) -> None:
        """A command may see some looks without its reply; then the connection is dropped."""
        self.connection.send(self.note, "A")
        self.looks(4)
        self.assertFalse(self.wire.isAborted)
        self.looks(1)
        self.assertTrue(self.wire.isAborted)
        self.wire.lose()
        self.assertEqual(self.receiver.take()[0], ("disconnected", "Redis does not reply"))

    def test_busy(self) -> None:
        """As long as replies come, many commands may be in flight all the time."""
        self.connection.send(self.note, "A")
        for _ in range(20):
            self.connection.send(self.note, "A")
            self.looks(1)
            self.wire.reply(OK)
        self.assertFalse(self.wire.isAborted)

    def test_trickle(self) -> None:
        """Each command has its own deadline, though replies to earlier ones come."""
        for _ in range(20):
            self.connection.send(self.note, "A")
        for _ in range(4):
            self.looks(1)
            self.wire.reply(OK)
        self.looks(1)
        self.assertTrue(self.wire.isAborted)

    def test_idle(self) -> None:
        """An idle connection is tested by a PING, which must be answered too."""
        self.connection.send(self.note, "A")
        self.wire.reply(OK)
        self.wire.commands()
        self.looks(1)
        self.assertEqual(self.wire.commands(), [])
        for _ in range(2):
            self.looks(1)
            self.assertEqual(self.wire.commands(), [["PING"]])
            self.wire.reply(PONG)
        self.looks(5)
        self.assertFalse(self.wire.isAborted)
        self.looks(1)
        self.assertTrue(self.wire.isAborted)

    def test_aging(self) -> None:
        """What has seen so many looks is overdue at the next one, and only that."""
        aging = Aging(2)
        self.assertEqual(aging.look(3, 0), 0)
        self.assertEqual(aging.look(5, 0), 0)
        self.assertEqual(aging.look(5, 1), 2)
        self.assertEqual(aging.look(6, 3), 2)
        self.assertEqual(aging.look(6, 6), 0)
