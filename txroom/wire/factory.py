"""
What the connections of one server share: its options, its timer, its counters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory, IReactorTime
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import implementer

from ..application import Application
from ..connection import Connection
from ..handshake import Handshake, UpgradeError
from ..options import ServerOptions
from .compression import Agreement, Deflater
from .protocol import WireProtocol
from .receiver import MAX_SHORT, TURN_BUDGET
from .sweep import Sweep
from .telling import Tellings

if TYPE_CHECKING:
    from .channel import Channel

#: Seconds after which a client that was refused for want of room may try again.
RETRY_AFTER = "5"
#: Origins whose first refusal is logged: whoever runs the server reads of each page, nobody fills the log.
NAMED_ORIGINS = 10


class Owner(Protocol):
    """What the wire wing asks of the server above it."""

    @property
    def isDraining(self) -> bool:
        """Whether the server is stopping."""
        ...

    def applicationFor(self, handshake: Handshake) -> Application | None:
        """The application registered for the host and path of a request."""
        ...

    def tellerFor(self, handshake: Handshake) -> Application | None:
        """The application that tells a client that there is none for its path."""
        ...

    @property
    def responseHeaders(self) -> Callable[[Handshake], Any] | None:
        """A hook that gives headers for every 101 answer."""
        ...

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        """The 101 answer of a connection, which has these options, is written."""
        ...

    def closed(self, connection: Connection) -> None:
        """The TCP connection of an opened connection is gone."""
        ...

    def finished(self) -> None:
        """The last hook of a connection is over."""
        ...

    def refused(self, error: UpgradeError, handshake: Handshake | None) -> None:
        """An upgrade failed; the handshake is `None` if not even the head was sound."""
        ...


#: How Twisted calls our listeners in its log.
LOG_PREFIX = "txroom"
#: What is spoken over TLS, by its name in ALPN.
ALPN = b"http/1.1"


@implementer(IProtocolNegotiationFactory)
class WireFactory(WebSocketServerFactory):
    """
    Makes a `Channel` for each connection of our own listeners, and a `WireProtocol` for each upgrade.

    Autobahn's factory in name and place; its configuration lives in `ServerOptions`.
    """

    isServer = True
    noisy = False
    _log = Logger(namespace="txroom.wire")

    def __init__(self, owner: Owner, options: ServerOptions, clock: IReactorTime) -> None:
        """Nothing of Autobahn's: its timers and its URL are not used."""
        from .channel import Channel  # which looks at this module itself

        self._channel = Channel
        self.owner = owner
        self.options = options
        self.clock = clock
        self.seconds: Callable[[], float] = clock.seconds
        self.sweep = Sweep(clock)
        #: Refused clients that are told so in their own protocol.
        self.tellings = Tellings(self.sweep)
        #: The pages beside the sockets by path, and what serves them.
        self.pages: dict[str, IResource] = {}
        self.site: Site | None = None
        self.isTracing = False
        self.messagesReceived = self.bytesReceived = 0
        self.messagesSent = self.bytesSent = 0
        #: Connections whose TCP connection is gone, but not yet their last hook.
        self.finishing: set[WireProtocol] = set()
        #: Connections given to `site`.
        self.pageTransports: WeakSet[Any] = WeakSet()
        #: Connections whose handshake isn't finished, the oldest first.
        self.pending: dict[Any, None] = {}
        #: Open connections and handshakes with their head complete, by client address.
        self.perAddress: Counter[str] = Counter()
        self.perApplication: Counter[Application] = Counter()
        self._classes: WeakKeyDictionary[Application, type[WireProtocol]] = WeakKeyDictionary()
        self._deflaters: dict[tuple[int, int], Deflater] = {}
        self._refusedOrigins: set[str] = set()

    def logPrefix(self) -> str:
        """As what it stands in Twisted's log."""
        return LOG_PREFIX

    def acceptableProtocols(self) -> list[bytes]:
        """What a TLS endpoint of Twisted's, which somebody made himself, may agree on with clients."""
        return [ALPN]

    def buildProtocol(self, addr: IAddress | None) -> Channel:
        return self._channel(self)

    def setOptions(self, options: ServerOptions) -> None:
        """Take other options; they hold for what is opened from now on."""
        self.options = options
        self._classes.clear()

    def classFor(self, application: Application) -> type[WireProtocol]:
        """The class of an application's connections; what its options decide is in the class."""
        made = self._classes.get(application)
        if made is None:
            options = self.options.override(application.overrides)
            made = self._classes[application] = type(
                "WireProtocol",
                (WireProtocol,),
                {
                    "factory": self,
                    "options": options,
                    "closeOnError": options.closeOnError,
                    "_shortLimit": options.maxPayload or MAX_SHORT,
                    "_turnBudget": TURN_BUDGET if options.allowSynchronousEvents else 1,
                },
            )
            made.reserve()
        return made

    def deflater(self, agreement: Agreement) -> Deflater:
        """A deflater for one connection, or without context takeover the one for all."""
        if agreement.serverTakeover:
            return Deflater(agreement)
        key = (agreement.serverBits, agreement.memoryLevel)
        if key not in self._deflaters:
            self._deflaters[key] = Deflater(agreement)
        return self._deflaters[key]

    # -- handshakes and limits

    def drain(self) -> None:
        """The server stops: refuse the handshakes that go on, close the connections of pages."""
        for handshaking in list(self.pending):
            handshaking.giveWay("draining")
        for transport in list(self.pageTransports):
            transport.unregisterProducer()  # of twisted.web; TLS would wait for it
            transport.loseConnection()

    def dropPages(self) -> None:
        """Drop the connections of pages that are still there."""
        for transport in list(self.pageTransports):
            transport.abortConnection()

    def begun(self, handshaking: Any) -> None:
        """A connection begins its handshake; the oldest gives way if there are too many."""
        self.pending[handshaking] = None
        limit = self.options.maxPendingHandshakes
        if limit and len(self.pending) > limit:
            oldest = next(iter(self.pending))
            oldest.giveWay("pending")

    def ended(self, handshaking: Any) -> None:
        """A handshake came to an end, good or bad."""
        self.pending.pop(handshaking, None)

    def warnOfOrigin(self, origin: str, host: str) -> None:
        """A page may not connect; whoever serves it sees only a failed connection, so say why, once."""
        if origin in self._refusedOrigins or len(self._refusedOrigins) == NAMED_ORIGINS:
            return
        self._refusedOrigins.add(origin)
        self._log.warn(
            "a page of {origin} may not connect to {host}: it is of another host or port, and not in "
            "allowedOrigins (--allowed-origin)",
            origin=ascii(origin),
            host=ascii(host),
        )

    def admit(self, address: str, application: Application, options: ServerOptions) -> None:
        """Count one more connection; raises `UpgradeError` 503 or 429 if it is one too many."""
        retry = [("Retry-After", RETRY_AFTER)]
        total = self.options.maxConnections
        if total and self.perApplication.total() >= total:
            raise UpgradeError(503, "limit", headers=retry)
        most = options.maxConnections
        if most != total and most and self.perApplication[application] >= most:
            raise UpgradeError(503, "limit", headers=retry)
        most = options.maxConnectionsPerAddress
        if most and address and self.perAddress[address] >= most:
            raise UpgradeError(429, "limit", headers=retry)
        self.perApplication[application] += 1
        self.perAddress[address] += 1

    def leave(self, address: str, application: Application) -> None:
        """Undo `admit`."""
        _decrease(self.perApplication, application)
        _decrease(self.perAddress, address)

    # -- tracing

    def trace(self, connection: Connection, event: str, **details: object) -> None:
        """Log one event of a connection; call it only if `isTracing`."""
        text = " ".join(f"{name}={value!r}" for name, value in details.items())
        self._log.debug("{id} {event} {text}", id=connection.id, event=event, text=text)


def _decrease(counter: Counter[Any], key: object) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
