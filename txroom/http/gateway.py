"""
What all requests to one server share, on whatever way they come and whatever becomes of them.
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
    """What the gateway asks of the server above it, and tells it."""

    @property
    def isDraining(self) -> bool:
        """Whether the server is stopping."""
        ...

    @property
    def isLocal(self) -> bool:
        """Whether it listens, and only where programs of this machine can connect."""
        ...

    def applicationFor(self, handshake: Handshake) -> Application | None:
        """The application registered for the host and path of a request."""
        ...

    def refuserFor(self, handshake: Handshake) -> Application | None:
        """The application that can tell a client in-band that there is none for its path."""
        ...

    @property
    def responseHeaders(self) -> HeadersHook | None:
        """A hook that gives headers for every 101 answer."""
        ...

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        """The 101 answer of a connection, which has these options, is written."""
        ...

    def closed(self, connection: Connection) -> None:
        """The TCP connection of an opened connection is gone."""
        ...

    def finished(self) -> None:
        """The last hook of a connection is over, or a connection that was no WebSocket is gone."""
        ...

    def refused(self, error: UpgradeError, handshake: Handshake | None) -> None:
        """An upgrade failed; the handshake is `None` if not even the head was sound."""
        ...


class Gateway:
    """
    The one place where requests for a server meet: on our own listeners, and by way of twisted.web.

    Args:
        server: The server.
        options: Those of the server, which applications may override.
        clock: The time of every deadline.
    """

    def __init__(self, server: GatewayServer, options: ServerOptions, clock: IReactorTime) -> None:
        self.server = server
        self.options = options
        self.clock = clock
        self.seconds: Callable[[], float] = clock.seconds
        #: What the open connections share.
        self.context = WireContext(clock, self)
        self.wheel = self.context.wheel
        #: How many connections there may be.
        self.admission = Admission(options, self.wheel, self.seconds, server.finished)
        #: Which hosts and origins are ours.
        self.origins = OriginChecks(lambda: server.isLocal)
        #: Says that a proxy isn't trusted which should perhaps be.
        self.untrustedProxyWarning = UntrustedProxyWarning()
        #: What is served beside the sockets.
        self.pages = PageTable()
        self._negotiators: WeakKeyDictionary[Application, UpgradeNegotiator] = WeakKeyDictionary()

    def setOptions(self, options: ServerOptions) -> None:
        """Take other options; they hold for what is opened from now on."""
        self.options = self.admission.options = options
        self._negotiators.clear()

    def negotiatorFor(self, application: Application) -> UpgradeNegotiator:
        """What opens the WebSockets of an application, with the options that are in force there."""
        negotiator = self._negotiators.get(application)
        if negotiator is None:
            options = self.options.override(application.overrides)
            make = application.makeNegotiator if isinstance(application, HasNegotiator) else WireNegotiator
            negotiator = make(self.context, options, lambda: self.server.responseHeaders)
            self._negotiators[application] = negotiator
        return negotiator

    def refuse(self, transport: Any, error: UpgradeError, method: str = "GET") -> None:
        """Write the HTTP answer of a refusal, and let the connection go."""
        self.admission.lingering.begin(transport, refusal(error, method), self.options.maxPendingHandshakes)

    # -- `ConnectionEvents`: what becomes of the connections that were opened

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        self.server.opened(connection, options)

    def closed(self, connection: Connection, address: str) -> None:
        self.admission.leave(address, connection.application)
        self.server.closed(connection)

    def left(self, address: str, application: object) -> None:
        self.admission.leave(address, application)

    def finished(self) -> None:
        self.server.finished()
