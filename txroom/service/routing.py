"""
Routing: which application serves which host and path.
"""

from __future__ import annotations

import attrs

from ..core.application import Application
from ..core.handshake import Handshake
from ..core.origin import splitHost
from ..rooms.edge.dialect import isForRooms


@attrs.frozen
class Route:
    """A host and path at which an application is registered; `None` means any host, or any path."""

    host: tuple[str, int | None] | None
    path: str | None
    application: Application

    def matches(self, handshake: Handshake) -> bool:
        """Return whether a request is for this application."""
        return self.isOfHost(handshake) and self.matchesPath(handshake)

    def matchesPath(self, handshake: Handshake) -> bool:
        """Return whether the path of a request is that of this route, whatever its host."""
        if self.path is None:
            return True
        path = handshake.path
        if self.path.endswith("/*"):
            return path.startswith(self.path[:-1])
        return path == self.path

    def isOfHost(self, handshake: Handshake) -> bool:
        """Return whether the host of a request is that of this route, whatever its path."""
        if self.host is None:
            return True
        name, port = splitHost(handshake.host)
        if port is None and self.host[1] is not None:
            port = 443 if handshake.secure else 80
        return name == self.host[0] and self.host[1] in (None, port)


class Routes(list[Route]):
    """The routes of a server, in the order in which they are tried."""

    #: Whether any application is not plain. Servers without rooms skip the search for them.
    hasRooms = False
    #: How many routes stay the last, whichever are added later.
    _lasting = 0

    def add(self, application: Application, host: str | None, path: str | None, isLast: bool = False) -> None:
        """Add a route, to be tried after the earlier ones; if it `isLast`, also after most later ones."""
        route = Route(None if host is None else splitHost(host), path, application)
        if isLast:
            self._lasting += 1
            self.append(route)
        else:
            self.insert(len(self) - self._lasting, route)
        if not application.isPlain:
            self.hasRooms = True

    def applicationFor(self, handshake: Handshake) -> Application | None:
        """
        Return the application that is registered for the host and path of a request, or `None`.

        A client that offers only room protocols has chosen a wrong path if its path belongs to a plain
        application without a `chooseProtocol` hook, and there are rooms at another path. Such a client gets
        no application.
        """
        for route in self:
            if route.matches(handshake):
                found = route.application
                break
        else:
            return None
        if not self.hasRooms or not found.isPlain or found.hook("chooseProtocol") is not None:
            return found
        isLost = isForRooms(handshake.protocols) and self.refuserFor(handshake) is not None
        return None if isLost else found

    def refuserFor(self, handshake: Handshake) -> Application | None:
        """Return the room application that tells clients of this host that a path is unknown, or `None`."""
        ofHost = (route.application for route in self if route.isOfHost(handshake))
        return next((each for each in ofHost if not each.isPlain), None)

    @property
    def applications(self) -> list[Application]:
        """All applications, each once."""
        return list({id(route.application): route.application for route in self}.values())


def checkPath(path: object) -> None:
    """
    Check the path of a URL.

    Raises:
        TypeError: It is not a string.
        ValueError: It does not begin with "/", or contains a query or fragment.
    """
    if not isinstance(path, str):
        raise TypeError(f"path={path!r}: must be a string, such as '/chat'")
    if not path.startswith("/"):
        raise ValueError(f"path={path!r}: must begin with '/'")
    if "?" in path or "#" in path:
        raise ValueError(f"path={path!r}: must not have a query or a fragment")


def checkRoute(host: object, path: object) -> None:
    """
    Check the host and path of `Server.addApplication`.

    Raises:
        TypeError: One of them is neither a string nor `None`.
        ValueError: One of them is wrong.
    """
    if host is not None:
        if not isinstance(host, str):
            raise TypeError(f"host={host!r}: must be a string, such as 'example.org'")
        if not host or "/" in host:
            raise ValueError(
                f"host={host!r}: must be a host, such as 'example.org'; give the path by path=..."
            )
    if path is not None:
        checkPath(path)
        if "*" in str(path).removesuffix("/*"):
            raise ValueError(f"path={path!r}: must have '*' only at its end, after a '/'")
