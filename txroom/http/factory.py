"""
What the connections of one server share: its options, its timer, its counters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory, IReactorTime
from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import implementer

from ..core.application import Application
from ..core.connection import Connection
from ..core.handshake import Handshake, UpgradeError
from ..core.options import ServerOptions
from ..core.origin import isAllowedHost, isLocalHost
from ..wire.context import WireContext
from ..wire.protocol import WireProtocol, protocolClass
from ..wire.transports import Lingering
from .admission import Crowd, Handshaking, Visit, Visits
from .refusing import Tellings

if TYPE_CHECKING:
    from .channel import Channel

#: Seconds after which a client that was refused for want of room may try again.
RETRY_AFTER = "5"
#: Origins, and hosts, whose first refusal is logged: enough to learn of a mistake, too few to fill a log.
NAMED_ORIGINS = 10


class Owner(Protocol):
    """What the wire wing asks of the server above it."""

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
        """The last hook of a connection is over, or a connection that was no WebSocket is gone."""
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
    _log = Logger()

    def __init__(self, owner: Owner, options: ServerOptions, clock: IReactorTime) -> None:
        """Nothing of Autobahn's: its timers and its URL are not used."""
        from .channel import Channel  # which looks at this module itself

        self._channel = Channel
        self.owner = owner
        self.options = options
        self.clock = clock
        self.seconds: Callable[[], float] = clock.seconds
        self.context = WireContext(clock, self)
        self.wheel = self.context.wheel
        #: Refused clients that are told so in their own protocol.
        self.tellings = Tellings(self.wheel, self._isQuieter)
        #: The pages beside the sockets by path, and what serves them.
        self.pages: dict[str, IResource] = {}
        self.site: Site | None = None
        #: The longest body of the pages that say one.
        self.pageBodies: dict[str, int] = {}
        #: Requests for pages that are being served on our own listeners.
        self.visits = Visits()
        #: Whether it has stopped before, or does now: then somebody may wait until nobody is left.
        self._isStopping = False
        #: Connections whose handshake isn't finished.
        self.pending: Crowd[Handshaking] = Crowd()
        #: Connections that have been refused, and aren't gone yet.
        self.lingering = Lingering(self.wheel, self.seconds, self._isQuieter)
        #: Open connections and handshakes with their head complete, by client address.
        self.perAddress: Counter[str] = Counter()
        self.perApplication: Counter[Application] = Counter()
        #: Connections that are open.
        self.open = 0
        #: The most of these, and of all clients' sockets, that the limit on open files allows; 0: any.
        self.mostConnections = self.mostSockets = 0
        self._classes: WeakKeyDictionary[Application, type[WireProtocol]] = WeakKeyDictionary()
        self._warned: dict[str, set[str]] = {}

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
            made = self._classes[application] = protocolClass(self.context, options)
        return made

    # -- what connections tell: `ConnectionEvents`

    def opened(self, connection: Connection, options: ServerOptions) -> None:
        self.owner.opened(connection, options)

    def closed(self, connection: Connection, address: str) -> None:
        self.leave(address, connection.application)
        self.owner.closed(connection)

    def finished(self) -> None:
        self.owner.finished()

    # -- handshakes and limits

    def drain(self) -> None:
        """The server stops: refuse the handshakes that go on, close the connections of pages."""
        self._isStopping = True
        for handshaking in self.pending:
            handshaking.giveWay("draining")
        for visit in self.visits:
            visit.drain()

    def dropStrangers(self) -> None:
        """Drop the connections that are there without being a WebSocket."""
        for visit in self.visits:
            visit.drop()
        self.lingering.drop()
        self.tellings.drop()

    @property
    def isQuiet(self) -> bool:
        """Whether there is no connection but those of WebSockets."""
        return not (self.pending or self.visits or self.lingering or self.tellings)

    def _isQuieter(self) -> None:
        """A connection that was no WebSocket is gone."""
        if self._isStopping and self.isQuiet:
            self.owner.finished()

    def begun(self, handshaking: Handshaking, address: str) -> None:
        """
        A connection of `address` (see `countedAs`) begins its handshake.

        If there are too many, the oldest of the address that has most gives way.
        """
        self.pending.add(handshaking, address)
        limit = self.options.maxPendingHandshakes
        if limit and len(self.pending) > limit:
            last = self.pending.last()
            assert last is not None
            last.giveWay("pending")

    def makeRoom(self) -> None:
        """
        A connection has come; if the limit on open files is near, another one has to go.

        That is one that was refused already, else a handshake, as for `begun`.
        """
        most = self.mostSockets
        if not most or self.open + len(self.pending) + self._others() <= most:
            return
        if not self.lingering.dropOldest():
            last = self.pending.last()
            assert last is not None
            last.giveWay("pending")

    def _others(self) -> int:
        return len(self.visits) + len(self.lingering) + len(self.tellings)

    def ended(self, handshaking: Handshaking) -> None:
        """A handshake came to an end, good or bad."""
        self.pending.remove(handshaking)
        if self._isStopping:
            self._isQuieter()

    def visited(self, visit: Visit, address: str) -> None:
        """A request for a page has come; raises `UpgradeError` 503 or 429 if it is one too many."""
        retry = [("Retry-After", RETRY_AFTER)]
        most = self.options.maxPagesPerAddress
        if most and address and self.visits.count(address) >= most and not self.visits.giveWay(address):
            raise UpgradeError(429, "limit", headers=retry)
        most = self.options.maxPages
        if most and len(self.visits) >= most and not self.visits.giveWay():
            raise UpgradeError(503, "limit", headers=retry)
        self.visits.add(visit, address)

    def left(self, visit: Visit) -> None:
        """A request for a page is over, and its connection gone."""
        self.visits.remove(visit)
        if not self.visits:
            self._isQuieter()

    def checkHost(self, handshake: Handshake, options: ServerOptions, isForeign: bool = False) -> None:
        """Raise `UpgradeError` 421 for a request that asks for a host that isn't ours (`allowedHosts`)."""
        host = handshake.headers.get("host")
        if host is None:  # HTTP/1.0; no browser
            return
        if options.allowedHosts:
            isOurs = isAllowedHost(host, options.allowedHosts)
        elif isForeign or options.trustedProxies or not handshake.peer or not self.owner.isLocal:
            return
        else:
            isOurs = isLocalHost(host)
        if not isOurs:
            self.warnOfHost(host)
            raise UpgradeError(421, "host")

    def warnOfHost(self, host: str) -> None:
        """A request for a host that isn't ours; whoever sent it in good faith has to know what to do."""
        if self._isNews("host", host):
            self._log.warn(
                "a request for {host} is refused: that host is not in allowedHosts (--allowed-host), without "
                "which a server that listens only on loopback addresses takes localhost alone",
                host=ascii(host),
            )

    def warnOfOrigin(self, origin: str, host: str) -> None:
        """A page may not connect; whoever serves it sees only a failed connection, so say why, once."""
        if self._isNews("origin", origin):
            self._log.warn(
                "a page of {origin} may not connect to {host}: it is of another host or port, and not in "
                "allowedOrigins (--allowed-origin)",
                origin=ascii(origin),
                host=ascii(host),
            )

    def _isNews(self, kind: str, name: str) -> bool:
        """Whether it is worth a line of the log: the first of each name, of a few names of a kind."""
        names = self._warned.setdefault(kind, set())
        if name in names or len(names) == NAMED_ORIGINS:
            return False
        names.add(name)
        return True

    def admit(self, address: str, application: Application, options: ServerOptions) -> None:
        """
        Count one more connection of `address` (see `countedAs`).

        Raises `UpgradeError` 503 or 429 if it is one too many.
        """
        retry = [("Retry-After", RETRY_AFTER)]
        total = self.options.maxConnections or self.mostConnections
        if total and self.perApplication.total() >= total:
            raise UpgradeError(503, "limit", headers=retry)
        most = options.maxConnections
        if most != total and most and self.perApplication[application] >= most:
            raise UpgradeError(503, "limit", headers=retry)
        most = options.maxConnectionsPerAddress
        if most and address and self.perAddress[address] >= most:
            raise UpgradeError(429, "limit", headers=retry)
        self.perApplication[application] += 1
        if address:
            self.perAddress[address] += 1

    def leave(self, address: str, application: object) -> None:
        """Undo `admit`."""
        _decrease(self.perApplication, application)
        if address:
            _decrease(self.perAddress, address)


def _decrease(counter: Counter[Any], key: object) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
