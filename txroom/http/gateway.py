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
from .forwarded import ProxyNotice
from .opening import HeadersHook, Opener, SelfOpening, WireOpener
from .origins import OriginChecks
from .pages import PageTable
from .response import refusal


class Owner(Protocol):
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
        owner: The server.
        options: Those of the server, which applications may override.
        clock: The time of every deadline.
    """

    def __init__(self, owner: Owner, options: ServerOptions, clock: IReactorTime) -> None:
        self.owner = owner
        self.options = options
        self.clock = clock
        self.seconds: Callable[[], float] = clock.seconds
        #: What the open connections share.
        self.context = WireContext(clock, self)
        self.wheel = self.context.wheel
        #: How many connections there may be.
        self.admission = Admission(options, self.wheel, self.seconds, owner.finished)
        #: Which hosts and origins are ours.
        self.origins = OriginChecks(lambda: owner.isLocal)
        #: Says that a proxy isn't trusted which should perhaps be.
        self.proxyNotice = ProxyNotice()
        #: What is served beside the sockets.
        self.pages = PageTable()
        self._openers: WeakKeyDictionary[Application, Opener] = WeakKeyDictionary()

    def setOptions(self, options: ServerOptions) -> None:
        """Take other options; they hold for what is opened from now on."""
        self.options = self.admission.options = options
        self._openers.clear()

    def openerFor(self, application: Application) -> Opener:
        """What opens the WebSockets of an application, with the options that are in force there."""
        opener = self._openers.get(application)
        if opener is None:
            options = self.options.override(application.overrides)
            make = application.makeOpener if isinstance(application, SelfOpening) else WireOpener
            opener = make(self.context, options, lambda: self.owner.responseHeaders)
            self._openers[application] = opener
        return opener

    def refuse(self, transport: Any, error: UpgradeError, method: str = "GET") -> None:
        """Write the HTTP answer of a refusal, and let the connection go."""
        self.admission.lingering.begin(transport, refusal(error, method), self.options.maxPendingHandshakes)

    # -- `ConnectionEvents`: what becomes of the connections that were opened

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        self.owner.opened(connection, options)

    def closed(self, connection: Connection, address: str) -> None:
        self.admission.leave(address, connection.application)
        self.owner.closed(connection)

    def left(self, address: str, application: object) -> None:
        self.admission.leave(address, application)

    def finished(self) -> None:
        self.owner.finished()
