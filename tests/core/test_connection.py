"""One open WebSocket as an application sees it: the order of its hooks, and what its calls refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from tests.case import PING, TEXT, HarnessTestCase, Recorder, closeFrame, echo, fired
from txroom import Application, CloseCode, Connection, Prepared, ReadyState, SendStatus
from txroom.core.message import encoded
from txroom.testing import Client, RoomHarness, clientFrame, upgradeRequest


class OneConnection(HarnessTestCase):
    """A recorder with one client."""

    def lose(self) -> None:
        """The TCP connection is lost, and that is noticed although a hook holds up the reading."""
        connection = self.connection
        self.client.drop()
        connection.send("x")
        self.harness.flush()

    def open(self, application: Application | None = None, **options: Any) -> Client:
        self.app = application or Recorder()
        self.harness: RoomHarness = self.serve(self.app, **options)
        self.client = self.harness.connect()
        return self.client

    @property
    def connection(self) -> Connection:
        return self.harness.connectionOf(self.client)

    @property
    def events(self) -> list[Any]:
        assert isinstance(self.app, Recorder)
        return self.app.events


class EncodedTests(SynchronousTestCase):
    """What a message may be."""

    def test_kinds(self) -> None:
        """Text for str, binary for all that is bytes-like; a buffer is copied, it may change later."""
        buffer = bytearray(b"ab")
        payload, isBinary = encoded(buffer)
        buffer[0] = 0
        self.assertEqual((payload, isBinary), (b"ab", True))
        self.assertEqual(encoded("é"), ("é".encode(), False))
        self.assertEqual(encoded(b"x"), (b"x", True))
        self.assertEqual(encoded(memoryview(b"xyz")[1:]), (b"yz", True))

    def test_others(self) -> None:
        """Nothing is turned into text behind one's back."""
        for data in (1, None, ["a"], {"a": 1}):
            bad: Any = data
            with self.assertRaises(TypeError) as caught:
                encoded(bad)
            self.assertIn(type(data).__name__, str(caught.exception))

    def test_prepared(self) -> None:
        """A prepared message is encoded at once, so that mistakes show where they are made."""
        prepared = Prepared("é")
        self.assertEqual((prepared.payload, prepared.isBinary), ("é".encode(), False))
        bad: Any = 1
        self.assertRaises(TypeError, Prepared, bad)


class PropertyTests(OneConnection):
    """What is known of a connection."""

    def test_id(self) -> None:
        """128 bits nobody can guess: no two alike, no counter in them."""
        self.open()
        ids = {self.harness.connectionOf(self.harness.connect()).id for _ in range(50)}
        self.assertEqual(len(ids), 50)
        self.assertEqual({len(id) for id in ids}, {32})
        self.assertTrue(all(int(id, 16) >= 0 for id in ids))

    def test_atFirst(self) -> None:
        """What a new connection looks like."""
        self.open()
        connection = self.connection
        self.assertEqual(connection.readyState, ReadyState.OPEN)
        self.assertEqual((connection.protocol, connection.extensions, connection.rtt), (None, "", None))
        self.assertEqual((connection.bufferedAmount, connection.data, connection.user), (0, {}, None))
        self.assertEqual(connection.connectedAt, self.harness.clock.seconds())
        self.assertEqual(connection.lastActivity, connection.connectedAt)
        self.assertIs(connection.application, self.app)
        self.assertEqual(connection.handshake.path, "/")

    def test_repr(self) -> None:
        """Logs tell which one, where, and in which state."""
        self.open()
        self.assertEqual(repr(self.connection), f"<Connection {self.connection.id} / OPEN>")

    def test_activity(self) -> None:
        """Messages are activity, pings aren't."""
        self.open()
        began = self.connection.connectedAt
        self.harness.advance(2)
        self.client.ping(b"x")
        self.assertEqual(self.connection.lastActivity, began)
        self.client.send("x")
        self.assertEqual(self.connection.lastActivity, began + 2)
        self.assertEqual(self.connection.connectedAt, began)

    def test_states(self) -> None:
        """OPEN, CLOSING until the peer has answered, CLOSED."""
        self.open()
        connection = self.connection
        self.client.freeze()
        connection.close()
        self.assertEqual(connection.readyState, ReadyState.CLOSING)
        self.client.drop()
        self.assertEqual(connection.readyState, ReadyState.CLOSED)


class OrderTests(OneConnection):
    """Hooks run one after another, whatever they return."""

    def test_plain(self) -> None:
        """Connect, messages, disconnect."""
        self.open()
        self.client.send("a")
        self.client.send(b"b")
        self.client.close(4321, "done")
        self.assertEqual(
            self.events,
            [("connect",), ("message", "a"), ("message", b"b"), ("disconnect", 4321, "done")],
        )

    def test_textAndBinary(self) -> None:
        """The hook for the kind of message runs before `onMessage`, as in Cocos Creator."""
        app: Recorder = Recorder(
            onText=lambda connection, text: app.events.append(("text", text)),
            onBinary=lambda connection, data: app.events.append(("binary", data)),
        )
        self.open(app)
        self.client.send("a")
        self.client.send(b"b")
        self.assertEqual(
            self.events[1:], [("text", "a"), ("message", "a"), ("binary", b"b"), ("message", b"b")]
        )

    def test_textDeferred(self) -> None:
        """`onMessage` waits for an asynchronous `onText`."""
        waiting: Deferred[None] = Deferred()
        self.open(Recorder(onText=lambda connection, text: waiting))
        self.client.send("a")
        self.assertEqual(self.events, [("connect",)])
        waiting.callback(None)
        self.assertEqual(self.events, [("connect",), ("message", "a")])

    def check_connectFirst(self, result: Callable[[Deferred[None]], Any]) -> None:
        waiting: Deferred[None] = Deferred()
        self.open(Recorder(onConnect=lambda connection: result(waiting)))
        self.client.send("a")
        self.client.send("b")
        self.assertEqual(self.events, [])
        waiting.callback(None)
        self.harness.flush()
        self.assertEqual(self.events, [("message", "a"), ("message", "b")])

    def test_connectDeferred(self) -> None:
        """Messages wait for `onConnect`'s Deferred."""
        self.check_connectFirst(lambda waiting: waiting)

    def test_connectCoroutine(self) -> None:
        """Messages wait for an `async def onConnect`."""

        async def connect(waiting: Deferred[None]) -> None:
            await waiting

        self.check_connectFirst(connect)

    def test_messagesOneByOne(self) -> None:
        """An asynchronous handler holds up the next message, also if all came in one segment."""
        waiting: list[Deferred[None]] = []

        async def handle(connection: Connection, message: str) -> None:
            app.events.append(("begin", message))
            waiting.append(Deferred())
            await waiting[-1]
            app.events.append(("end", message))

        app = Recorder(onMessage=handle)
        harness = self.serve(app)
        client = self.upgraded(harness)
        client.send(clientFrame(TEXT, "a") + clientFrame(TEXT, "b"))
        self.assertEqual(app.events[1:], [("begin", "a")])
        waiting[0].callback(None)
        self.assertEqual(app.events[1:], [("begin", "a"), ("end", "a"), ("begin", "b")])
        waiting[1].callback(None)
        self.assertEqual(app.events[-1], ("end", "b"))

    def test_firedAlready(self) -> None:
        """A hook whose Deferred has a result already costs nothing."""
        self.open(Recorder(onConnect=lambda connection: succeed(None)))
        self.client.send("a")
        self.assertEqual(self.events, [("message", "a")])

    def test_deepChain(self) -> None:
        """A thousand messages in one read, each handled by a coroutine, don't exhaust the stack."""

        async def handle(connection: Connection, message: str) -> None:
            app.events.append(("message", message))

        app = Recorder(onMessage=handle)
        client = self.upgraded(self.serve(app))
        client.send(b"".join(clientFrame(TEXT, str(number)) for number in range(1000)))
        self.assertEqual(app.named("message"), [str(number) for number in range(1000)])

    def test_onConnection(self) -> None:
        """The server's hook comes before the application's, which waits for it."""
        waiting: Deferred[None] = Deferred()
        self.open()
        self.harness.server.onConnection = lambda connection: waiting
        client = self.harness.connect()
        client.send("a")
        self.assertEqual(self.events, [("connect",)])  # that of the first client
        waiting.callback(None)
        self.harness.flush()
        self.assertEqual(self.events[1:], [("connect",), ("message", "a")])

    def test_controlsBeside(self) -> None:
        """Pings and drains don't wait for a handler that takes its time, nor hold one up."""
        self.open(Recorder(onPing=lambda connection, payload: Deferred()))
        self.client.ping(b"x")
        self.client.send("a")
        self.assertEqual(self.events, [("connect",), ("message", "a")])

    def test_nothingAfterClose(self) -> None:
        """After its own close an application gets no messages, even of the same segment."""

        def handle(connection: Connection, message: str) -> None:
            app.events.append(("message", message))
            connection.close(4000)

        app = Recorder(onMessage=handle)
        client = self.upgraded(self.serve(app))
        client.send(clientFrame(TEXT, "a") + clientFrame(TEXT, "b") + closeFrame(4000))
        self.assertEqual(app.events, [("connect",), ("message", "a"), ("disconnect", 4000, "")])

    def test_closedWhileHeld(self) -> None:
        """What waited for a hook isn't delivered if the hook closes."""

        async def connect(connection: Connection) -> None:
            await waiting
            connection.close(4000)

        waiting: Deferred[None] = Deferred()
        self.open(Recorder(onConnect=connect))
        self.client.send("a")
        waiting.callback(None)
        self.harness.flush()
        self.assertEqual(self.events, [("disconnect", 4000, "")])

    def test_closedInText(self) -> None:
        """`onMessage` doesn't run for a message whose `onText` closed the connection, now or later."""

        async def later(connection: Connection, message: str | bytes) -> None:
            connection.close(4000)

        for onText in (lambda connection, message: connection.close(4000), later):
            client = self.open(Recorder(onText=onText))
            client.send("x")
            self.assertEqual(self.events, [("connect",), ("disconnect", 4000, "")])

    def test_terminatedBefore(self) -> None:
        """A connection that the server's hook ended had no `onConnect`, and has no `onDisconnect`."""
        app = Recorder()
        harness = self.serve(app)
        harness.server.onConnection = lambda connection: connection.terminate()
        client = harness.connect()
        self.assertEqual((app.events, client.closeCode), ([], 1006))


class ReplaceTests(OneConnection):
    """Hooks of one connection, as in Cocos Creator."""

    def test_replace(self) -> None:
        """The replaced hook is called with the same arguments; other connections keep theirs."""
        self.open()
        other = self.harness.connect()
        self.connection.onMessage = lambda connection, message: connection.send(message * 2)
        self.client.send("a")
        other.send("b")
        self.assertEqual(self.client.received, ["aa"])
        self.assertEqual(self.events[2:], [("message", "b")])

    def test_every(self) -> None:
        """Each connection hook can be replaced."""
        calls: list[str] = []

        def connect(connection: Connection) -> None:
            for name in ("onText", "onBinary", "onMessage", "onPing", "onPong", "onDrain", "onDisconnect"):
                setattr(connection, name, lambda connection, *args, name=name: calls.append(name))

        self.open(Recorder(onConnect=connect), highWaterMark=1)
        self.client.send("a")
        self.client.send(b"b")
        self.client.ping(b"x")
        self.client.protocol.sendPong(b"x")
        self.harness.flush()
        self.client.stall()
        self.connection.send("xx")
        self.client.unstall()
        self.client.close()
        self.assertEqual(
            calls,
            ["onText", "onMessage", "onBinary", "onMessage", "onPing", "onPong", "onDrain", "onDisconnect"],
        )

    def test_remove(self) -> None:
        """`None` takes a hook away."""
        self.open()
        self.connection.onMessage = None
        self.client.send("a")
        self.assertEqual(self.events, [("connect",)])

    def test_insideItself(self) -> None:
        """A hook that replaces itself (a login, then a session) holds from the next message on."""

        def login(connection: Connection, message: str) -> None:
            connection.data["name"] = message
            connection.onMessage = echo

        self.open(Application(onMessage=login))
        self.client.send("alice")
        self.client.send("hello")
        self.assertEqual(self.client.received, ["hello"])

    def test_connectionClass(self) -> None:
        """A subclass may define hooks as methods; they win over the application's."""

        class Mine(Connection):
            def onMessage(self, message: str) -> None:
                self.send(f"{type(self).__name__}: {message}")

        self.open(Recorder(connectionClass=Mine))
        self.client.send("a")
        self.assertIsInstance(self.connection, Mine)
        self.assertEqual(self.client.received, ["Mine: a"])
        self.assertEqual(self.events, [("connect",)])


class CloseTests(OneConnection):
    """What `close` and its kin take."""

    def test_codes(self) -> None:
        """What an endpoint may send, and nothing else."""
        self.open()
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, -1):
            with self.assertRaises(ValueError) as caught:
                self.connection.close(code)
            self.assertIn(str(code), str(caught.exception))
        self.assertTrue(self.client.isOpen)

    def test_default(self) -> None:
        """1000 and no reason."""
        self.open()
        self.connection.close()
        self.harness.flush()
        self.assertClosed(self.client, 1000, "")

    def test_noCode(self) -> None:
        """`None` is a Close frame without a code, which comes to the peer as 1005."""
        self.open()
        self.connection.close(None)
        self.harness.flush()
        self.assertClosed(self.client, 1005, "")
        self.assertEqual(self.events[-1], ("disconnect", 1005, ""))

    def test_reason(self) -> None:
        """123 bytes, not characters."""
        self.open()
        self.assertRaises(ValueError, self.connection.close, 1000, "x" * 124)
        self.assertRaises(ValueError, self.connection.close, 1000, "é" * 62)
        self.assertRaises(ValueError, self.connection.close, None, "why")
        self.connection.close(1000, "é" * 61 + "x")
        self.harness.flush()
        self.assertClosed(self.client, 1000, "é" * 61 + "x")

    def test_twice(self) -> None:
        """The first counts."""
        self.open()
        connection = self.connection
        connection.close(4001, "first")
        connection.close(4002, "second")
        self.harness.flush()
        self.assertClosed(self.client, 4001, "first")
        connection.close(4003)
        self.assertEqual(self.events, [("connect",), ("disconnect", 4001, "first")])

    def test_terminate(self) -> None:
        """No Close frame: 1006 on both sides."""
        self.open()
        connection = self.connection
        connection.terminate()
        self.harness.flush()
        self.assertClosed(self.client, 1006)
        self.assertEqual(self.events[-1], ("disconnect", 1006, ""))
        connection.terminate()
        self.assertEqual(len(self.events), 2)

    def test_afterwards(self) -> None:
        """A connection that is gone takes every call."""
        self.open()
        connection = self.connection
        self.client.drop()
        self.assertEqual(connection.send("x"), SendStatus.CLOSED)
        self.assertEqual(connection.sendFrame(Prepared("x")), SendStatus.CLOSED)
        self.assertEqual(connection.bufferedAmount, 0)
        connection.ping()
        connection.pong()
        connection.pause()
        connection.resume()
        connection.close()
        self.failureResultOf(connection.whenSent(), ConnectionLost)
        self.assertEqual(connection.readyState, ReadyState.CLOSED)

    def test_controlPayload(self) -> None:
        """125 bytes, text or bytes."""
        self.open()
        for call in (self.connection.ping, self.connection.pong):
            self.assertRaises(ValueError, call, b"x" * 126)
            self.assertRaises(ValueError, call, "é" * 63)
        self.connection.ping("é")
        self.connection.pong(b"x" * 125)
        self.harness.flush()
        self.assertEqual((self.client.pings, self.client.pongs), (["é".encode()], [b"x" * 125]))

    def test_wrongType(self) -> None:
        """A mistake of the application's is told to the application."""
        self.open()
        bad: Any = 1
        self.assertRaises(TypeError, self.connection.send, bad)
        self.assertRaises(TypeError, self.connection.ping, bad)


class ErrorTests(OneConnection):
    """A hook that raises costs at most its own connection."""

    def failing(self, *args: Any) -> Any:
        raise ZeroDivisionError("secret")

    async def failingLater(self, *args: Any) -> Any:
        raise ZeroDivisionError("secret")

    def check_closes(self, name: str, hook: Any, **options: Any) -> None:
        self.open(Recorder(**{name: hook}), **options)
        other = self.harness.connect() if name != "onConnect" else None
        if self.client.isOpen:
            self.client.send("a")
        self.assertClosed(self.client, 1011, "")
        self.assertRaised(ZeroDivisionError)
        self.assertIn(("error", ZeroDivisionError), self.events)
        if other is not None:
            self.assertTrue(other.isOpen)

    def test_connect(self) -> None:
        """`onConnect` that raises closes with 1011, and tells no text of the exception."""
        self.check_closes("onConnect", self.failing)

    def test_connectStays(self) -> None:
        """A connection that couldn't begin doesn't stay, whatever the options say."""
        self.check_closes("onConnect", self.failingLater, closeOnError=False)

    def test_message(self) -> None:
        """A message handler."""
        self.check_closes("onMessage", self.failing)

    def test_messageCoroutine(self) -> None:
        """One that raises later."""
        self.check_closes("onMessage", self.failingLater)

    def test_text(self) -> None:
        """`onMessage` isn't called after an `onText` that raised."""
        self.check_closes("onText", self.failing)
        self.assertNotIn(("message", "a"), self.events)

    def test_disconnectAfterError(self) -> None:
        """`onDisconnect` tells the code we closed with."""
        self.open(Recorder(onMessage=self.failing))
        self.client.send("a")
        self.assertRaised(ZeroDivisionError)
        self.assertEqual(self.events[-1], ("disconnect", 1011, ""))

    def test_keep(self) -> None:
        """`closeOnError=False`: the error is told, and the next message comes."""
        self.open(Recorder(onMessage=self.failing), closeOnError=False)
        self.client.send("a")
        self.client.send("b")
        self.assertTrue(self.client.isOpen)
        self.assertEqual(self.events, [("connect",)] + [("error", ZeroDivisionError)] * 2)
        self.assertRaised(ZeroDivisionError, 2)

    def test_keepLater(self) -> None:
        """The same for coroutines."""
        self.open(Recorder(onMessage=self.failingLater), closeOnError=False)
        self.client.send("a")
        self.client.send("b")
        self.assertTrue(self.client.isOpen)
        self.assertRaised(ZeroDivisionError, 2)

    def test_overridden(self) -> None:
        """The application's own option wins."""
        self.open(Recorder(onMessage=self.failing, closeOnError=False))
        self.client.send("a")
        self.assertTrue(self.client.isOpen)
        self.assertRaised(ZeroDivisionError)

    def test_controls(self) -> None:
        """`onPing` and `onPong`, at once and later, are message handlers in this."""
        for name, hook in (("onPing", self.failing), ("onPong", self.failingLater)):
            self.open(Recorder(**{name: hook}))
            self.client.protocol.sendPing(b"x")
            self.client.protocol.sendPong(b"x")
            self.harness.flush()
            self.assertClosed(self.client, 1011)
            self.assertRaised(ZeroDivisionError)

    def test_controlsStay(self) -> None:
        """And may stay like them."""
        for hook in (self.failing, self.failingLater):
            self.open(Recorder(onPing=hook), closeOnError=False)
            self.client.ping(b"x")
            self.assertTrue(self.client.isOpen)
            self.assertRaised(ZeroDivisionError)

    def test_drain(self) -> None:
        """`onDrain`."""
        self.open(Recorder(onDrain=self.failing), highWaterMark=1)
        self.client.stall()
        self.connection.send("xx")
        self.client.unstall()
        self.assertClosed(self.client, 1011)
        self.assertRaised(ZeroDivisionError)

    def test_disconnect(self) -> None:
        """`onDisconnect` that raises is told to `onError`, and hurts nobody."""
        for hook in (self.failing, self.failingLater):
            self.open(Recorder(onDisconnect=hook))
            self.client.close()
            self.assertEqual(self.events, [("connect",), ("error", ZeroDivisionError)])
            self.assertRaised(ZeroDivisionError)
            self.assertEqual(self.harness.server.connections, [])

    def test_onError(self) -> None:
        """`onError` that raises is logged as well, once, and doesn't tell itself."""
        for hook in (self.failing, self.failingLater):
            self.open(Recorder(onMessage=self.failing, onError=hook))
            self.client.send("a")
            self.assertClosed(self.client, 1011)
            self.assertRaised(ZeroDivisionError, 2)

    def test_onErrorGets(self) -> None:
        """The connection and the failure."""
        told: list[Any] = []
        self.open(
            Recorder(onMessage=self.failing, onError=lambda connection, failure: told.append(failure.value))
        )
        self.client.send("a")
        self.assertEqual([str(error) for error in told], ["secret"])
        self.assertRaised(ZeroDivisionError)

    def test_logged(self) -> None:
        """The log names the connection."""
        self.open(Recorder(onMessage=self.failing), closeOnError=False)
        id = self.connection.id
        self.client.send("a")
        (failure,) = self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(str(failure.value), "secret")
        self.assertEqual(self.connection.id, id)


class DisconnectTests(OneConnection):
    """`onDisconnect`: once for each `onConnect`, when the TCP connection is gone."""

    def test_ways(self) -> None:
        """Whoever closes, and however."""
        ways: dict[str, tuple[Callable[[], None], tuple[int, str]]] = {
            "peer closes": (lambda: self.client.close(4000, "bye"), (4000, "bye")),
            "peer closes without a code": (lambda: self.client.close(None), (1005, "")),
            "we close": (lambda: self.connection.close(4001, "go"), (4001, "go")),
            "lost": (lambda: self.client.drop(), (1006, "")),
            "ended": (lambda: self.client.finish(), (1006, "")),
            "terminated": (lambda: self.connection.terminate(), (1006, "")),
        }
        for way, (act, expected) in ways.items():
            self.open()
            act()
            self.harness.flush()
            self.assertEqual(self.events, [("connect",), ("disconnect", *expected)], way)

    def test_afterTheTCP(self) -> None:
        """Not before: until then the peer may still be there."""
        self.open()
        self.client.freeze()
        connection = self.connection
        connection.close(4000)
        self.harness.flush()
        self.assertEqual(self.events, [("connect",)])
        self.client.drop()
        self.assertEqual(self.events[1:], [("disconnect", 1006, "")])

    def test_state(self) -> None:
        """In the hook the connection is CLOSED, and out of all lists."""
        seen: list[Any] = []
        app: Recorder = Recorder(
            onDisconnect=lambda connection, code, reason: seen.append(
                (connection.readyState, app.connections, self.harness.server.connections)
            )
        )
        self.open(app)
        self.client.close()
        self.assertEqual(seen, [(ReadyState.CLOSED, [], [])])

    def test_hookPending(self) -> None:
        """It waits for the hook that still runs, so that two never overlap."""
        waiting: Deferred[None] = Deferred()
        self.open(Recorder(onMessage=lambda connection, message: waiting))
        self.client.send("a")
        self.lose()
        self.assertEqual(self.events, [("connect",)])
        waiting.callback(None)
        self.assertEqual(self.events, [("connect",), ("disconnect", 1006, "")])

    def test_pendingFails(self) -> None:
        """The hook that still ran may fail: that is logged, and `onDisconnect` comes."""
        waiting: Deferred[None] = Deferred()
        self.open(Recorder(onMessage=lambda connection, message: waiting))
        self.client.send("a")
        self.lose()
        waiting.errback(ZeroDivisionError())
        self.assertRaised(ZeroDivisionError)
        self.assertEqual(self.events[1:], [("error", ZeroDivisionError), ("disconnect", 1006, "")])

    def test_messageThenDrop(self) -> None:
        """Messages behind the one that is being handled are gone with the connection."""
        waiting: Deferred[None] = Deferred()
        seen: list[str] = []

        def handle(connection: Connection, message: str) -> Deferred[None]:
            seen.append(message)
            return waiting

        app = Recorder(onMessage=handle)
        client = self.upgraded(self.serve(app))
        client.send(clientFrame(TEXT, "a") + clientFrame(TEXT, "b"))
        app.connection.terminate()
        client.drop()
        waiting.callback(None)
        self.assertEqual((seen, app.events[-1]), (["a"], ("disconnect", 1006, "")))

    def test_restOfChain(self) -> None:
        """`onMessage` isn't called behind an `onText` that outlived the connection."""
        waiting: Deferred[None] = Deferred()
        self.open(Recorder(onText=lambda connection, text: waiting))
        self.client.send("a")
        self.lose()
        waiting.callback(None)
        self.assertEqual(self.events, [("connect",), ("disconnect", 1006, "")])

    def test_cancelHook(self) -> None:
        """A hook that never ends is cancelled after `closeTimeout`; `onDisconnect` comes all the same."""
        cancelled: list[Any] = []
        self.open(Recorder(onMessage=lambda connection, message: Deferred(cancelled.append)), closeTimeout=3)
        self.client.send("a")
        self.lose()
        self.harness.advance(2.9)
        self.assertEqual((cancelled, self.events), ([], [("connect",)]))
        self.harness.advance(0.3)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.events, [("connect",), ("disconnect", 1006, "")])

    def test_cancelHookCoroutine(self) -> None:
        """A coroutine sees the cancellation where it waits."""
        seen: list[str] = []

        async def handle(connection: Connection, message: str) -> None:
            try:
                await Deferred()
            except CancelledError:
                seen.append("cancelled")
                raise

        self.open(Recorder(onMessage=handle), closeTimeout=1)
        self.client.send("a")
        self.lose()
        self.harness.advance(1.2)
        self.assertEqual(seen, ["cancelled"])
        self.assertEqual(self.events, [("connect",), ("disconnect", 1006, "")])

    def test_slowDisconnect(self) -> None:
        """An `onDisconnect` that never ends is cancelled as well, also behind another hook."""
        cancelled: list[Any] = []

        def never(*args: Any) -> Deferred[None]:
            return Deferred(cancelled.append)

        for hooks in ({}, {"onMessage": never}):
            cancelled.clear()
            self.open(
                Recorder(
                    onDisconnect=never,
                    **hooks,
                ),
                closeTimeout=1,
            )
            self.client.send("a")
            self.lose()
            self.harness.advance(2.5)
            self.assertEqual(len(cancelled), 1 + len(hooks))

    def test_connectPending(self) -> None:
        """A client that leaves during `onConnect` has its `onDisconnect`, after it."""
        waiting: Deferred[None] = Deferred()
        self.open(Recorder(onConnect=lambda connection: waiting))
        self.lose()
        self.assertEqual(self.events, [])
        waiting.callback(None)
        self.assertEqual(self.events, [("disconnect", 1006, "")])

    def test_serverHookPending(self) -> None:
        """One that leaves before `onConnect` was called has neither."""
        waiting: Deferred[None] = Deferred()
        self.open()
        self.harness.server.onConnection = lambda connection: waiting
        client = self.harness.connect()
        self.harness.connectionOf(client).terminate()
        self.harness.flush()
        waiting.callback(None)
        self.assertEqual(self.events, [("connect",)])

    def test_serverHookFails(self) -> None:
        """A server's hook that raises closes with 1011; the application never hears of the client."""
        self.open()
        self.harness.server.onConnection = lambda connection: 1 / 0
        client = self.harness.connect()
        self.assertClosed(client, 1011)
        self.assertRaised(ZeroDivisionError)
        self.assertEqual(self.events, [("connect",), ("error", ZeroDivisionError)])

    def test_connectFails(self) -> None:
        """`onConnect` that raised was a call: `onDisconnect` follows, to undo what it did."""
        self.open(Recorder(onConnect=lambda connection: 1 / 0))
        self.assertRaised(ZeroDivisionError)
        self.assertEqual(self.events, [("error", ZeroDivisionError), ("disconnect", 1011, "")])

    def test_replacedLate(self) -> None:
        """The hook in force when the connection ends is the one that is called."""
        seen: list[int] = []
        self.open()
        self.connection.onDisconnect = lambda connection, code, reason: seen.append(code)
        self.client.close(4000)
        self.assertEqual((seen, self.events), ([4000], [("connect",)]))


class WhenSentTests(OneConnection):
    """The completion of `send`, as in Cocos Creator."""

    def test_atOnce(self) -> None:
        """What the operating system took is sent."""
        self.open()
        self.connection.send("x")
        self.assertIsNone(self.successResultOf(self.connection.whenSent()))

    def test_later(self) -> None:
        """Fires when the last byte is taken, for all who wait."""
        self.open()
        self.client.stall()
        self.connection.send("x" * 5000)
        waiting = [fired(self.connection.whenSent()) for _ in range(2)]
        self.client.unstall(3000)
        self.assertEqual(waiting, [[], []])
        self.client.unstall()
        self.assertEqual(waiting, [[None], [None]])
        self.assertEqual(self.events, [("connect",)], "no drain: it wasn't over the mark")

    def test_lost(self) -> None:
        """Fails with the connection."""
        self.open()
        self.client.stall()
        self.connection.send("x")
        waiting = self.connection.whenSent()
        self.client.drop()
        self.failureResultOf(waiting, ConnectionLost)

    def test_closing(self) -> None:
        """A close doesn't take back what was sent before."""
        self.open()
        self.client.stall()
        self.connection.send("x")
        waiting = fired(self.connection.whenSent())
        self.connection.close()
        self.client.unstall()
        self.assertEqual(waiting, [None])
        self.assertEqual(self.client.received, ["x"])
        self.assertClosed(self.client, 1000)


class PauseTests(OneConnection):
    """`pause` and `resume`."""

    def test_pause(self) -> None:
        """Nothing is delivered and nothing read; then all comes in order."""
        self.open()
        self.connection.pause()
        self.client.send("a")
        self.client.send("b")
        self.assertEqual(self.events, [("connect",)])
        self.connection.resume()
        self.harness.flush()
        self.assertEqual(self.events[1:], [("message", "a"), ("message", "b")])

    def test_inHandler(self) -> None:
        """Paused in a handler, what lies in the same segment waits too."""

        def handle(connection: Connection, message: str) -> None:
            app.events.append(("message", message))
            connection.pause()

        app = Recorder(onMessage=handle)
        client = self.upgraded(self.serve(app))
        client.send(clientFrame(TEXT, "a") + clientFrame(PING, "x") + clientFrame(TEXT, "b"))
        self.assertEqual(app.events[1:], [("message", "a")])
        app.connection.resume()
        self.assertEqual(app.events[2:], [("ping", b"x"), ("message", "b")])

    def test_untilBoth(self) -> None:
        """A hook that ends doesn't resume what the application has paused."""
        waiting: Deferred[None] = Deferred()
        self.open(Recorder(onConnect=lambda connection: waiting))
        self.connection.pause()
        self.client.send("a")
        waiting.callback(None)
        self.harness.flush()
        self.assertEqual(self.events, [])
        self.connection.resume()
        self.harness.flush()
        self.assertEqual(self.events, [("message", "a")])

    def test_idempotent(self) -> None:
        """Twice is as once."""
        self.open()
        self.connection.resume()
        self.connection.pause()
        self.connection.pause()
        self.connection.resume()
        self.client.send("a")
        self.assertEqual(self.events[1:], [("message", "a")])

    def test_closed(self) -> None:
        """A close ends a pause: its answer must be read."""
        self.open()
        self.connection.pause()
        self.client.send("a")
        self.connection.close(CloseCode.GOING_AWAY)
        self.harness.flush()
        self.assertClosed(self.client, 1001)
        self.assertEqual(self.events, [("connect",), ("disconnect", 1001, "")])


class FutureTests(OneConnection):
    """What asyncio has to say, which with its reactor is as good as a Deferred."""

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)

    def turn(self) -> None:
        """Let the loop of asyncio call back."""
        self.loop.run_until_complete(asyncio.sleep(0))
        self.harness.flush()

    def test_order(self) -> None:
        """The next message waits for a handler's Future."""
        future = self.loop.create_future()
        handled: list[Any] = []

        def onMessage(connection: Connection, message: Any) -> Any:
            handled.append(message)
            return future if message == "first" else None

        client = self.open(Application(onMessage=onMessage))
        client.send("first")
        client.send("second")
        self.assertEqual(handled, ["first"])
        future.set_result(None)
        self.turn()
        self.assertEqual(handled, ["first", "second"])

    def test_raises(self) -> None:
        """An error of a Task is that of the hook."""

        async def fail() -> None:
            raise LookupError

        app = Recorder(onText=lambda connection, message: self.loop.create_task(fail()))
        client = self.open(app)
        client.send("x")
        self.turn()
        self.assertEqual(app.named("error"), [LookupError])
        self.assertEqual(client.closeCode, 1011)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    def test_upgrade(self) -> None:
        """Hooks of the upgrade, and two hooks in turn."""
        futures = {name: self.loop.create_future() for name in ("verify", "server", "connect")}
        app = Recorder(verifyClient=lambda handshake: futures["verify"])
        app.onConnect = lambda connection: futures["connect"]  # type: ignore[method-assign]
        harness = self.harness = self.serve(app)
        harness.server.onConnection = lambda connection: futures["server"]
        client = harness.raw(upgradeRequest() + clientFrame(TEXT, b"waits"))
        self.assertIsNone(client.response)
        for name, result in (("verify", True), ("server", None), ("connect", None)):
            self.assertEqual(app.named("message"), [])
            futures[name].set_result(result)
            self.turn()
        self.assertEqual(app.named("message"), ["waits"])

    def test_cancelled(self) -> None:
        """A Future that a hook is cut short in is cancelled; that is no error."""
        future = self.loop.create_future()
        app = Recorder(onText=lambda connection, message: future)
        client = self.open(app, closeTimeout=1)
        client.send("x")
        self.lose()
        self.harness.advance(2)
        self.assertTrue(future.cancelled())
        self.turn()
        self.assertEqual(app.named("disconnect"), [(1006, "")])
        self.assertEqual(app.named("error"), [])

    def test_ofServer(self) -> None:
        """What a hook of the server raises later is logged."""
        future = self.loop.create_future()
        self.harness = self.serve(Recorder())
        self.harness.server.onClientError = lambda error, handshake: future
        self.harness.raw(b"nonsense\r\n\r\n")
        future.set_exception(LookupError())
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
