"""
The connections of a server: the open ones, the counters, the log of refusals, and how they close.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import attrs
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ..core.application import broadcast
from ..core.codes import CloseCode, ReadyState, SendStatus
from ..core.connection import Connection
from ..core.handshake import Handshake, UpgradeError
from ..core.message import Data, Prepared
from ..core.pace import STEP, Pace
from ..core.refusallog import RefusalLog, shown
from ..core.validation import checkText
from ..http.admission import Admission
from ..wire.context import WireContext
from .accesslog import AccessLog
from .shutdown import ShutdownStep, inBatches

#: How many connections are closed in one turn of the reactor when the server stops, and the seconds between
#: turns.
CLOSE_BATCH = 500
CLOSE_PAUSE = 0.05
#: The most seconds in which the connections are closed, when the server stops, if other processes go on for
#: this one.
LEAVE_SECONDS = 5.0
#: For how many seconds a client is expected to come back, if it is in rooms, and otherwise.
RETURN, PLAIN_RETURN = 2.0, 0.25
#: The seconds for the last `onDisconnect` hooks after the connections were dropped.
LAST_HOOKS_TIMEOUT = 1.0


@attrs.frozen
class Stats:
    """What a server has done since it was made (like the statistics of verb's connection pool)."""

    #: The number of connections that were opened, and of those that are open.
    total: int
    active: int
    #: The number of upgrades that failed, by the reason of the `UpgradeError`.
    rejected: dict[str, int]
    #: The number of messages, and of their payload bytes before compression.
    messagesReceived: int
    bytesReceived: int
    messagesSent: int
    bytesSent: int


class Connections:
    """The open connections by id, in the order in which they were opened, and the failed upgrades."""

    _log = Logger()

    def __init__(
        self, context: WireContext, admission: Admission, clock: IReactorTime, accesses: AccessLog
    ) -> None:
        self._context = context
        self._admission = admission
        self._clock = clock
        self._accesses = accesses
        self._connections: dict[str, Connection] = {}
        self._refusals = RefusalLog("upgrade", self._log, clock)
        self._rejected: Counter[str] = Counter()
        self._total = 0
        self._emptied: Deferred[None] | None = None
        #: Called with each connection that is opened.
        self.whenOpened: Callable[[Connection], object] | None = None

    @property
    def all(self) -> list[Connection]:
        """The open connections."""
        return list(self._connections.values())

    def get(self, id: str) -> Connection | None:
        """Return the open connection with that id, or `None`. Raises `TypeError` if `id` is not a string."""
        checkText("id", id)
        return self._connections.get(id)

    def send(self, id: str, data: Data) -> SendStatus:
        """Send to the connection with that id. Returns `CLOSED` if there is none."""
        connection = self.get(id)
        return SendStatus.CLOSED if connection is None else connection.send(data)

    def disconnect(self, id: str, code: int | None, reason: str) -> None:
        """Close the connection with that id, if there is one."""
        connection = self.get(id)
        if connection is not None:
            connection.close(code, reason)

    def broadcast(self, data: Data | Prepared, exclude: Connection | Iterable[Connection]) -> None:
        """Send one message to all connections of plain applications, except `exclude`."""
        broadcast([each for each in self.all if each.application.isPlain], data, exclude)

    def stats(self) -> Stats:
        """Return the counters."""
        context = self._context
        return Stats(
            self._total,
            len(self._connections),
            dict(self._rejected),
            context.messagesReceived,
            context.bytesReceived,
            context.messagesSent,
            context.bytesSent,
        )

    # -- connections that open and close

    def opened(self, connection: Connection, isTracking: bool) -> None:
        """Add a connection. Its application tracks it too if `isTracking` is true."""
        self._total += 1
        self._connections[connection.id] = connection
        self._admission.open = len(self._connections)
        connection.application._opened(connection, isTracking)
        self._accesses.upgrade(connection.handshake, 101)
        if self.whenOpened is not None:
            self.whenOpened(connection)
        if self._context.isTracing:
            self._log.debug(
                "{id} connect {path} from {peer}",
                id=connection.id,
                path=connection.handshake.path,
                peer=connection.handshake.peer,
            )

    def closed(self, connection: Connection) -> None:
        """Remove a connection. Its last hook may still be running."""
        self._connections.pop(connection.id, None)
        self._admission.open = len(self._connections)
        connection.application._closed(connection)

    def finished(self) -> None:
        """
        Fire the Deferred of `whenEmpty` if nothing remains.

        Called when the last hook of a connection has ended, or a connection that was not a WebSocket.
        """
        if self._emptied is not None and self._isEmpty:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)

    def refused(self, error: UpgradeError, handshake: Handshake | None) -> None:
        """Count and log a failed upgrade. `handshake` is `None` if the request could not be read."""
        self._rejected[error.reason] += 1
        if error.status:
            asked = "a request that can't be read" if handshake is None else shown(handshake.path)
            peer = "" if handshake is None else shown(handshake.peer)
            self._refusals.note(f"{error.status} {shown(error.reason)}", asked, peer)
        if handshake is not None and error.status:
            self._accesses.upgrade(handshake, error.status)
        if self._context.isTracing:
            self._log.debug("upgrade refused: {error}", error=error)

    def sumUpRefusals(self) -> None:
        """Log how many upgrades failed besides those that were logged one by one."""
        self._refusals.sumUp()

    # -- when the server stops

    def shutdownSteps(self, hasLeft: bool, seconds: float) -> Iterator[ShutdownStep]:
        """
        Yield the steps that close all connections, drop those that remain at the deadline, and wait briefly
        for the last hooks.

        Args:
            hasLeft: Whether other processes go on for this one, so that clients connect again at once.
            seconds: The time for the whole shutdown.
        """
        yield ShutdownStep(self._admission.drain, lambda: "handshakes")
        yield ShutdownStep(partial(self.closeAll, hasLeft, seconds), self.describe)
        yield ShutdownStep(self.dropAll, lambda: "connections")
        yield ShutdownStep(self.whenEmpty, self.describe, LAST_HOOKS_TIMEOUT)

    async def closeAll(self, hasLeft: bool, seconds: float) -> None:
        """Close all connections, and wait until they are gone; see `shutdownSteps`."""

        if hasLeft:
            await self.sendAway(min(LEAVE_SECONDS, seconds / 2))
        else:
            await inBatches(
                self._clock, self.all, CLOSE_BATCH, CLOSE_PAUSE, lambda each: self._shutDown(each, False)
            )
        await self.whenEmpty()

    async def sendAway(self, seconds: float) -> None:
        """Close all connections at the pace at which the clients come back; see `Server.sendAway`."""
        waiting = deque(self.all)
        pace = Pace(len(waiting), seconds, self._clock.seconds())
        departures: list[Deferred[None]] = []
        while waiting:
            while waiting and pace.goes(1, self._clock.seconds()):
                departures.append(self._sendAway(waiting.popleft(), pace))
            await deferLater(self._clock, STEP)
        await DeferredList(departures)

    def _sendAway(self, connection: Connection, pace: Pace) -> Deferred[None]:
        """Close a connection. The Deferred fires when the client is back, as far as that is known."""
        begun = self._clock.seconds()
        isBack = self._shutDown(connection, True) or deferLater(self._clock, PLAIN_RETURN)
        late = self._clock.callLater(RETURN, pace.back, 1, RETURN)

        def over(_: object) -> None:
            if late.active():
                late.cancel()
                pace.back(1, self._clock.seconds() - begun)

        return isBack.addBoth(over)

    def _shutDown(self, connection: Connection, hasLeft: bool) -> Deferred[None] | None:
        if connection.readyState is not ReadyState.OPEN:
            return None
        try:
            return connection.application.shutDown(connection, hasLeft)
        except Exception:
            self._log.failure("connection {id} could not be shut down", id=connection.id)
            connection.close(CloseCode.GOING_AWAY)
            return None

    def dropAll(self) -> None:
        """Abort every connection, those of page requests too, and cancel every running hook."""
        for connection in self.all:
            connection.terminate()
            connection.cancelHook()
        for protocol in list(self._context.finishing):
            protocol.cancelHook()
        self._admission.dropAll()

    def whenEmpty(self) -> Deferred[None]:
        """
        Return a Deferred that fires when all connections are closed, those of pages and refused clients too,
        and the last hooks have ended.
        """
        if self._isEmpty:
            return succeed(None)
        self._emptied = Deferred()
        return self._emptied

    def describe(self) -> str:
        """Return a text for the log that says which connections and hooks remain."""
        finishing = len(self._context.finishing)
        return f"connections ({len(self._connections)} open, {finishing} with a running hook)"

    @property
    def _isEmpty(self) -> bool:
        return not self._connections and not self._context.finishing and self._admission.isDrained
