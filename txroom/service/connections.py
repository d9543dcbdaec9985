"""
The connections of a server: who is there, what was counted and logged of them, and how they end with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..core.application import broadcast
from ..core.codes import CloseCode, ReadyState, SendStatus
from ..core.connection import Connection
from ..core.handshake import Handshake, UpgradeError
from ..core.message import Data, Prepared
from ..core.refusallog import RefusalLog, shown
from ..core.validation import checkText
from ..http.admission import Admission
from ..wire.context import WireContext
from .accesslog import AccessLog
from .shutdown import ShutdownStep, inBatches

#: Connections told to go in one turn when the server stops, and seconds between two turns.
CLOSE_BATCH = 500
CLOSE_PAUSE = 0.05
#: Seconds for the last `onDisconnect` hooks, after the connections were dropped.
LAST_HOOKS_TIMEOUT = 1.0


@attrs.frozen
class Stats:
    """What a server has done since it was made (like verb's connection pool)."""

    #: Connections opened, and those open now.
    total: int
    active: int
    #: Upgrades that failed, by reason.
    rejected: dict[str, int]
    #: Messages, and the bytes of their payloads, uncompressed.
    messagesReceived: int
    bytesReceived: int
    messagesSent: int
    bytesSent: int


class Connections:
    """The open connections by id, in the order in which they came, and the upgrades that failed."""

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

    @property
    def all(self) -> list[Connection]:
        """Those that are open."""
        return list(self._connections.values())

    def get(self, id: str) -> Connection | None:
        """The open connection with that id; raises `TypeError` for what is no id."""
        checkText("id", id)
        return self._connections.get(id)

    def send(self, id: str, data: Data) -> SendStatus:
        """Send to the connection with that id; `CLOSED` if there is none."""
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
        """The counters."""
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

    # -- who comes and goes

    def opened(self, connection: Connection, isTracking: bool) -> None:
        """One more, which its application tracks too if `isTracking`."""
        self._total += 1
        self._connections[connection.id] = connection
        self._admission.open = len(self._connections)
        connection.application._opened(connection, isTracking)
        self._accesses.upgrade(connection.handshake, 101)
        if self._context.isTracing:
            self._log.debug(
                "{id} connect {path} from {peer}",
                id=connection.id,
                path=connection.handshake.path,
                peer=connection.handshake.peer,
            )

    def closed(self, connection: Connection) -> None:
        """One less; its last hook may still run."""
        self._connections.pop(connection.id, None)
        self._admission.open = len(self._connections)
        connection.application._closed(connection)

    def finished(self) -> None:
        """The last hook of a connection is over, or a connection that was no WebSocket is gone."""
        if self._emptied is not None and self._isEmpty:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)

    def refused(self, error: UpgradeError, handshake: Handshake | None) -> None:
        """An upgrade failed; the handshake is `None` if the request could not be read."""
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
        """Log how many upgrades failed beside those that were logged one by one."""
        self._refusals.sumUp()

    # -- when the server stops

    def shutdownSteps(self) -> Iterator[ShutdownStep]:
        """Close them; drop those that stay until the deadline; and give their last hooks a little time."""
        yield ShutdownStep(self._admission.drain, lambda: "handshakes")
        yield ShutdownStep(self.closeAll, self.describe)
        yield ShutdownStep(self.dropAll, lambda: "connections")
        yield ShutdownStep(self.whenEmpty, self.describe, LAST_HOOKS_TIMEOUT)

    async def closeAll(self) -> None:
        """Tell all connections to go; over when they are gone."""

        def close(connection: Connection) -> None:
            if connection.readyState is ReadyState.OPEN:
                try:
                    connection.application.shutDown(connection)
                except Exception:
                    self._log.failure("connection {id} could not be shut down", id=connection.id)
                    connection.close(CloseCode.GOING_AWAY)

        await inBatches(self._clock, self.all, CLOSE_BATCH, CLOSE_PAUSE, close)
        await self.whenEmpty()

    def dropAll(self) -> None:
        """Drop every connection, of pages too, and cancel every hook that still runs."""
        for connection in self.all:
            connection.terminate()
            connection.cancelHook()
        for protocol in list(self._context.finishing):
            protocol.cancelHook()
        self._admission.dropAll()

    def whenEmpty(self) -> Deferred[None]:
        """Fires when all connections are gone, also of pages and refused clients, and the last hooks over."""
        if self._isEmpty:
            return succeed(None)
        self._emptied = Deferred()
        return self._emptied

    def describe(self) -> str:
        """Who is still here, in words."""
        finishing = len(self._context.finishing)
        return f"connections ({len(self._connections)} open, {finishing} with a hook that runs)"

    @property
    def _isEmpty(self) -> bool:
        return not self._connections and not self._context.finishing and self._admission.isDrained
