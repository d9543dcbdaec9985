"""
Factories of protocols that answer HTTP upgrades themselves, behind txroom's own checks.

A `ProtocolApplication` serves the protocols of any Twisted factory. The upgrade's checks run first; then the
protocol gets the connection and the request. The connection counts towards the limits, must be answered
within `handshakeTimeout`, and is dropped when the server stops. It has no `Connection`, because txroom does
not read its bytes.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

from ..core.application import Application
from ..core.connection import Connection
from ..core.handshake import Accept, Handshake, UpgradeError
from ..core.options import ServerOptions
from ..wire.context import WireContext
from ..wire.deadlines import dueBy
from ..wire.transports import takeOver
from .negotiation import CallHook
from .rewriting import requestHead

#: The hooks and options that apply before the protocol takes over.
SUPPORTED = frozenset(
    {
        "acceptsOrigin",
        "allowedHosts",
        "allowedOrigins",
        "closeTimeout",
        "handshakeTimeout",
        "maxConnections",
        "maxConnectionsPerAddress",
        "requireOrigin",
        "trustedProxies",
        "verifyClient",
    }
)


class FactoryApplication(Application):
    """An application whose connections are protocols of a Twisted factory."""

    def __init__(self, factory: Any, **hooksAndOptions: Any) -> None:
        super().__init__(**hooksAndOptions)
        #: The factory.
        self.factory = factory
        self._isStarted = False

    def start(self) -> None:
        """
        Start the factory if it is not started. The server does this when it starts, or the first client does.
        """
        if not self._isStarted:
            self._isStarted = True
            self.factory.doStart()

    def stop(self) -> Deferred[Any]:
        if self._isStarted:
            self._isStarted = False
            self.factory.doStop()
        return super().stop()


class ProtocolApplication(FactoryApplication):
    """
    Serves the protocols of a factory that is not Autobahn's.

    Args:
        factory: An `IProtocolFactory`. Its protocols receive a WebSocket request and must answer it.
        hooksAndOptions: Hooks and options of the upgrade.

    Raises:
        TypeError: `factory` is not a factory, or a hook or an option is given that has no effect here.
    """

    served = "A WebSocket protocol is served at this path"

    def __init__(self, factory: Any, **hooksAndOptions: Any) -> None:
        if not IProtocolFactory.providedBy(factory):
            raise TypeError(f"factory={factory!r}: must be a protocol factory, an IProtocolFactory")
        for name in hooksAndOptions:
            if name not in SUPPORTED:
                raise TypeError(
                    f"{name} has no effect on the protocols of {type(factory).__name__}; "
                    f"allowed are {', '.join(sorted(SUPPORTED))}"
                )
        super().__init__(factory, **hooksAndOptions)

    def makeNegotiator(
        self, context: WireContext, options: ServerOptions, headersHook: object
    ) -> ProtocolNegotiator:
        """See `HasNegotiator`."""
        return ProtocolNegotiator(context, options)


class ProtocolNegotiator:
    """Hands connections over to the protocols of a `ProtocolApplication`; see `UpgradeNegotiator`."""

    def __init__(self, context: WireContext, options: ServerOptions) -> None:
        self.options = options
        self._context = context

    async def negotiate(
        self,
        application: Application,
        handshake: Handshake,
        accepted: Accept,
        callHook: CallHook,
        transport: Any,
    ) -> ProtocolConnection:
        """See `UpgradeNegotiator`."""
        assert isinstance(application, ProtocolApplication)
        head = requestHead(handshake)
        application.start()
        protocol = application.factory.buildProtocol(transport.getPeer())
        if protocol is None:
            raise UpgradeError(403, "denied")
        return ProtocolConnection(self._context, self.options, application, protocol, head)


class ProtocolConnection(Protocol):
    """
    A connection whose protocol answers the upgrade itself.

    It is both a `NegotiatedConnection` and an `OpenedConnection`.
    """

    _log = Logger()
    slot: int | None = None

    def __init__(
        self,
        context: WireContext,
        options: ServerOptions,
        application: Application,
        protocol: Any,
        head: bytes,
    ) -> None:
        self._context = context
        self._options = options
        self._application = application
        self._protocol = protocol
        self._head = head
        self._address = ""
        self._isStarted = self._isAnswered = self._isOver = False

    @property
    def connection(self) -> Connection:
        """Raises `TypeError`, because there is no `Connection`."""
        raise TypeError(f"{self._protocol!r} answers the upgrade itself: it has no Connection")

    def open(self, transport: Any, address: str) -> ProtocolConnection:
        """See `NegotiatedConnection`."""
        self._address = address
        takeOver(transport, self)
        self._context.finishing.add(self)
        return self

    def hold(self) -> None:
        """Do nothing: the protocol receives nothing before `start`."""

    def start(self, early: bytes) -> None:
        """Hand the connection over to the protocol."""
        if self._isOver:
            return
        self._isStarted = True
        self._wait(self._options.handshakeTimeout)
        self._try(self._protocol.makeConnection, ProtocolTransport(self, self.transport))
        self.dataReceived(self._head + early)

    def dataReceived(self, data: bytes) -> None:
        if self._isStarted and not self._isOver:
            self._try(self._protocol.dataReceived, data)
        else:
            self._head += data

    def _try(self, method: Any, *args: Any) -> None:
        try:
            method(*args)
        except Exception:
            self._log.failure(
                "a protocol of {application} raised", application=type(self._application).__name__
            )
            self.cancelHook()

    def answered(self) -> None:
        """Note that the protocol has written something: `handshakeTimeout` no longer applies."""
        if not self._isAnswered:
            self._isAnswered = True
            self._context.wheel.cancel(self)

    def ending(self) -> None:
        """Note that the protocol closes the connection: `closeTimeout` begins."""
        self._isAnswered = True
        self._wait(self._options.closeTimeout)

    def _wait(self, seconds: float) -> None:
        if seconds and not self._isOver:
            self._context.wheel.schedule(self, dueBy(self._context.seconds(), seconds, 0))

    def due(self, now: float) -> None:
        """Drop the connection, because `handshakeTimeout` or `closeTimeout` has passed."""
        self.cancelHook()

    def cancelHook(self) -> None:
        """Drop the connection, because the server has stopped or a timeout has passed."""
        if not self._isOver:
            transport: Any = self.transport
            transport.abortConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self._isOver:
            return
        self._isOver = True
        context = self._context
        context.wheel.cancel(self)
        context.events.left(self._address, self._application)
        if self._isStarted:
            self._try(self._protocol.connectionLost, reason)
        context.finishing.discard(self)
        context.events.finished()


class ProtocolTransport:
    """
    The protocol's transport: the client's, but it reports writing and closing to the `ProtocolConnection`.
    """

    def __init__(self, connection: ProtocolConnection, transport: Any) -> None:
        self._connection = connection
        self._transport = transport
        directlyProvides(self, providedBy(transport))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._connection.answered()
        self._transport.write(data)

    def writeSequence(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def loseConnection(self, *args: Any) -> None:
        self._transport.loseConnection(*args)
        self._connection.ending()
