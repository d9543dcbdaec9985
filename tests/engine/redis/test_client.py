"""The client of Redis: it connects, reconnects, and fails what it can't do in time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from tests.engine.redis.server import HELLO, OK, PONG, Server, Wire, push
from txroom.engine.redis.client import ClientState, RedisClient, RedisRefused
from txroom.engine.redis.resp import Commands, Lost, NotSent, RedisError


class ClientTestCase(SynchronousTestCase):
    """Tests with a client whose server is in memory."""

    url = "redis://localhost"

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = Server()
        self.events: list[Any] = []
        self._made: list[RedisClient] = []
        self.client = self.make()
        self.addCleanup(self._stopAll)

    def make(self, url: str = "", **more: Any) -> RedisClient:
        """A client that is stopped at the end, and then has left nothing behind."""
        more = {"endpoint": self.server, "random": lambda: 0.5, **more}
        client = RedisClient(self.clock, url or self.url, **more)
        client.onDown = lambda: self.events.append("down")
        client.onPush = self.events.append
        client.afterReplies = lambda: self.events.append("after")
        client.onRefused = self.events.append
        self._made.append(client)
        return client

    def _stopAll(self) -> None:
        for client in self._made:
            if client._starting is not None:
                client._starting.addErrback(lambda failure: None)
            stopped = client.stop()
            if client._connection is not None:
                client._connection.connectionLost(Failure(ConnectError()))
            self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def up(self) -> Wire:
        """Start the client, and let it come up."""
        self.started = self.client.start()
        wire = self.server.welcome()
        self.successResultOf(self.started)
        self.events.clear()
        return wire

    def again(self) -> Wire:
        """Let the client connect again."""
        self.clock.advance(3)
        return self.server.welcome()

    def pump(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))

    def note(self, reply: Any) -> None:
        self.events.append(reply)

    def kinds(self) -> list[Any]:
        """The events, with the types of exceptions."""
        return [type(each) if isinstance(each, Exception) else each for each in self.events]


class StartTests(ClientTestCase):
    """The first commands on a connection."""

    def test_plain(self) -> None:
        """The client speaks RESP3, names itself, and asks whether the server is ready."""
        started = self.client.start()
        wire = self.server.accept()
        self.assertEqual(wire.commands(), [["HELLO", "3", "SETNAME", "txroom"]])
        self.assertEqual(self.client.state, ClientState.PREPARING)
        wire.reply(HELLO)
        self.assertEqual(wire.commands(), [["PING"]])
        self.assertNoResult(started)
        wire.reply(PONG)
        self.successResultOf(started)
        self.assertTrue(self.client.isUp)
        self.assertEqual(self.client.hello["version"], "7.0.15")

    def test_user(self) -> None:
        """The user and the password go with the first command; the database is selected."""
        self.client = self.make("redis://rooms:s%20cret@localhost/3", name="node-1")
        started = self.client.start()
        wire = self.server.accept()
        self.assertEqual(wire.commands(), [["HELLO", "3", "AUTH", "rooms", "s cret", "SETNAME", "node-1"]])
        wire.reply(HELLO)
        wire.reply(PONG)
        self.assertEqual(wire.commands(), [["PING"], ["SELECT", "3"]])
        wire.reply(OK)
        self.successResultOf(started)

    def test_twice(self) -> None:
        """A client is started once."""
        self.client.start()
        self.assertRaises(RuntimeError, self.client.start)

    def test_wrong(self) -> None:
        """A wrong URL is refused before anything connects."""
        self.assertRaises(ValueError, RedisClient, self.clock, "http://localhost")


class PrepareTests(ClientTestCase):
    """`onUp` prepares each connection before it is used."""

    def test_first(self) -> None:
        """Other commands wait until the connection is prepared, and then leave in order."""
        ready: Deferred[None] = Deferred()

        async def prepare(redis: Commands) -> None:
            self.events.append(await redis.ask("SCRIPT", "LOAD", "x"))
            await redis.subscribe("c")
            await ready

        self.client.onUp = prepare
        self.client.send(self.note, "EARLY")
        started = self.client.start()
        wire = self.server.welcome()
        self.client.send(self.note, "MEANWHILE")
        self.assertEqual(wire.commands(), [["SCRIPT", "LOAD", "x"]])
        wire.reply(b"+sha\r\n")
        self.assertEqual(wire.commands(), [["SUBSCRIBE", "c"]])
        wire.reply(push("subscribe", "c", 1))
        self.assertFalse(self.client.isUp)
        self.assertNoResult(started)
        ready.callback(None)
        self.assertTrue(self.client.isUp)
        self.successResultOf(started)
        self.assertEqual(wire.commands(), [["EARLY"], ["MEANWHILE"]])

    def test_kinds(self) -> None:
        """`onUp` may return a Deferred or nothing."""
        for prepare in (lambda redis: succeed(None), lambda redis: None):
            self.client = self.make()
            self.client.onUp = prepare
            self.up()
            self.assertTrue(self.client.isUp)

    def test_raises(self) -> None:
        """If it fails, the connection is dropped and the client tries again."""

        def prepare(redis: Commands) -> None:
            raise ZeroDivisionError

        self.client.onUp = prepare
        started = self.client.start()
        wire = self.server.welcome()
        self.assertTrue(wire.isAborted)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        wire.lose()
        self.client.onUp = lambda redis: None
        self.again()
        self.successResultOf(started)
        self.assertNotIn("down", self.events)

    def test_lost(self) -> None:
        """If the connection is lost meanwhile, its commands fail, and the next one is prepared."""
        seen: list[Any] = []
        self.client.onUp = lambda redis: seen.append(redis) or redis.ask("SCRIPT", "LOAD", "x")  # type: ignore[func-returns-value]
        started = self.client.start()
        self.server.welcome().lose()
        late = fired(seen[0].ask("MORE"))
        self.assertEqual(late, [])
        self.clock.advance(0)
        self.assertEqual([each.type for each in late], [NotSent])
        self.again().reply(b"+sha\r\n")
        self.successResultOf(started)
        self.assertEqual(len(seen), 2)

    def test_late(self) -> None:
        """A preparation that ends after its connection was lost has no effect."""
        waits: list[Deferred[None]] = []

        def prepare(redis: Commands) -> Deferred[None]:
            waits.append(Deferred())
            return waits[-1]

        self.client.onUp = prepare
        self.client.start()
        self.server.welcome().lose()
        self.again()
        waits[0].callback(None)
        self.assertFalse(self.client.isUp)
        waits[1].callback(None)
        self.assertTrue(self.client.isUp)

    def test_noPermission(self) -> None:
        """A command that the user may not run in `onUp` refuses the client."""
        self.client.onUp = lambda redis: redis.subscribe("c")
        started = self.client.start()
        self.server.welcome().reply(b"-NOPERM User rooms has no permissions to access a channel\r\n")
        self.failureResultOf(started, RedisRefused)


class RefusedTests(ClientTestCase):
    """Servers that cannot be used."""

    def refusedBy(self, *replies: bytes, url: str = "") -> str:
        self.client = self.make(url)
        started = self.client.start()
        waiting = fired(self.client.ask("GET", "k"))
        wire = self.server.accept()
        for reply in replies:
            wire.reply(reply)
        self.assertTrue(wire.isAborted)
        wire.lose()
        self.assertEqual([each.type for each in waiting], [NotSent])
        self.assertEqual(self.client.state, ClientState.REFUSED)
        self.clock.advance(60)
        self.assertEqual(self.server.attempts, [])
        # The Deferred of `start` tells it, and nothing else does.
        self.assertNotIn(RedisRefused, self.kinds())
        return str(self.failureResultOf(started, RedisRefused).value)

    def test_access(self) -> None:
        """No password, a wrong one, a user without rights, protected mode: Redis's own text is shown."""
        for error in (
            "NOAUTH HELLO must be called with the client already authenticated",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOPERM this user has no permissions to run the 'hello' command",
            "DENIED Redis is running in protected mode",
        ):
            self.assertEqual(self.refusedBy(f"-{error}\r\n".encode()), error)

    def test_old(self) -> None:
        """A server that is too old to know HELLO, or to speak RESP3 well, is named as such."""
        for replies in (
            b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n",
            b"-NOPROTO unsupported protocol version\r\n",
            HELLO.replace(b"7.0.15", b"6.0.16"),
        ):
            self.assertIn("needs Redis 6.2 or newer", self.refusedBy(replies))

    def test_secret(self) -> None:
        """A server that doesn't know HELLO repeats its arguments: the password is not told to anybody."""
        reply = (
            b"-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `rooms`, `hunter2`, "
            b"`SETNAME`, `txroom`, \r\n"
        )
        with capturedLogs() as events:
            why = self.refusedBy(reply, url="redis://rooms:hunter2@localhost")
        self.assertIn("it says: ERR unknown command `HELLO`", why)
        self.assertNotIn("hunter2", why + "".join(map(str, events)))

    def test_mode(self) -> None:
        """Cluster mode and Sentinel are refused."""
        for mode in (b"cluster", b"sentinel"):
            why = self.refusedBy(HELLO.replace(b"standalone", mode))
            self.assertIn(f"runs in {mode.decode()} mode", why)

    def test_database(self) -> None:
        """A database that the server does not have is named."""
        why = self.refusedBy(HELLO, PONG, b"-ERR DB index is out of range\r\n", url="redis://localhost/99")
        self.assertIn("database 99: ERR DB index is out of range", why)

    def test_later(self) -> None:
        """After the client was up, `onRefused` tells it."""
        self.up().lose()
        self.clock.advance(1)
        wire = self.server.accept()
        wire.reply(b"-WRONGPASS invalid\r\n")
        self.assertEqual(self.kinds()[-2:], [RedisRefused, "after"])
        answer = self.client.ask("GET", "k")
        self.clock.advance(0)
        self.failureResultOf(answer, NotSent)


class RetryTests(ClientTestCase):
    """Servers that can be used later."""

    def test_notReady(self) -> None:
        """A server that loads its data, has no place, or is a replica is tried again."""
        for replies in (
            [HELLO, b"-LOADING Redis is loading the dataset in memory\r\n"],
            [HELLO, b"-MASTERDOWN Link with MASTER is down\r\n"],
            [b"-ERR max number of clients reached\r\n"],
            [HELLO.replace(b"master", b"replica")],
        ):
            self.client = self.make()
            started = self.client.start()
            wire = self.server.accept()
            for reply in replies:
                wire.reply(reply)
            self.assertTrue(wire.isAborted)
            wire.lose()
            self.assertEqual(self.client.state, ClientState.WAITING)
            self.again()
            self.successResultOf(started)

    def test_unreachable(self) -> None:
        """Attempts that fail are repeated with growing delays, up to 2 seconds."""
        self.client.start()
        delays = []
        for _ in range(14):
            self.server.refuse(ConnectError(string="refused"))
            at = self.clock.seconds()
            while not self.server.attempts:
                self.clock.advance(0.001)
            delays.append(self.clock.seconds() - at)
        self.assertAlmostEqual(delays[0], 0.05, 2)
        self.assertTrue(all(b > a - 0.01 for a, b in pairwise(delays)), delays)
        self.assertAlmostEqual(delays[-1], 2.0, 2)

    def test_jitter(self) -> None:
        """Half of the delay and more is random."""
        for value, before, after in ((0.0, 0.024, 0.026), (1.0, 0.074, 0.076)):
            self.server = Server()
            self.make(random=lambda value=value: value).start().addErrback(lambda failure: None)
            self.server.refuse(ConnectError())
            self.clock.advance(before)
            self.assertEqual(self.server.attempts, [])
            self.clock.advance(after - before)
            self.assertEqual(len(self.server.attempts), 1)

    def test_stable(self) -> None:
        """The delays begin anew after the client was up for a while, not after each connection."""
        self.client.start()
        for _ in range(6):
            self.server.welcome().lose()
            self.clock.advance(1)
        self.assertEqual(self.client._failures, 6)
        wire = self.server.welcome()
        self.pump(2.5)
        wire.commands()
        wire.reply(PONG)
        wire.lose()
        self.assertEqual(self.client._failures, 1)

    def test_reconnect(self) -> None:
        """It makes a new connection when it is told to; when it has none, it is going to do so anyway."""
        wire = self.up()
        self.client.reconnect("it has become a replica")
        self.assertTrue(wire.isAborted)
        wire.lose()
        self.client.reconnect("once more")
        self.again()
        self.assertTrue(self.client.isUp)

    def test_logged(self) -> None:
        """A problem is logged once, not at each attempt, and never above debug by a client that is quiet."""
        for isQuiet, expected in ((False, ["warn", "info", "warn"]), (True, ["debug"] * 2)):
            self.server = Server()
            client = self.make(isQuiet=isQuiet)
            with capturedLogs() as logged:
                client.start()
                for _ in range(3):
                    self.server.refuse(ConnectError(string="no"))
                    self.clock.advance(1)
                self.server.welcome().lose()
            self.assertEqual([event["log_level"].name for event in logged], expected)
            self.assertIn("Redis, redis://localhost:6379: ", str(formatEvent(logged[0])))
            self.assertEqual([text for event in logged if ".;" in (text := str(formatEvent(event)))], [])

    def test_hangingAttempt(self) -> None:
        """An attempt that takes too long is cancelled."""
        self.client.start()
        self.pump(5.5)
        self.assertEqual(self.server.cancelled, 1)
        self.pump(1)
        self.server.welcome()
        self.assertTrue(self.client.isUp)

    def test_lateConnection(self) -> None:
        """A connection of an attempt that was given up is dropped."""
        self.client.start()
        factory, _ = self.server.attempts[0]
        self.pump(5)
        wire = Wire()
        wire.protocol = factory.buildProtocol(None)
        wire.protocol.makeConnection(wire)
        self.assertTrue(wire.isAborted)
        wire.lose()
        self.assertEqual(wire.commands(), [])


class CommandTests(ClientTestCase):
    """What becomes of commands."""

    def test_up(self) -> None:
        """A command is written at once, and its reply is given out."""
        wire = self.up()
        self.client.send(self.note, "GET", "k")
        self.assertEqual(wire.commands(), [["GET", "k"]])
        wire.reply(b"$1\r\nv\r\n")
        self.assertEqual(self.events, [b"v", "after"])

    def test_errors(self) -> None:
        """An error of Redis fails the Deferred; the connection goes on."""
        wire = self.up()
        answer = self.client.ask("EVALSHA", "x", 0)
        wire.reply(b"-NOSCRIPT No matching script\r\n")
        self.failureResultOf(answer, RedisError)
        self.assertFalse(wire.isAborted)

    def test_pushes(self) -> None:
        """Messages go to `onPush`; a hook that raises is logged, and the connection goes on."""
        wire = self.up()
        subscribed = self.client.subscribe("c")
        wire.reply(push("subscribe", "c", 1), push("message", "c", "x"))
        self.successResultOf(subscribed)
        self.assertEqual(self.events, [[b"message", b"c", b"x"], "after"])
        self.client.onPush = lambda message: 1 / 0
        ended = self.client.unsubscribe("c")
        wire.reply(push("message", "c", "y"), push("unsubscribe", "c", 0))
        self.successResultOf(ended)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_lost(self) -> None:
        """In flight: `Lost`, after `onDown`. What is sent from then on waits for the next connection."""
        wire = self.up()

        def again(reply: Any) -> None:
            self.note(reply)
            self.client.send(self.note, "AGAIN")

        self.client.send(again, "A")
        self.client.send(self.note, "B")
        wire.lose()
        self.assertEqual(self.kinds(), ["down", Lost, Lost, "after"])
        wire = self.again()
        self.assertEqual(wire.commands(), [["AGAIN"]])
        wire.reply(OK)
        self.assertEqual(self.events[-2:], [b"OK", "after"])

    def test_waitingTooLong(self) -> None:
        """A command that waits for a connection fails after the deadline, and was never sent."""
        self.client.start()
        self.server.refuse(ConnectError())
        self.client.send(self.note, "A")
        self.clock.advance(0.1)
        for _ in range(16):
            self.pump(0.25)
            if self.server.attempts:
                self.server.refuse(ConnectError())
        self.assertEqual(self.events, [])
        self.client.send(self.note, "B")
        self.pump(1)
        self.assertEqual(self.kinds(), [NotSent, "after"])
        while self.server.attempts:
            self.server.refuse(ConnectError())
        self.clock.advance(2)
        self.assertEqual(self.server.welcome().commands(), [["B"]])

    def test_noReply(self) -> None:
        """A server that hangs is dropped after the deadline: the command may have been run."""
        wire = self.up()
        self.client.send(self.note, "A")
        self.pump(4)
        self.assertFalse(wire.isAborted)
        self.pump(1)
        self.assertTrue(wire.isAborted)
        wire.lose()
        self.assertEqual(self.kinds(), ["down", Lost, "after"])

    def test_hangingWelcome(self) -> None:
        """A server that does not even answer HELLO is dropped too."""
        self.client.start()
        wire = self.server.accept()
        self.pump(5)
        self.assertTrue(wire.isAborted)
        wire.lose()
        self.assertEqual(self.client.state, ClientState.WAITING)

    def test_ownPause(self) -> None:
        """If this process was paused, the server is not blamed: the replies may be in the socket."""
        wire = self.up()
        self.client.send(self.note, "A")
        self.clock.advance(60)
        self.assertFalse(wire.isAborted)
        wire.reply(OK)
        self.assertEqual(self.events, [b"OK", "after"])

    def test_limits(self) -> None:
        """More commands or bytes than allowed fail in another turn, in order, and are not sent."""
        for limit, value in (("maxCommands", 2), ("maxBytes", 45)):
            self.client = self.make(**{limit: value})  # type: ignore[arg-type]
            wire = self.up()
            for name in ("GET", "SET", "DEL", "PUT"):
                self.client.send(self.note, name, "k")
            self.assertEqual(self.events, [])
            self.clock.advance(0)
            self.assertEqual(self.kinds(), [NotSent, NotSent, "after"])
            self.assertEqual(len(wire.commands()), 2)
            wire.reply(OK)
            self.client.send(self.note, "GET", "k")
            self.assertEqual(len(wire.commands()), 1)

    def test_limitsOfBacklog(self) -> None:
        """The limits hold for waiting commands too."""
        self.client = self.make(maxCommands=1)
        self.client.send(self.note, "A")
        self.client.send(self.note, "B")
        self.clock.advance(0)
        self.assertEqual(self.kinds(), [NotSent, "after"])
        self.client.start()
        self.assertEqual(self.server.welcome().commands(), [["A"]])

    def test_hooksRaise(self) -> None:
        """Hooks that raise are logged, and the client goes on."""
        wire = self.up()
        self.client.afterReplies = lambda: 1 / 0
        self.client.onDown = lambda: 1 / 0
        answer = self.client.ask("A")
        wire.reply(OK)
        self.successResultOf(answer)
        wire.lose()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.client.afterReplies = lambda: None
        self.again()
        self.assertTrue(self.client.isUp)


class StopTests(ClientTestCase):
    """A stop leaves nothing behind, in any state."""

    def test_idle(self) -> None:
        """Before the start: nothing to do."""
        self.successResultOf(self.client.stop())

    def test_connecting(self) -> None:
        """The attempt is cancelled, and the Deferred of `start` fails."""
        started = self.client.start()
        answer = self.client.ask("A")
        self.successResultOf(self.client.stop())
        self.failureResultOf(started, NotSent)
        self.failureResultOf(answer, NotSent)
        self.assertEqual(self.server.cancelled, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waiting(self) -> None:
        """The next attempt is cancelled."""
        self.client.start().addErrback(lambda failure: None)
        self.server.refuse(ConnectError())
        self.successResultOf(self.client.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_up(self) -> None:
        """The connection is closed, commands in flight fail, and the Deferred fires after that."""
        wire = self.up()
        self.client.send(self.note, "A")
        stopped, again = self.client.stop(), self.client.stop()
        self.assertTrue(wire.isClosing)
        self.assertFalse(wire.isAborted)
        self.assertNoResult(stopped)
        self.client.send(self.note, "B")
        wire.lose()
        self.successResultOf(stopped)
        self.successResultOf(again)
        self.clock.advance(0)
        self.assertEqual(self.kinds(), [Lost, "after", NotSent, "after"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_hanging(self) -> None:
        """A connection that does not close is dropped."""
        wire = self.up()
        stopped = self.client.stop()
        self.clock.advance(1)
        self.assertTrue(wire.isAborted)
        wire.lose()
        self.successResultOf(stopped)

    def test_preparing(self) -> None:
        """A connection that is being prepared is closed."""
        started = self.client.start()
        wire = self.server.accept()
        stopped = self.client.stop()
        self.failureResultOf(started, NotSent)
        wire.lose()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused(self) -> None:
        """A client that was refused stops at once."""
        started = self.client.start()
        wire = self.server.accept()
        wire.reply(b"-NOAUTH x\r\n")
        self.failureResultOf(started, RedisRefused)
        wire.lose()
        self.successResultOf(self.client.stop())

    def test_unsent(self) -> None:
        """What was about to fail fails at once."""
        self.client = self.make(maxCommands=0)
        answer = self.client.ask("A")
        self.assertNoResult(answer)
        self.successResultOf(self.client.stop())
        self.failureResultOf(answer, NotSent)
        self.assertEqual(self.clock.getDelayedCalls(), [])
