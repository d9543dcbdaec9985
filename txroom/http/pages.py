"""
Pages beside the sockets, on our own listeners: one request a connection, within bounds.

The head has been read by `Channel`; twisted.web reads it again, and the body, and answers. What a stranger
may take until then is counted here: the bytes and the time of the body, the requests at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request

from ..core.handshake import Handshake, UpgradeError
from ..wire.pace import NEVER, dueBy
from ..wire.sendbuffer import unsent
from ..wire.transports import LINGER, takeOver
from .factory import RETRY_AFTER, WireFactory
from .forwarded import countedAs
from .request import Head, bodyLength
from .upgrade import refuse

#: Segments of a path below a page's own; twisted.web takes longer for each one, the more there are.
MAX_DEPTH = 100
ABORTED = Failure(ConnectionAborted())


def findPath(pages: Mapping[str, IResource], path: str) -> str | None:
    """
    Where the page is registered that serves `path`: there, or the nearest above it that is no leaf.

    `None` if there is none, also for a path that goes deeper below it than `MAX_DEPTH`.
    """
    if path in pages:
        return path
    nearest: str | None = None
    for registered, page in pages.items():
        above = registered if registered == "/" else registered + "/"
        if path.startswith(above) and not page.isLeaf and (nearest is None or len(nearest) < len(registered)):
            nearest = registered
    if nearest is not None and path.count("/", len(nearest)) > MAX_DEPTH:
        return None
    return nearest


def missing(factory: WireFactory, handshake: Handshake) -> UpgradeError:
    """What a request is told that is for no WebSocket, at a path that has no page."""
    application = factory.owner.applicationFor(handshake)
    if application is None:
        return UpgradeError(404, "path")
    return UpgradeError(426, "noUpgrade", f"{application.served}: connect with a WebSocket client.\n")


class PageRequest(Request):
    """A request whose body is kept in memory if it can't be long, also if it comes in chunks."""

    def gotLength(self, length: int | None) -> None:
        """twisted.web makes a file for what might be long: a descriptor that nobody has counted."""
        visit: Any = self.channel
        super().gotLength(length if length is not None else visit.maxBody or None)


class PageVisit(HTTPChannel):
    """
    The connection of one request for a page.

    First the body is awaited, up to a length and as long as a message may take (`messageTimeout`). Then the
    page takes the time that it needs, but a client that takes nothing of the answer for `closeTimeout` is
    dropped, and when the answer is complete one that doesn't take the rest of it in time.
    """

    transport: Any
    slot: int | None = None
    #: twisted.web's own; the deadlines are here.
    timeOut = None

    def __init__(self, wire: WireFactory, handshake: Handshake, limit: int) -> None:
        super().__init__()
        assert wire.site is not None
        self.site = self.factory = wire.site
        self.requestFactory = PageRequest
        self._wire = wire
        self._handshake = handshake
        self._address = countedAs(handshake, wire.options)
        self._since = wire.seconds()
        #: The most bytes of the body; 0: any number.
        self.maxBody = limit
        #: Bytes given to the transport, and those it had passed on at the last look.
        self._written = self._passed = 0
        self._state = "asking"

    def admit(self) -> None:
        """Raise `UpgradeError` for a request that is too long, for another host, or one too many."""
        length = bodyLength(self._handshake.headers)
        if length is not None and self.maxBody and length > self.maxBody:
            raise UpgradeError(413, "size")
        self._wire.checkHost(self._handshake, self._wire.options)
        self._wire.visited(self, self._address)

    def begin(self, transport: Any, head: Head) -> None:
        """Serve the request, which was admitted."""
        takeOver(transport, self)
        self._awaitBody(0)
        self.makeConnection(transport)
        # Line by line: given it as a whole, twisted.web would copy what follows at every line.
        for line in head.raw.split(b"\r\n")[:-1]:
            self.lineReceived(line)
        self.dataReceived(head.rest)

    # -- what comes

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self._state != "asking" or not self.requests:
            return
        received = self.requests[-1].content.tell()
        if self.maxBody and received > self.maxBody:
            self._refuse(UpgradeError(413, "size"))
        else:
            self._awaitBody(received)

    def rawDataReceived(self, data: bytes) -> None:
        """The body; what follows it is no second request, whose head we wouldn't have read."""
        if self._state == "asking":
            super().rawDataReceived(data)

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def allContentReceived(self) -> None:
        self._state = "answering"
        self._wire.visits.asked(self)
        self._awaitProgress()
        super().allContentReceived()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self._refuse(UpgradeError(400, "syntax"))

    # -- what goes

    def writeHeaders(self, *args: Any) -> None:
        before = unsent(self.transport)
        super().writeHeaders(*args)
        self._written += unsent(self.transport) - before

    def write(self, data: bytes) -> None:
        self._written += len(data)
        super().write(data)

    def writeSequence(self, iovec: Any) -> None:
        self._written += sum(map(len, iovec))
        super().writeSequence(iovec)

    def requestDone(self, request: Any) -> None:
        super().requestDone(request)
        if self._state == "answering":
            self._state = "answered"
            self._wire.visits.answer(self, self._address)
            wire = self._wire
            self._wait(dueBy(wire.seconds(), wire.options.closeTimeout, unsent(self.transport)))

    # -- time

    def _awaitBody(self, received: int) -> None:
        self._wait(dueBy(self._since, self._wire.options.messageTimeout, received))

    def _awaitProgress(self) -> None:
        self._wait(dueBy(self._wire.seconds(), self._wire.options.closeTimeout, 0))

    def _wait(self, due: float) -> None:
        if due == NEVER:
            self._wire.wheel.cancel(self)
        else:
            self._wire.wheel.schedule(self, due)

    def due(self, now: float) -> None:
        """The deadline of what is awaited has passed."""
        if self._state == "asking":
            self._refuse(UpgradeError(408, "timeout"))
        elif self._state == "answering" and not self._isStuck():
            self._awaitProgress()
        else:
            self.drop()

    def _isStuck(self) -> bool:
        """Whether the client has taken nothing since the last look, though there was something."""
        waiting = unsent(self.transport)
        before, self._passed = self._passed, self._written - waiting
        return waiting > 0 and self._passed <= before

    # -- how it ends

    def giveWay(self) -> None:
        """Another request needs the place."""
        if self._state == "asking":
            self._refuse(UpgradeError(503, "limit", headers=[("Retry-After", RETRY_AFTER)]))
        else:
            self.drop()

    def drain(self) -> None:
        """The server stops: what the page has written still goes."""
        if self._state == "asking":
            self._refuse(UpgradeError(503, "draining", headers=[("Retry-After", RETRY_AFTER)]))
        elif self._state != "over":
            self._state = "answered"
            self.loseConnection()
            self._wait(self._wire.seconds() + LINGER)

    def drop(self) -> None:
        """Drop the connection."""
        if self._state != "over":
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = ABORTED) -> None:
        self._state = "over"
        self._wire.wheel.cancel(self)
        self._wire.left(self)
        super().connectionLost(reason)

    def _refuse(self, error: UpgradeError) -> None:
        """Answer in place of the page."""
        if self._state == "over":
            return
        transport = self.transport
        transport.unregisterProducer()
        self._wire.owner.refused(error, None)
        refuse(self._wire, transport, error, self._handshake.method)
        self.connectionLost()
