"""
The client of a Redis server. It keeps one connection, and makes a new one when that is lost.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...core.interfaces import ClientEndpoint
from .address import RedisAddress
from .resp import Aging, Commands, Connection, Lost, NotSent, RedisError, Reply, Sender
from .welcome import NotReady, RedisRefused, refusal, welcome

__all__ = ["ClientState", "RedisClient", "RedisRefused"]

#: The first and the longest delay before an attempt to connect, in seconds, and the factor between two.
_FIRST_DELAY, _MAX_DELAY, _GROWTH = 0.05, 2.0, 1.5
#: How often within `timeout` a client looks for what is overdue, and how many looks a command may see.
_LOOKS, _PATIENCE = 5, 4
#: How long `stop` waits until the connection is closed, in seconds.
_CLOSE_TIMEOUT = 1.0


class ClientState(StrEnum):
    """
    The state of a client.

    ::

        idle --start--> connecting --connected--> preparing --prepared--> up
        connecting, preparing, up --lost--> waiting --delay over--> connecting
        preparing --refused--> refused
        any --stop--> stopped
    """

    IDLE = "idle"
    CONNECTING = "connecting"
    #: The connection is open; the client authenticates, and then `onUp` prepares it.
    PREPARING = "preparing"
    UP = "up"
    #: The connection is lost; the client waits before it connects again.
    WAITING = "waiting"
    #: The server refuses the client, which does not connect again.
    REFUSED = "refused"
    STOPPED = "stopped"


_OVER = frozenset({ClientState.REFUSED, ClientState.STOPPED})


class _Backlog:
    """The commands that wait until the client is up."""

    def __init__(self) -> None:
        self._held: deque[tuple[Reply, bytes]] = deque()
        self._aging = Aging(_PATIENCE)
        self._begun = 0
        self.size = 0

    @property
    def count(self) -> int:
        """How many commands wait."""
        return len(self._held)

    def add(self, reply: Reply, data: bytes) -> None:
        """Add a command."""
        self._held.append((reply, data))
        self._begun += 1
        self.size += len(data)

    def take(self) -> tuple[Reply, bytes]:
        """Remove and return the oldest command."""
        reply, data = self._held.popleft()
        self.size -= len(data)
        return reply, data

    def look(self) -> int:
        """Return how many of the oldest commands are overdue."""
        return self._aging.look(self._begun, self._begun - len(self._held))


class RedisClient(Sender):
    """
    A connection to Redis that reconnects by itself, and whose commands have a deadline.

    Commands that are sent while the client is not up wait until it is, and fail with `NotSent` if that takes
    too long. When the connection is lost, the commands without a reply fail with `Lost`.

    Args:
        clock: The reactor.
        address: The address of the server, or its URL as for `RedisAddress.parse`.
        endpoint: Connects in place of the address, which still says who the client is and which database it
            uses.
        name: The name of the connection in Redis's list of clients, without spaces.
        timeout: How many seconds a command may take, and an attempt to connect. After four fifths of it, or
            later, the command fails and the connection is dropped.
        maxCommands: The most commands that may be without a reply. A further one fails with `NotSent`.
        maxBytes: The most bytes of such commands.
        isQuiet: Whether it logs what happens to its connection only at the level debug. This is for a further
            client of the same server, whose lines would be the same. A refusal is always logged.
        random: Returns a number from 0 to 1, for the random part of delays.

    Raises:
        ValueError: The URL is wrong, or its files for TLS cannot be used.
    """

    _log = Logger()

    def __init__(
        self,
        clock: Any,
        address: RedisAddress | str,
        *,
        endpoint: ClientEndpoint | None = None,
        name: str = "txroom",
        timeout: float = 5.0,
        maxCommands: int = 65536,
        maxBytes: int = 64 * 1024 * 1024,
        isQuiet: bool = False,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.address = RedisAddress.parse(address) if isinstance(address, str) else address
        self.state = ClientState.IDLE
        #: What the server said about itself at the newest connection: `server`, `version`, `role` and more.
        self.hello: dict[str, Any] = {}
        #: Called with each new connection, to prepare it: for example to subscribe. Other commands wait until
        #: the result has fired. If it fails, the connection is dropped, and the client connects again.
        self.onUp: Callable[[Commands], Awaitable[Any] | None] = lambda redis: None
        #: Called when the client is not up any more, before the commands in flight fail.
        self.onDown: Callable[[], object] = lambda: None
        #: Called with each message that Redis sends by itself, such as ``[b"message", channel, data]``.
        self.onPush: Callable[[list[Any]], object] = lambda message: None
        #: Called after the callbacks of all replies that arrived together.
        self.afterReplies: Callable[[], object] = lambda: None
        #: Called if the server refuses the client after it has been up. The client does not connect again.
        self.onRefused: Callable[[RedisRefused], object] = lambda error: None
        self._clock = clock
        self._endpoint = endpoint or self.address.endpoint(clock, timeout)
        self._name = name
        self._timeout = timeout
        self._maxCommands, self._maxBytes = maxCommands, maxBytes
        self._isQuiet = isQuiet
        self._random = random
        self._factory: Any = Factory()
        self._factory.protocol = partial(Connection, self, _PATIENCE)
        self._factory.noisy = False
        self._attempt: Deferred[Any] | None = None
        self._looksOfAttempt = 0
        self._failures = 0
        self._connection: Connection | None = None
        self._up: Connection | None = None
        self._upSince = 0.0
        self._backlog = _Backlog()
        self._unsent: list[tuple[Reply, str]] = []
        self._calls: dict[str, IDelayedCall] = {}
        self._starting: Deferred[None] | None = None
        self._stopping: list[Deferred[None]] = []
        self._told = ""

    @property
    def isUp(self) -> bool:
        """Whether commands are sent at once."""
        return self._up is not None

    # -- commands

    def write(self, reply: Reply, data: bytes) -> None:
        """Write an encoded command, or keep it until the client is up."""
        pipeline = self._up or self._backlog
        if self.state in _OVER:
            self.unsent(reply, f"the client of Redis is {self.state}")
        elif pipeline.count >= self._maxCommands or pipeline.size + len(data) > self._maxBytes:
            self.unsent(reply, "too many commands wait for Redis")
        elif self._up is None:
            self._backlog.add(reply, data)
        else:
            self._up.write(reply, data)

    def unsent(self, reply: Reply, why: str) -> None:
        """Call `reply` with `NotSent` in another turn of the reactor."""
        self._unsent.append((reply, why))
        if "unsent" not in self._calls:
            self._later("unsent", 0, self._failUnsent)

    def _failUnsent(self) -> None:
        unsent, self._unsent = self._unsent, []
        for reply, why in unsent:
            self._call(reply, NotSent(why))
        if unsent:
            self._call(self.afterReplies)

    def _failBacklog(self, count: int, why: str) -> None:
        for _ in range(count):
            self._unsent.append((self._backlog.take()[0], why))
        self._failUnsent()

    # -- start and stop

    def start(self) -> Deferred[None]:
        """
        Connect.

        Returns:
            A Deferred that fires once the client is up. It fails with `RedisRefused` if the server refuses
            the client before that, and with `NotSent` if the client is stopped.
        """
        if self.state is not ClientState.IDLE:
            raise RuntimeError("a client of Redis is started once")
        self._starting = Deferred()
        self._later("look", self._timeout / _LOOKS, self._look)
        self._connect()
        return self._starting

    def stop(self) -> Deferred[None]:
        """
        Close the connection. Commands without a reply fail.

        Returns:
            A Deferred that fires when the connection is closed.
        """
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        if self.state is not ClientState.STOPPED:
            self._end(ClientState.STOPPED, NotSent("the client of Redis is stopped"))
        if self._connection is None:
            self._stopped()
        elif "close" not in self._calls:
            self._connection.close()
            self._later("close", _CLOSE_TIMEOUT, partial(self._connection.fail, "it does not close"))
        return stopped

    def reconnect(self, why: str) -> None:
        """Drop the connection, and connect again. `why` is for the log."""
        if self._connection is not None:
            self._connection.fail(why)

    def _stopped(self) -> None:
        self._cancel("close")
        stopping, self._stopping = self._stopping, []
        for stopped in stopping:
            stopped.callback(None)

    def _end(self, state: ClientState, error: Exception) -> None:
        self.state = state
        self._up = None
        for call in ("look", "connect", "unsent"):
            self._cancel(call)
        if self._attempt is not None:
            self._attempt.cancel()
        self._failBacklog(self._backlog.count, str(error))
        starting, self._starting = self._starting, None
        if starting is not None and not starting.called:
            starting.errback(error)
        elif isinstance(error, RedisRefused):
            self._call(self.onRefused, error)

    # -- connecting

    def _connect(self) -> None:
        self.state = ClientState.CONNECTING
        self._looksOfAttempt = 0
        attempt: Deferred[Any] = self._endpoint.connect(self._factory)
        self._attempt = attempt
        attempt.addCallbacks(lambda connection: None, self._failed)

    def _failed(self, failure: Failure) -> None:
        self._attempt = None
        if self.state is ClientState.CONNECTING:
            self._again(f"cannot connect: {failure.getErrorMessage() or 'no answer'}")

    def _again(self, why: str) -> None:
        self.state = ClientState.WAITING
        delay = min(_MAX_DELAY, _FIRST_DELAY * _GROWTH**self._failures)
        self._failures += 1
        self._tell(why)
        self._later("connect", delay * (0.5 + self._random()), self._connect)

    def _tell(self, why: str) -> None:
        """Log a problem, but not again at each attempt."""
        if why != self._told:
            self._told = why
            tell = self._log.debug if self._isQuiet else self._log.warn
            tell("Redis, {address}: {why}; trying again", address=str(self.address), why=why.rstrip("."))

    def connected(self, connection: Connection) -> None:
        """A connection is open."""
        self._attempt = None
        if self.state is not ClientState.CONNECTING:
            connection.fail("it comes too late")
            return
        self.state = ClientState.PREPARING
        self._connection = connection
        preparing = Deferred.fromCoroutine(self._prepare(connection))
        preparing.addErrback(self._unprepared, connection)

    async def _prepare(self, connection: Connection) -> None:
        self.hello = await welcome(connection, self.address, self._name)
        prepared = self.onUp(connection)
        if prepared is not None:
            await prepared
        if connection is self._connection and self.state is ClientState.PREPARING:
            self._prepared(connection)

    def _prepared(self, connection: Connection) -> None:
        self.state = ClientState.UP
        self._up = connection
        self._upSince = self._clock.seconds()
        self._told = ""
        if not self._isQuiet:
            self._log.info(
                "Redis, {address}: connected to {server} {version}",
                address=str(self.address),
                server=self.hello.get("server"),
                version=self.hello.get("version"),
            )
        while self._backlog.count:
            connection.write(*self._backlog.take())
        starting, self._starting = self._starting, None
        if starting is not None and not starting.called:
            starting.callback(None)

    def _unprepared(self, failure: Failure, connection: Connection) -> None:
        error = failure.value
        if connection is not self._connection or self.state is not ClientState.PREPARING:
            return
        refused = refusal(error) if isinstance(error, Exception) else None
        if refused is not None:
            self._log.error("Redis, {address}: refused: {why}", address=str(self.address), why=str(refused))
            connection.fail("refused")
            self._end(ClientState.REFUSED, refused)
            return
        if not isinstance(error, RedisError | NotReady | Lost | NotSent):
            self._log.failure("Redis: a connection could not be prepared", failure)
        connection.fail(failure.getErrorMessage())

    def disconnected(self, connection: Connection, why: str) -> None:
        """A connection is lost."""
        if connection is not self._connection:
            return
        wasUp = self._up is connection
        self._up = self._connection = None
        if self.state is ClientState.STOPPED:
            self._stopped()
        elif self.state is not ClientState.REFUSED:
            if wasUp and self._clock.seconds() - self._upSince > _MAX_DELAY:
                self._failures = 0
            self._again(why)
        if wasUp:
            self._call(self.onDown)

    # -- messages and time

    def pushed(self, message: list[Any]) -> None:
        """Redis has sent a message by itself."""
        self._call(self.onPush, message)

    def received(self) -> None:
        """All callbacks of replies that arrived together were called."""
        self._call(self.afterReplies)

    def _look(self) -> None:
        self._later("look", self._timeout / _LOOKS, self._look)
        self._failBacklog(self._backlog.look(), "Redis cannot be reached")
        if self._connection is not None:
            self._connection.look()
        elif self._attempt is not None:
            self._looksOfAttempt += 1
            if self._looksOfAttempt > _PATIENCE:
                self._attempt.cancel()

    def _later(self, name: str, seconds: float, call: Callable[[], object]) -> None:
        def run() -> None:
            del self._calls[name]
            call()

        self._calls[name] = self._clock.callLater(seconds, run)

    def _cancel(self, name: str) -> None:
        call = self._calls.pop(name, None)
        if call is not None:
            call.cancel()

    def _call(self, hook: Callable[..., object], *args: Any) -> None:
        try:
            hook(*args)
        except Exception:
            self._log.failure("Redis: a callback raised an exception")
