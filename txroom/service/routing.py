"""
Which application serves which host and path.
"""

from __future__ import annotations

import attrs

from ..core.application import Application
from ..core.handshake import Handshake
from ..core.origin import splitHost
from ..rooms.edge.dialect import isForRooms


@attrs.frozen
class Route:
    """Where an application is registered; `None` is any host, any path."""

    host: tuple[str, int | None] | None
    path: str | None
    application: Application

    def matches(self, handshake: Handshake) -> bool:
        """Whether a request is for this application."""
        if not self.isOfHost(handshake):
            return False
        if self.path is None:
            return True
        path = handshake.path
        if self.path.endswith("/*"):
            return path.startswith(self.path[:-1])
        return path == self.path

    def isOfHost(self, handshake: Handshake) -> bool:
        """Whether a request is for the host of this application, whatever its path."""
        if self.host is None:
            return True
        name, port = splitHost(handshake.host)
        if port is None and self.host[1] is not None:
            port = 443 if handshake.secure else 80
        return name == self.host[0] and self.host[1] in (None, port)


class Routes(list[Route]):
    """The routes of a server, in the order in which they are tried."""

    #: Whether any application isn't plain; most servers without rooms need not look for them.
    hasRooms = False

    def add(self, application: Application, host: str | None, path: str | None) -> None:
        """One more, to be tried last."""
        self.append(Route(None if host is None else splitHost(host), path, application))
        if not application.isPlain:
            self.hasRooms = True

    def applicationFor(self, handshake: Handshake) -> Application | None:
        """
        The application that is registered for the host and path of a request.

        A client that offers nothing but the room protocol is not given to a plain application without a
        `chooseProtocol` of its own if there are rooms at another path: it has asked for a wrong path.
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
        """The rooms of the host of a request, which tell its client that there is nothing at its path."""
        ofHost = (route.application for route in self if route.isOfHost(handshake))
        return next((each for each in ofHost if not each.isPlain), None)

    @property
    def applications(self) -> list[Application]:
        """All of them, each once."""
        return list({id(route.application): route.application for route in self}.values())


def checkPath(path: object) -> None:
    """Raise `TypeError` or `ValueError` for what is no path of a URL."""
    if not isinstance(path, str):
        raise TypeError(f"path={path!r}: must be a text")
    if not path.startswith("/"):
        raise ValueError(f"path={path!r}: must begin with '/'")
    if "?" in path or "#" in path:
        raise ValueError(f"path={path!r}: a query or a fragment is no part of a path")


def checkRoute(host: object, path: object) -> None:
    """Raise `TypeError` or `ValueError` for what no application can be registered at."""
    if host is not None:
        if not isinstance(host, str):
            raise TypeError(f"host={host!r}: must be a text, such as 'example.org'")
        if not host or "/" in host:
            raise ValueError(f"host={host!r}: must be a host, such as 'example.org'; the path is path=...")
    if path is not None:
        checkPath(path)
        if "*" in str(path).removesuffix("/*"):
            raise ValueError(f"path={path!r}: '*' can only stand at its end, after a '/'")
