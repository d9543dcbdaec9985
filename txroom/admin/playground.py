"""
The sockets of the playground: those of the server's own applications, for somebody on the operators' page.

The page is at another port than the server, perhaps one to which only operators get. So the admin listener
takes its requests for the server's sockets at "/play", and passes them to the server.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from ..core.connection import Connection
from ..core.handshake import Handshake
from ..core.headers import Headers
from ..http.gateway import Gateway
from ..http.protocolfactories import ProtocolApplication
from ..http.request import isUpgrade
from ..http.resource import handshakeOf, headersOf, upgrade
from ..rooms.application import RoomApplication
from ..service.routing import Route
from .endedsessions import EndedSessions
from .guard import Caller
from .ports import AdminServer
from .problems import Problem
from .secrets import Role
from .session import Session
from .sessions import NAME
from .sessionsockets import SessionSockets

PATH = "/play"
#: Headers that are for the admin listener.
_OURS = frozenset({"host", "origin", "authorization", "cookie"})


class Playground:
    """
    Opens sockets of the server's applications.

    Args:
        server: The server.
        gateway: The server's gateway.
        ended: The sessions of browsers that have ended.
    """

    def __init__(self, server: AdminServer, gateway: Gateway, ended: EndedSessions) -> None:
        self._server = server
        self._gateway = gateway
        self._bySession = SessionSockets(ended, gateway.context.clock)

    def open(self, request: Request, caller: Caller, session: Session | None) -> Any:
        """
        Upgrade a request to a socket of the server, as if it had come to one of the server's own listeners.

        The rest of the path, after "/play", is that at the server; without a rest it is that of the rooms.
        The request has neither the secret of the admin listener nor its cookie. Its Origin, if it has one, is
        that of a page of the server itself. The socket ends with the session, and after 12 hours at most.

        Args:
            request: The request.
            caller: The sender of it.
            session: The sender's session; `None`: there is none.

        Returns:
            The body of an answer that refuses it, or `NOT_DONE_YET`.

        Raises:
            Problem: 403, the caller may only read; 404, nothing is served at the path, or only protocols of
                Twisted that have no `Connection`; 426, the request doesn't ask for an upgrade.
        """
        if caller.role < Role.MANAGE:
            raise Problem(403, f"needs the secret of the role {Role.MANAGE}")
        if not isUpgrade(headersOf(request)):
            raise Problem(426, "WebSockets are served here", headers={"Upgrade": "websocket"})
        handshake = handshakeOf(request, self._gateway.options)
        path, mark, query = handshake.target.removeprefix(PATH).partition("?")
        handshake.target = (path.rstrip("/") or self._pathOfRooms()) + mark + query
        route = self._routeOf(handshake)
        host = self._hostOf(route)
        origin = [("origin", f"http://{host}")] if handshake.origin is not None else []
        handshake.headers = Headers([*_passedOn(handshake), ("host", host), *origin])
        opened: Deferred[Connection] = Deferred()
        opened.addCallbacks(self._bySession.add, lambda _: None, callbackArgs=(session,))
        return upgrade(self._gateway, request, route.application, opened, handshake)

    def stop(self) -> None:
        """Forget the sockets: they end with the server."""
        self._bySession.stop()

    def _pathOfRooms(self) -> str:
        rooms = (each for each in self._server.applications if isinstance(each, RoomApplication))
        return next((each.path for each in rooms), "/")

    def _routeOf(self, handshake: Handshake) -> Route:
        """Return the first route of a path, whatever its host."""
        for route in self._server.routes:
            if route.matchesPath(handshake) and not isinstance(route.application, ProtocolApplication):
                return route
        raise Problem(404, "the server serves no WebSocket at this path")

    def _hostOf(self, route: Route) -> str:
        """Return a host that the server takes for this route."""
        if route.host is not None:
            name, port = route.host
            return name if port is None else f"{name}:{port}"
        allowed = self._gateway.negotiatorFor(route.application).options.allowedHosts
        return allowed[0].replace("*", "localhost") if allowed else "localhost"


def _passedOn(handshake: Handshake) -> list[tuple[str, str]]:
    """Return the headers for the server's hooks."""
    cookies = [pair for pair in handshake.cookies.items() if not pair[0].startswith(NAME)]
    pairs = [(name, value) for name, value in handshake.headers.pairs if name.lower() not in _OURS]
    if cookies:
        pairs.append(("cookie", "; ".join(f"{name}={value}" for name, value in cookies)))
    return pairs
