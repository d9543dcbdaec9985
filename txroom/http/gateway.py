"""
The state and services that all requests to one server share, whichever way they arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IReactorTime

from ..core.application import Application
from ..core.connection import Connection
from ..core.handshake import Handshake, UpgradeError
from ..core.options import ServerOptions
from ..wire.context import WireContext
from .admission import Admission
from .forwarded import UntrustedProxyWarning
from .negotiation import HasNegotiator, HeadersHook, UpgradeNegotiator, WireNegotiator
from .origins import OriginChecks
from .pages import PageTable
from .response import refusal


class GatewayServer(Protocol):
    """The server as the gateway sees it."""

    @property
    def isDraining(self) -> bool:
        """Whether the server is stopping."""
        ...

    @property
    def isLocal(self) -> bool:
        """Whether the server listens, and only where programs on the same machine can connect."""
        ...

    def applicationFor(self, handshake: Handshake) -> Application | None:
        """Return the application that is registered for the host and path of a request."""
        ...

    def refuserFor(self, handshake: Handshake) -> Application | None:
        """
        Return the application that can refuse a client in-band when no application is registered for its
        path.
        """
        ...

    @property
    def responseHeaders(self) -> HeadersHook | None:
        """The server's hook that returns headers for every 101 answer, or `None`."""
        ...

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        """Called when the 101 answer of a connection, which has these options, is written."""
        ...

    def closed(self, connection: Connection) -> None:
        """Called when the TCP connection of a WebSocket is closed."""
        ...

    def finished(self) -> None:
        """
        Called when the last hook of a connection has ended, or a connection that was not a WebSocket is
        closed.
        """
        ...

    def refused(self, error: UpgradeError, handshake: Handshake | None) -> None:
        """Called when an upgrade failed. `handshake` is `None` if the request head could not be read."""
        ...


class Gateway:
    """
    The shared entry point of all requests for a server: on its own listeners, and through twisted.web.

    Args:
        server: The server.
        options: The server's options, which applications may override.
        clock: The clock for all deadlines.
    """

    def __init__(self, server: GatewayServer, options: ServerOptions, clock: IReactorTime) -> None:
        self.server = server
        self.options = options
        self.clock = clock
        self.seconds: Callable[[], float] = clock.seconds
        #: The state that all open connections share.
        self.context = WireContext(clock, self)
        self.wheel = self.context.wheel
        #: Counts connections and applies the limits.
        self.admission = Admission(options, self.wheel, self.seconds, server.finished)
        #: Checks the Host and Origin headers.
        self.origins = OriginChecks(lambda: server.isLocal)
        #: Warns once about a proxy that is not trusted but perhaps should be.
        self.untrustedProxyWarning = UntrustedProxyWarning()
        #: The pages that are served beside the sockets.
        self.pages = PageTable()
        self._negotiators: WeakKeyDictionary[Application, UpgradeNegotiator] = WeakKeyDictionary()

    def setOptions(self, options: ServerOptions) -> None:
        """Replace the options. They apply to connections that are opened from now on."""
        self.options = self.admission.options = options
        self._negotiators.clear()

    def negotiatorFor(self, application: Application) -> UpgradeNegotiator:
        """Return the negotiator of an application, with the options that apply there."""
        negotiator = self._negotiators.get(application)
        if negotiator is None:
            options = self.options.override(application.overrides)
            make = application.makeNegotiator if isinstance(application, HasNegotiator) else WireNegotiator
            negotiator = make(self.context, options, lambda: self.server.responseHeaders)
            self._negotiators[application] = negotiator
        return negotiator

    def refuse(self, transport: Any, error: UpgradeError, method: str = "GET") -> None:
        """Write the HTTP answer of a refusal, and close the connection."""
        self.admission.lingering.begin(transport, refusal(error, method), self.options.maxPendingHandshakes)

    # -- `ConnectionEvents`, called by open connections

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        self.server.opened(connection, options)

    def closed(self, connection: Connection, address: str) -> None:
        self.admission.leave(address, connection.application)
        self.server.closed(connection)

    def left(self, address: str, application: object) -> None:
        self.admission.leave(address, application)

    def finished(self) -> None:
        self.server.finished()
