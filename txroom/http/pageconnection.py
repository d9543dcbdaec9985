"""
The connection of one request for a page, on our own listeners, within bounds.

`Channel` has read the head; twisted.web reads it again, and the body, and answers. What a client may take
meanwhile is bounded here: the bytes and the time of the body, and the time in which it takes the answer. How
many requests there are at a time is bounded by `Admission`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure
from twisted.web.server import Request

from ..core.handshake import Handshake, UpgradeError
from ..wire.deadlines import NEVER, dueBy
from ..wire.sendbuffer import unsent
from ..wire.transports import takeOver
from .admission import RETRY_AFTER
from .forwarded import peerNetwork
from .gateway import Gateway
from .lingering import LINGERING_TIMEOUT
from .request import Head, bodyLength
from .twistedweb import RefusingChannel

ABORTED = Failure(ConnectionAborted())


class State(Enum):
    """See `PageConnection`."""

    RECEIVING = auto()
    ANSWERING = auto()
    FLUSHING = auto()
    CLOSED = auto()


RECEIVING, ANSWERING, FLUSHING, CLOSED = State


class PageRequest(Request):
    """A request whose body is kept in memory if it can't be long, also if it comes in chunks."""

    def gotLength(self, length: int | None) -> None:
        """twisted.web makes a file for what might be long: a descriptor that nobody has counted."""
        connection: Any = self.channel
        super().gotLength(length if length is not None else connection.maxBody or None)


class PageConnection(RefusingChannel):
    """
    The connection of one request for a page.

    Its states::

        RECEIVING    the body is awaited, up to `maxBody` bytes and as long as a message may take
                  (`messageTimeout`)
          -> ANSWERING  the body is complete: the page takes the time that it needs; a client that takes
                        nothing of the answer for `closeTimeout` is dropped
          -> CLOSED       it was refused: body too long or late, evicted, the server stops
        ANSWERING
          -> FLUSHING   the answer is complete: the client has `closeTimeout` to take the rest of it; or
                        the server stops, and it has `LINGERING_TIMEOUT` seconds
        any state
          -> CLOSED       the connection is gone
    """

    transport: Any
    slot: int | None = None
    #: twisted.web's own; the deadlines are here.
    timeOut = None

    def __init__(self, gateway: Gateway, handshake: Handshake, maxBody: int) -> None:
        super().__init__()
        assert gateway.pages.site is not None
        self.site = self.factory = gateway.pages.site
        self.requestFactory = PageRequest
        self._gateway = gateway
        self._admission = gateway.admission
        self._handshake = handshake
        self._address = peerNetwork(handshake, gateway.options)
        self._since = gateway.seconds()
        #: The most bytes of the body; 0: any number.
        self.maxBody = maxBody
        #: Bytes given to the transport, and those it had passed on at the last look.
        self._written = self._passed = 0
        self._state = RECEIVING

    def admit(self) -> None:
        """
        Check the request, and count it.

        Raises:
            UpgradeError: It is too long, for another host, or one too many.
        """
        length = bodyLength(self._handshake.headers)
        if length is not None and self.maxBody and length > self.maxBody:
            raise UpgradeError(413, "size")
        options = self._gateway.options
        self._gateway.origins.checkHost(self._handshake, options)
        self._gateway.untrustedProxyWarning.look(self._handshake, options)
        self._admission.beginPage(self, self._address)

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
        if self._state is not RECEIVING or not self.requests:
            return
        received = self.requests[-1].content.tell()
        if self.maxBody and received > self.maxBody:
            self._refuse(UpgradeError(413, "size"))
        else:
            self._awaitBody(received)

    def rawDataReceived(self, data: bytes) -> None:
        """The body; what follows it is no second request, whose head we wouldn't have read."""
        if self._state is RECEIVING:
            super().rawDataReceived(data)

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def allContentReceived(self) -> None:
        self._state = ANSWERING
        self._admission.pages.bodyReceived(self)
        self._awaitProgress()
        super().allContentReceived()

    def badRequest(self) -> None:
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
        if self._state is ANSWERING:
            self._state = FLUSHING
            self._admission.pages.answerComplete(self, self._address)
            timeout = self._gateway.options.closeTimeout
            self._wait(dueBy(self._gateway.seconds(), timeout, unsent(self.transport)))

    # -- time

    def _awaitBody(self, received: int) -> None:
        self._wait(dueBy(self._since, self._gateway.options.messageTimeout, received))

    def _awaitProgress(self) -> None:
        self._wait(dueBy(self._gateway.seconds(), self._gateway.options.closeTimeout, 0))

    def _wait(self, due: float) -> None:
        if due == NEVER:
            self._gateway.wheel.cancel(self)
        else:
            self._gateway.wheel.schedule(self, due)

    def due(self, now: float) -> None:
        """The deadline of what is awaited has passed."""
        if self._state is RECEIVING:
            self._refuse(UpgradeError(408, "timeout"))
        elif self._state is ANSWERING and not self._isStuck():
            self._awaitProgress()
        else:
            self.drop()

    def _isStuck(self) -> bool:
        """Whether the client has taken nothing since the last look, though there was something."""
        waiting = unsent(self.transport)
        before, self._passed = self._passed, self._written - waiting
        return waiting > 0 and self._passed <= before

    # -- how it ends

    def evict(self) -> None:
        """Another request needs the place."""
        if self._state is RECEIVING:
            self._refuse(UpgradeError(503, "limit", headers=[("Retry-After", RETRY_AFTER)]))
        else:
            self.drop()

    def drain(self) -> None:
        """The server stops: what the page has written still goes."""
        if self._state is RECEIVING:
            self._refuse(UpgradeError(503, "draining", headers=[("Retry-After", RETRY_AFTER)]))
        elif self._state is not CLOSED:
            self._state = FLUSHING
            self.loseConnection()
            self._wait(self._gateway.seconds() + LINGERING_TIMEOUT)

    def drop(self) -> None:
        """Drop the connection."""
        if self._state is not CLOSED:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = ABORTED) -> None:
        self._state = CLOSED
        self._gateway.wheel.cancel(self)
        self._admission.endPage(self)
        super().connectionLost(reason)

    def _refuse(self, error: UpgradeError) -> None:
        """Answer in place of the page."""
        if self._state is CLOSED:
            return
        transport = self.transport
        transport.unregisterProducer()
        self._gateway.refuse(transport, error, self._handshake.method)
        self.connectionLost()
        self._gateway.server.refused(error, None)
