"""
Which application serves which host and path.
"""

from __future__ import annotations

import attrs

from .application import Application
from .handshake import Handshake, splitHost
from .rooms.room import Room


@attrs.frozen
class Route:
    """Where an application is registered; `None` is any host, any path."""

    host: tuple[str, int | None] | None
    path: str | None
    application: Application

    def matches(self, handshake: Handshake) -> bool:
        """Whether a request is for this application."""
        if self.host is not None:
            name, port = splitHost(handshake.host)
            if port is None and self.host[1] is not None:
                port = 443 if handshake.secure else 80
            if name != self.host[0] or self.host[1] not in (None, port):
                return False
        if self.path is None:
            return True
        path = handshake.path
        if self.path.endswith("/*"):
            return path.startswith(self.path[:-1])
        return path == self.path


class Routes(list[Route]):
    """The routes of a server, in the order in which they are tried."""

    def add(self, application: Application, host: str | None, path: str | None) -> None:
        """One more, to be tried last."""
        self.append(Route(None if host is None else splitHost(host), path, application))

    def applicationFor(self, handshake: Handshake) -> Application | None:
        """The application that is registered for the host and path of a request."""
        for route in self:
            if route.matches(handshake):
                return route.application
        return None

    @property
    def applications(self) -> list[Application]:
        """All of them, each once."""
        return list({id(route.application): route.application for route in self}.values())


def checkPath(path: str) -> None:
    """Raise `ValueError` for what is no path of a URL."""
    if not path.startswith("/"):
        raise ValueError(f"path={path!r}: must begin with '/'")


def checkApplication(application: object) -> None:
    """Raise `TypeError` for what can't be served, with what was meant."""
    if isinstance(application, Application):
        if not hasattr(application, "overrides"):
            raise TypeError(f"{type(application).__name__}.__init__ must call super().__init__()")
        return
    kind = application if isinstance(application, type) else type(application)
    if issubclass(kind, Room):
        raise TypeError(f"{kind.__name__} is a Room: server.register('name', {kind.__name__})")
    if issubclass(kind, Application):
        raise TypeError(f"{kind.__name__} is a class: an instance is served, {kind.__name__}()")
    raise TypeError(f"an Application is served, not {application!r}")
