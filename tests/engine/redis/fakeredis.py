"""
A Redis in memory, for tests on a `Clock`, and a client that has the interface of `RedisClient`.

Commands and replies travel in order, each turn's together, and take some time. What can go wrong on the way
and in the server is done by methods: connections are cut before or after commands were run, the server hangs,
is down, is started again, loses its data or the newest part of it, and answers with errors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.logger import Logger

from tests.engine.redis.fakestore import DIGESTS, Store, toBytes
from txroom.engine.redis.resp import Commands, Lost, NotSent, RedisError

#: Seconds until a client connects again, and after which it drops a connection without replies.
AGAIN, TIMEOUT = 0.1, 5.0


class Job:
    """A command on its way."""

    __slots__ = ("args", "at", "callback", "reply")

    def __init__(self, callback: Callable[[Any], object], args: tuple[Any, ...], at: float = 0.0) -> None:
        self.at = at
        self.callback = callback
        self.args = args
        self.reply: Any = None


class FakeRedis:
    """
    A server.

    Args:
        clock: The time of the test.
        random: Chooses how long commands and replies travel.
        slowest: The most seconds for that, one way.
    """

    def __init__(self, clock: Clock, random: Random | None = None, slowest: float = 0.0) -> None:
        self.clock = clock
        self.store = Store(clock)
        self.store.publish = self._publish
        self.isUp = True
        self.isHung = False
        self.clients: list[FakeClient] = []
        #: The commands that were run, as (name of the script or command, arguments).
        self.log: list[tuple[str, tuple[Any, ...]]] = []
        #: Called for each message of a channel and each client that gets it; returns the delays with which it
        #: arrives: none if it is lost, two if it is doubled.
        self.deliveries: Callable[[bytes, bytes], Sequence[float]] = lambda channel, data: (0.0,)
        self._random = random or Random(0)
        self.slowest = slowest
        #: After how many seconds a client connects again.
        self.again: Callable[[], float] = lambda: AGAIN
        self._errors: list[tuple[str, str, int]] = []
        #: Commands of connections that the clients have dropped while the server hung.
        self._late: list[list[Job]] = []

    def connect(self) -> FakeClient:
        """Return a new client; call its `start`."""
        client = FakeClient(self)
        self.clients.append(client)
        return client

    def delay(self) -> float:
        """Return how long something travels."""
        return self._random.uniform(0, self.slowest) if self.slowest else 0.0

    # -- what is stored

    def fields(self, key: bytes) -> dict[bytes, bytes]:
        """Return a copy of a hash."""
        return dict(self.store.keys.get(key, {}))

    def count(self, name: str) -> int:
        """Return how often a script or command was run."""
        return sum(one == name for one, _ in self.log)

    # -- what goes wrong

    def down(self) -> None:
        """Stop the server: all connections are lost, and new ones are refused."""
        self.isUp = False
        self.cut()

    def up(self) -> None:
        """Start it again with its data."""
        self.isUp = True
        self.store.restarted()

    def restart(self, forgotten: int = 0) -> None:
        """Kill it and start it again, without the newest changes of its data."""
        self.down()
        self.store.rollBack(forgotten)
        self.up()

    def cut(self, executed: int = 0) -> None:
        """Cut all connections; so many of the commands on their way are run before that."""
        for client in list(self.clients):
            client.cut(executed)

    def split(self) -> FakeRedis:
        """Return a second primary: a replica of this one that became a primary, while this one goes on."""
        other = FakeRedis(self.clock, self._random, self.slowest)
        self.store.copyTo(other.store)
        return other

    def hang(self) -> None:
        """Answer nothing, as when the process is suspended."""
        self.isHung = True

    def wake(self) -> None:
        """Go on: also with the commands of connections that are dropped meanwhile."""
        self.isHung = False
        late, self._late = self._late, []
        arriving = [partial(self._runAll, jobs) for jobs in late] + [each.arrive for each in self.clients]
        if self.slowest:
            self._random.shuffle(arriving)
        for arrive in arriving:
            arrive()

    def _runAll(self, jobs: Sequence[Job]) -> None:
        """Run the commands of a connection that was dropped."""
        for job in jobs:
            self.run(job.args)

    def fail(self, error: str, name: str = "", count: int = 1) -> None:
        """Answer the next commands or scripts (of that name) with an error, and don't run them."""
        self._errors.append((error, name, count))

    def heal(self) -> None:
        """Answer no more errors."""
        self._errors.clear()

    # -- running commands

    def run(self, args: tuple[Any, ...]) -> Any:
        """Run a command."""
        name = toBytes(args[0]).decode().upper()
        if name == "EVALSHA":
            name = DIGESTS.get(toBytes(args[1]), name)
        for index, (error, wanted, count) in enumerate(self._errors):
            if not wanted or wanted == name:
                self._errors[index : index + 1] = [(error, wanted, count - 1)] if count > 1 else []
                return RedisError(error)
        self.log.append((name, args))
        return self.store.execute(*args)

    def _publish(self, channel: bytes, data: bytes) -> int:
        heard = [client for client in self.clients if channel in client.channels]
        for client in heard:
            for delay in self.deliveries(channel, data):
                client.push([b"message", channel, data], delay)
        return len(heard)

    def abandon(self, jobs: Sequence[Job]) -> None:
        """The client has dropped the connection of these commands while the server hangs."""
        self._late.append(list(jobs))


class _Direct:
    """What `onUp` gets: commands go to the new connection at once."""

    def __init__(self, client: FakeClient) -> None:
        self._client = client

    def send(self, reply: Callable[[Any], object], *args: Any) -> None:
        self._client.write(reply, args)

    def ask(self, *args: Any) -> Deferred[Any]:
        return _asked(self.send, *args)

    def subscribe(self, channel: str | bytes) -> Deferred[Any]:
        return self._client.listen(toBytes(channel), True, self.send)

    def unsubscribe(self, channel: str | bytes) -> Deferred[Any]:
        return self._client.listen(toBytes(channel), False, self.send)


def _asked(send: Callable[..., None], *args: Any) -> Deferred[Any]:
    answer: Deferred[Any] = Deferred()
    send(lambda reply: (answer.errback if isinstance(reply, Exception) else answer.callback)(reply), *args)
    return answer


class FakeClient:
    """See `txroom.engine.redis.client.RedisClient`."""

    _log = Logger()

    def __init__(self, server: FakeRedis) -> None:
        self.server = server
        self.isUp = False
        self.hello: dict[str, Any] = {"server": "redis", "version": "7.0.15", "role": "master"}
        self.onUp: Callable[[Commands], Awaitable[Any] | None] = lambda redis: None
        self.onDown: Callable[[], object] = lambda: None
        self.onPush: Callable[[list[Any]], object] = lambda message: None
        self.afterReplies: Callable[[], object] = lambda: None
        self.onRefused: Callable[[Exception], object] = lambda error: None
        self.channels: set[bytes] = set()
        self._isConnected = False
        #: Counts the connections.
        self._number = 0
        self._waiting: deque[Job] = deque()
        self._outgoing: deque[Job] = deque()
        self._answered: deque[Job] = deque()
        self._pushes: deque[list[Any]] = deque()
        self._unsent: list[Callable[[Any], object]] = []
        self._calls: dict[str, IDelayedCall] = {}
        self._starting: Deferred[None] | None = None
        self._isStopped = False
        #: Whether the process is suspended: what comes to it waits.
        self._isPaused = self._isCutOff = False
        self._held: list[Callable[[], None]] = []

    # -- for users

    def start(self) -> Deferred[None]:
        self._starting = Deferred()
        self._later("connect", 0, self._connect)
        return self._starting

    def stop(self) -> Deferred[None]:
        self._isStopped = True
        done: Deferred[None] = Deferred()
        if self in self.server.clients:
            self.server.clients.remove(self)
        self._disconnect()
        for job in self._waiting:
            job.callback(NotSent("the client is stopped"))
        self._waiting.clear()
        for call in self._calls.values():
            if call.active():
                call.cancel()
        done.callback(None)
        return done

    def reconnect(self, why: str) -> None:
        self.cut()

    def move(self, server: FakeRedis) -> None:
        """From now on the address leads to another server."""
        self.server.clients.remove(self)
        server.clients.append(self)
        self.cut()
        self.server = server

    def send(self, reply: Callable[[Any], object], *args: Any) -> None:
        for arg in args:
            if type(arg) not in (str, bytes, int, float):
                raise TypeError(f"{arg!r} is no argument")
        if self.isUp:
            self.write(reply, args)
        elif self._isStopped:
            self._unsent.append(reply)
            self._later("unsent", 0, self._failUnsent)
        else:
            job = Job(reply, args)
            self._waiting.append(job)
            self.server.clock.callLater(TIMEOUT, self._due, lambda: self._overdue(job))

    def ask(self, *args: Any) -> Deferred[Any]:
        return _asked(self.send, *args)

    def subscribe(self, channel: str | bytes) -> Deferred[Any]:
        return self.listen(toBytes(channel), True, self.send)

    def unsubscribe(self, channel: str | bytes) -> Deferred[Any]:
        return self.listen(toBytes(channel), False, self.send)

    # -- connections

    def _later(self, name: str, seconds: float, function: Callable[[], None]) -> None:
        """Call a function later, unless it is going to be called already."""
        if name not in self._calls or not self._calls[name].active():
            self._calls[name] = self.server.clock.callLater(seconds, self._due, function)

    def _due(self, function: Callable[[], None]) -> None:
        """Something comes to the process."""
        if self._isPaused and function != self.arrive:  # that is at the server
            self._held.append(function)
        else:
            function()

    def pause(self) -> None:
        """Suspend the process."""
        self._isPaused = True

    def resume(self) -> None:
        """Let the process go on: everything that came meanwhile comes now."""
        self._isPaused = False
        held, self._held = self._held, []
        for function in held:
            function()

    def _connect(self) -> None:
        if self._isStopped or self._isConnected:
            return
        if not self.server.isUp:
            self._later("connect", self.server.again(), self._connect)
            return
        self._isConnected = True
        self._isCutOff = False
        self._number += 1
        Deferred.fromCoroutine(self._prepare(self._number)).addErrback(self._unprepared, self._number)

    async def _prepare(self, number: int) -> None:
        prepared = self.onUp(_Direct(self))
        if prepared is not None:
            await prepared
        if number != self._number or not self._isConnected:
            return
        self.isUp = True
        while self._waiting:
            job = self._waiting.popleft()
            self.write(job.callback, job.args)
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.callback(None)

    def _unprepared(self, failure: Any, number: int) -> None:
        if number == self._number and self._isConnected:
            self._disconnect()
            self._later("connect", self.server.again(), self._connect)

    def cut(self, executed: int = 0) -> None:
        """Lose the connection; so many of the commands on their way are run before that."""
        for _ in range(min(executed, len(self._outgoing))):
            job = self._outgoing.popleft()
            job.reply = self.server.run(job.args)
            self._answered.append(job)
        self._isCutOff = True
        self._due(self._drop)

    def _drop(self) -> None:
        if self._isConnected:
            self._disconnect()
            self._later("connect", self.server.again(), self._connect)

    def _disconnect(self) -> None:
        wasUp, self.isUp, self._isConnected = self.isUp, False, False
        self.channels.clear()
        self._pushes.clear()
        lost = [*self._answered, *self._outgoing]
        if self.server.isHung:
            self.server.abandon(self._outgoing)
        self._answered, self._outgoing = deque(), deque()
        if wasUp:
            self.onDown()
        for job in lost:
            self._tell(job.callback, Lost("cut"))
        self.afterReplies()

    def _overdue(self, job: Job) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
            self._unsent.append(job.callback)
            self._failUnsent()

    def _failUnsent(self) -> None:
        unsent, self._unsent = self._unsent, []
        for callback in unsent:
            self._tell(callback, NotSent("not connected"))
        self.afterReplies()

    def _tell(self, callback: Callable[[Any], object], reply: Any) -> None:
        try:
            callback(reply)
        except Exception:
            self._log.failure("a callback raised")

    # -- the way there and back

    def write(self, callback: Callable[[Any], object], args: tuple[Any, ...]) -> None:
        """Put a command on its way."""
        if not self._isConnected:
            self._unsent.append(callback)
            self._later("unsent", 0, self._failUnsent)
            return
        self._outgoing.append(Job(callback, args, self.server.clock.seconds()))
        self._later("arrive", self.server.delay(), self.arrive)
        self._later("deadline", TIMEOUT, self._look)

    def arrive(self) -> None:
        """The commands on their way have arrived: run them."""
        if self.server.isHung or self._isCutOff or not self._isConnected:
            return
        while self._outgoing:
            job = self._outgoing.popleft()
            job.reply = self.server.run(job.args)
            self._answered.append(job)
        self._later("replies", self.server.delay(), self._replies)

    def _replies(self) -> None:
        answered, self._answered = self._answered, deque()
        pushes, self._pushes = self._pushes, deque()
        for message in pushes:
            self._tell(self.onPush, message)
        while answered:
            job = answered.popleft()
            self._tell(job.callback, job.reply)
            if not self._isConnected:
                break
        for job in answered:  # a callback has cut the connection
            self._tell(job.callback, Lost("cut"))
        self.afterReplies()

    def _look(self) -> None:
        """Drop a connection on which nothing is answered."""
        if self._outgoing:
            left = self._outgoing[0].at + TIMEOUT - self.server.clock.seconds()
            if left <= 0:
                self.cut()
            else:
                self._later("deadline", left, self._look)

    # -- channels

    def listen(self, channel: bytes, isOn: bool, send: Callable[..., None]) -> Deferred[Any]:
        """Subscribe or unsubscribe once the command has arrived."""

        def arrived(reply: Any) -> Any:
            (self.channels.add if isOn else self.channels.discard)(channel)
            return [b"subscribe" if isOn else b"unsubscribe", channel, len(self.channels)]

        return _asked(send, "PING").addCallback(arrived)

    def push(self, message: list[Any], delay: float) -> None:
        """A message of a channel."""
        if delay:
            number = self._number
            self.server.clock.callLater(delay, self._due, lambda: self._pushed(message, number))
        else:
            self._pushes.append(message)
            self._later("replies", self.server.delay(), self._replies)

    def _pushed(self, message: list[Any], number: int) -> None:
        if self._isConnected and number == self._number and message[1] in self.channels:
            self._tell(self.onPush, message)
            self.afterReplies()
