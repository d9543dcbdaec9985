"""
The WebSockets of the admin listener: those of the RPC interface, at "/rpc".

They belong to a gateway of their own, so that they count neither among the server's connections nor in its
rooms, and have limits of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from ..core.application import Application
from ..core.connection import Connection
from ..core.handshake import Handshake, UpgradeError
from ..core.options import ServerOptions
from ..engine.memory import MemoryEngine
from ..http.gateway import Gateway
from ..http.negotiation import HeadersHook
from ..http.request import isUpgrade
from ..http.resource import handshakeOf, headersOf, upgrade
from ..rooms.edge.dialect import isForRooms
from ..service.accesslog import AccessLog
from ..service.connections import Connections
from ..service.shutdown import ShutdownSequence, ShutdownStep
from .endedsessions import EndedSessions
from .guard import UNIX, Caller
from .jsonrpc import JsonRpcApplication
from .problems import RETRY_AFTER, Problem
from .reserve import mostFor
from .rpc import BURST, CALLER, RATE, Rpc
from .rpcrooms import RpcApplication
from .secrets import Role
from .session import Session
from .sessionsockets import SessionSockets

PATH = "/rpc"
#: The most bytes of a message of a client, and the most that wait for a client that reads slowly.
MOST_RECEIVED, MOST_WAITING = 64 * 1024, 8 << 20
#: The most sockets, and the most of one address; see `mostFor`.
MOST_SOCKETS, MOST_OF_ADDRESS = 256, 64
#: The key of `Handshake.data` under which the `Session` is, or `None`.
_SESSION = "session"
#: The seconds for the sockets to close when the listener stops.
CLOSING = 0.8


class Sockets:
    """
    Opens, counts and closes the sockets.

    Args:
        rpc: The RPC interface.
        clock: The clock.
        ended: The sessions of browsers that have ended.
    """

    #: The gateway asks for these: no hook of the server's own users is called here.
    responseHeaders: HeadersHook | None = None
    isLocal = False

    def __init__(self, rpc: Rpc, clock: IReactorTime, ended: EndedSessions) -> None:
        #: Whether no sockets are opened.
        self.isDraining = False
        options = ServerOptions(
            maxPayload=MOST_RECEIVED,
            maxBackpressure=MOST_WAITING,
            maxConnections=MOST_SOCKETS,
            maxConnectionsPerAddress=MOST_OF_ADDRESS,
        )
        self._gateway = Gateway(self, options, clock)
        context, admission = self._gateway.context, self._gateway.admission
        self._connections = Connections(context, admission, context.clock, AccessLog())
        limits: dict[str, Any] = {"messageRate": RATE, "messageBurst": BURST}
        self._rooms = RpcApplication(rpc, PATH, **limits)
        self._rooms.begin(MemoryEngine().rooms(PATH, self._rooms), context.clock, options.highWaterMark)
        self._plain = JsonRpcApplication(rpc, **limits)
        self._bySession = SessionSockets(ended, context.clock)
        self._stop = ShutdownSequence(clock, self._steps, lambda: None, "")

    def open(self, request: Request, caller: Caller, session: Session | None) -> Any:
        """
        Upgrade a request to a socket.

        Args:
            request: The request.
            caller: The sender of it.
            session: The sender's session, with which the socket ends; `None`: there is none.

        Returns:
            The body of an answer that refuses it, or `NOT_DONE_YET`.

        Raises:
            Problem: 426, it doesn't ask for an upgrade; 503, callers of this role have too many sockets.
        """
        if not isUpgrade(headersOf(request)):
            raise Problem(426, "a WebSocket is served here", headers={"Upgrade": "websocket"})
        handshake = handshakeOf(request, self._gateway.options)
        self._checkReserve(caller)
        handshake.data[CALLER], handshake.data[_SESSION] = caller, session
        application = self._rooms if isForRooms(handshake.protocols) else self._plain
        return upgrade(self._gateway, request, application, handshake=handshake)

    def _checkReserve(self, caller: Caller) -> None:
        """Raise `Problem` if the caller may only read, and such callers have too many sockets."""
        if caller.role > Role.READ:
            return
        callers = [each.handshake.data[CALLER] for each in self._connections.all]
        readers = [each.address for each in callers if each.role is Role.READ]
        ofAddress = 0 if caller.address == UNIX else readers.count(caller.address)
        isFull = len(readers) >= mostFor(caller.role, MOST_SOCKETS)
        if isFull or ofAddress >= mostFor(caller.role, MOST_OF_ADDRESS):
            text = "too many sockets are open"
            raise Problem(503, text, headers={"Retry-After": str(RETRY_AFTER)})

    def start(self) -> None:
        """Open sockets, perhaps again."""
        self.isDraining = False

    def leave(self) -> None:
        """Close all sockets, because other processes serve from now on, and open no more."""
        self.isDraining = True
        Deferred.fromCoroutine(self._connections.closeAll(True, CLOSING))

    def stop(self) -> Deferred[None]:
        """Close all sockets; fires when they are closed, within `CLOSING` seconds."""
        self.isDraining = True
        self._bySession.stop()
        return self._stop.run(CLOSING)

    def _steps(self) -> Iterator[ShutdownStep]:
        yield from self._connections.shutdownSteps(False, CLOSING)
        yield ShutdownStep(self._rooms.stop, lambda: "rooms to end")
        self._connections.sumUpRefusals()

    # -- called by the gateway; see `GatewayServer`

    def applicationFor(self, handshake: Handshake) -> Application | None:
        """Return `None`: `open` says which application it is."""
        return None

    def refuserFor(self, handshake: Handshake) -> Application | None:
        """Return `None`: `open` knows all paths."""
        return None

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        """Called when the 101 answer of a connection is written."""
        self._connections.opened(connection, True)
        self._bySession.add(connection, connection.handshake.data[_SESSION])
        connection.opened(None)

    def closed(self, connection: Connection) -> None:
        """Called when the TCP connection of a socket is closed."""
        self._connections.closed(connection)

    def finished(self) -> None:
        """Called when the last hook of a connection has ended."""
        self._connections.finished()

    def refused(self, error: UpgradeError, handshake: Handshake | None) -> None:
        """Called when an upgrade has failed."""
        self._connections.refused(error, handshake)
