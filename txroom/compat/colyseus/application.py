"""
The application that serves Colyseus's clients in the rooms of a `RoomApplication`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred

from ...core.application import Application
from ...core.codes import CloseCode
from ...core.connection import Connection
from ...core.handshake import Deny, Handshake
from ...core.headers import Headers
from ...core.hooks import Hook
from ...core.message import Data, Prepared
from ...rooms.application import RoomApplication
from ...rooms.edge.session import RoomSession
from .codes import MAY_TRY_RECONNECT, WITH_ERROR
from .matchmaking import PROCESS, bearerOf
from .openseats import OpenSeats
from .session import ColyseusSession, ProbeSession

_ROOM = re.compile("[A-Za-z0-9_-]{1,128}")
_TOKEN = re.compile("[!-~]+")


class ColyseusApplication(Application):
    """
    Serves the clients of Colyseus 0.16 to 0.18 in rooms that clients of txroom may be in too.

    `Server.addColyseus` makes it. Its `verifyClient`, `acceptsOrigin` and options are those of the rooms,
    unless others are given. `verifyClient` is called when a client asks for a seat, and again when it
    connects; the `auth.token` of the client is in the header Authorization both times, and in the option
    `auth` for `Room.canJoin` and `Room.onAuth`.

    Args:
        rooms: The application that has the rooms.
        path: The path that clients have as their endpoint.
        hooksAndOptions: See `Application`.
    """

    served = "Rooms are served below this path, to clients of Colyseus"
    isPlain = False
    shutdownCode = MAY_TRY_RECONNECT
    heartbeatCode = MAY_TRY_RECONNECT
    abuseCode = WITH_ERROR

    def __init__(self, rooms: RoomApplication, path: str, **hooksAndOptions: Any) -> None:
        super().__init__(**{**rooms.overrides, **hooksAndOptions})
        #: The application that has the rooms.
        self.rooms = rooms
        #: The path, without "/" at its end.
        self.path = path.rstrip("/")
        #: The seats that clients have been told of at this node.
        self.seats = OpenSeats()

    def routesFor(self, path: str | None) -> tuple[str | None, ...]:
        """Return the path, at which clients measure the latency, and the paths of seats."""
        return (f"{self.path}/", f"{self.path}/{PROCESS}/*")

    def broadcast(self, data: Data | Prepared, exclude: Connection | Iterable[Connection] = ()) -> None:
        """Raise `TypeError`: clients of rooms understand messages of rooms only."""
        self.rooms.broadcast(data, exclude)

    # -- the upgrade

    def hook(self, name: str) -> Hook | None:
        """Return a hook; those that decide about clients are by default those of the rooms."""
        if name == "verifyClient":
            return self._verify
        found = super().hook(name)
        return self.rooms.hook(name) if found is None and name == "acceptsOrigin" else found

    def _verify(self, handshake: Handshake) -> Any:
        """Call the `verifyClient` hook, if the rooms can be served."""
        if not self.rooms.isServing:
            return Deny(503, "rooms are not available at this server", {"Retry-After": "5"})
        token = handshake.query.get("_authToken")
        if token is not None and _TOKEN.fullmatch(token) and "authorization" not in handshake.headers:
            # Browsers can't set a header of a WebSocket, so clients pass the token in the query.
            handshake.headers = Headers((*handshake.headers.pairs, ("Authorization", f"Bearer {token}")))
        verify = getattr(self, "verifyClient", None) or getattr(self.rooms, "verifyClient", None)
        return True if verify is None else verify(handshake)

    def chooseProtocol(self, offered: list[str], handshake: Handshake) -> None:
        """Go on without a sub-protocol, since clients offer none."""
        return None

    # -- connections

    def sessionFor(self, connection: Connection) -> RoomSession:
        """Make the session of a new connection; see `RoomApplication.sessionFor`."""
        isProbe = connection.handshake.path == f"{self.path}/"
        return (ProbeSession if isProbe else ColyseusSession)(self.rooms.services, connection)

    def onConnect(self, connection: Connection) -> Any:
        """Make the session of a new connection, and take its seat; messages wait for that."""
        session = self.rooms.sessions[connection.id] = self.sessionFor(connection)
        if not isinstance(session, ColyseusSession):
            return None
        handshake = connection.handshake
        room, query = handshake.path.rpartition("/")[2], handshake.query
        if _ROOM.fullmatch(room) is None:
            session.close(CloseCode.NO_SUCH_ROOM, "no such room")
            return None
        seat = query.get("sessionId", "")
        joined = session.enter(room, seat, query.get("reconnectionToken"), bearerOf(handshake))

        def answered(_: None) -> None:
            if session.hasSeat:
                self.seats.taken(seat)

        joined.addCallback(answered)
        return None if joined.called else joined

    def onMessage(self, connection: Connection, message: str | bytes) -> Any:
        """Pass a message to the session. Called for every message."""
        self.rooms.onMessage(connection, message)

    def onPong(self, connection: Connection, payload: bytes) -> None:
        """Pass the answer to a ping to the session."""
        session = self.rooms.sessions.get(connection.id)
        if isinstance(session, ColyseusSession):
            session.ponged(payload)

    def onDisconnect(self, connection: Connection, code: int, reason: str) -> Any:
        """End the session."""
        self.rooms.onDisconnect(connection, code, reason)

    def shutDown(self, connection: Connection, hasLeft: bool = False) -> Deferred[None] | None:
        """Close with 4010, after which clients reconnect, because the server is shutting down."""
        return self.rooms.shutDown(connection, hasLeft)
