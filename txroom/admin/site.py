"""
The connections of the admin listener: twisted.web's, with limits.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from ..http.forwarded import networkOf
from ..http.names import LOG_PREFIX
from ..wire.deadlines import BYTES_PER_SECOND
from ..wire.sendbuffer import Outgoing, outgoing
from .problems import Problem

#: The most bytes of the body of a request.
MOST_BODY = 64 * 1024
#: The most connections at a time, and the most of one address; UNIX sockets have no addresses.
MOST_CONNECTIONS, MOST_OF_ADDRESS = 1000, 200
#: The seconds within which a request must be complete, and for which a connection may be idle.
TIMEOUT = 30.0
#: The seconds for a client to read why its request was refused.
LINGER = 2.0
#: The seconds for a client to close its side, as TLS asks for, after it has read what was sent.
CLOSING = 5.0


class AdminRequest(Request):
    """A request whose body has a limit."""

    channel: Any

    def handleContentChunk(self, data: bytes) -> None:
        """Add a part of the body."""
        assert self.content is not None
        if self.content.tell() + len(data) > MOST_BODY:
            self.channel.refuse(tooLong())
        else:
            super().handleContentChunk(data)


def tooLong() -> Problem:
    """Return the problem of a body that is too long."""
    return Problem(413, f"the body may have {MOST_BODY} bytes")


class AdminChannel(HTTPChannel):
    """A connection. A request must be complete within `TIMEOUT` seconds after its first byte."""

    _log = Logger()
    transport: Any
    requests: list[Any]
    #: Whether a request has begun, and isn't answered.
    _isBusy = False
    #: Whether what the client still sends is ignored: it was refused, or the connection is being closed.
    _isDeaf = False
    _isRefused = False
    _isLost = False
    #: The address of the socket, which is the same for all requests.
    _host: IAddress | None = None
    #: The next step of closing the connection.
    _closing: IDelayedCall | None = None
    #: Closing has a limit of its own here, which also holds without a timeout before.
    abortTimeout: Any = None
    #: The address of the client; "" if it has none.
    address = ""

    def dataReceived(self, data: bytes) -> None:
        if self._isDeaf:
            return
        if not self._isBusy:
            self._isBusy = True
            self.resetTimeout()
        LineReceiver.dataReceived(self, data)

    def allHeadersReceived(self) -> None:
        if self.length is not None and self.length > MOST_BODY:
            self.refuse(tooLong())
        else:
            super().allHeadersReceived()

    def rawDataReceived(self, data: bytes) -> None:
        if not self._isDeaf:
            super().rawDataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if not self._isDeaf:
            super().lineReceived(line)

    def allContentReceived(self) -> None:
        if not self._isDeaf:
            super().allContentReceived()

    def getHost(self) -> Any:
        """Return the address of the socket. Each request asks for it, and to find it is a system call."""
        if self._host is None:
            self._host = super().getHost()
        return self._host

    def timeoutConnection(self) -> None:
        """Close a connection that is idle; twisted.web would log it at the level info."""
        self._log.debug("Timing out client: {peer}", peer=self.address)
        self.loseConnection()

    def requestDone(self, request: Any) -> None:
        self._isBusy = False
        super().requestDone(request)

    def refuse(self, problem: Problem) -> None:
        """Answer a request that isn't complete, ignore the rest, and close."""
        if self._isRefused:
            return
        self._isRefused = self._isDeaf = True
        body = problem.encoded()
        head = (
            f"HTTP/1.1 {problem.status} {problem.body.title}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.setTimeout(None)
        # Closing now would reset the connection while the client still sends, and it would not read this.
        self._closing = self.callLater(LINGER, self.loseConnection)

    def loseConnection(self) -> None:
        """Close, when all is sent. A client that doesn't read that, or doesn't close its side, is cut off."""
        self._isDeaf = True
        super().loseConnection()
        if self._isLost or (self._closing is not None and self._closing.active()):
            return
        self._awaitClose(outgoing(self.transport))

    def _awaitClose(self, out: Outgoing) -> None:
        _, before = out.progress()

        def check() -> None:
            waiting, delivered = out.progress()
            if waiting and delivered - before >= CLOSING * BYTES_PER_SECOND:
                self._awaitClose(out)
            else:
                self.transport.abortConnection()

        self._closing = self.callLater(CLOSING, check)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._isLost = True
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        self.factory.remove(self)
        super().connectionLost(reason)


class Surplus(Protocol):
    """A connection too many."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.abortConnection()


class AdminSite(Site):
    """
    Makes the connections.

    Args:
        root: The resource at "/".
        clock: The clock.
    """

    protocol: Any = AdminChannel
    requestFactory = AdminRequest
    noisy = False

    def __init__(self, root: IResource, clock: IReactorTime) -> None:
        super().__init__(root, parsePOSTFormSubmission=False, timeout=TIMEOUT, reactor=clock)
        #: The open connections.
        self.channels: set[Any] = set()
        self._counts: Counter[str] = Counter()

    def logPrefix(self) -> str:
        """Return the name of this factory in Twisted's log."""
        return LOG_PREFIX

    def acceptableProtocols(self) -> list[bytes]:
        """Return the ALPN protocols that a TLS endpoint may agree on with clients."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Open no access log: what changes something is logged by the API."""

    def stopFactory(self) -> None:
        """Close no access log."""

    def log(self, request: object) -> None:
        """Log nothing."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return the protocol of a connection, which is cut off if there are too many."""
        host = getattr(addr, "host", "")
        address = networkOf(host) if host else ""
        if len(self.channels) >= MOST_CONNECTIONS or self._counts[address] >= MOST_OF_ADDRESS:
            return Surplus()  # with TLS, `None` would be an error
        channel: Any = super().buildProtocol(addr)
        self.channels.add(channel)
        channel.site = self
        channel.address = address
        if address:
            self._counts[address] += 1
        return channel

    def remove(self, channel: AdminChannel) -> None:
        """Forget a connection that is closed, or has become a WebSocket."""
        if channel not in self.channels:
            return
        self.channels.discard(channel)
        self._counts[channel.address] -= 1
        if self._counts[channel.address] <= 0:
            del self._counts[channel.address]

    def closeAll(self) -> None:
        """Close the connections that wait for requests, and each other one after its answer."""
        for channel in list(self.channels):
            channel.persistent = False
            if not channel.requests:
                channel.loseConnection()
