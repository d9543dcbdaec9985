"""
The connection of one page request on the server's own listeners, and its limits.

`Channel` has read the request head. twisted.web reads it again, reads the body, and answers. This module
limits what a client can take up meanwhile: the size of the body and the time for sending it, and the time for
reading the answer. `Admission` limits the number of page requests at a time.
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
    """The states of a `PageConnection`."""

    RECEIVING = auto()
    ANSWERING = auto()
    FLUSHING = auto()
    CLOSED = auto()


RECEIVING, ANSWERING, FLUSHING, CLOSED = State


class PageRequest(Request):
    """A page request whose body is kept in memory if its size is limited, even if it comes in chunks."""

    def gotLength(self, length: int | None) -> None:
        """
        Prepare for the body.

        twisted.web opens a file for a body that may be long. The limits on connections do not count that
        file's descriptor, so a body of unknown length is treated as one of at most `maxBody` bytes.
        """
        connection: Any = self.channel
        super().gotLength(length if length is not None else connection.maxBody or None)


class PageConnection(RefusingChannel):
    """
    The connection of one page request.

    Its states are::

        RECEIVING     receives the body: at most `maxBody` bytes, within the time for a
                      message of that size (`messageTimeout`)
          -> ANSWERING  the body is complete. The page takes as long as it needs; a client
                        that reads nothing of the answer for `closeTimeout` is dropped
          -> CLOSED     the request is refused: the body is too long or too late, the
                        request is evicted, or the server stops
        ANSWERING
          -> FLUSHING   the answer is complete. The client has `closeTimeout` to read the
                        rest, or `LINGERING_TIMEOUT` if the server stops
        any state
          -> CLOSED     the TCP connection is closed
    """

    transport: Any
    slot: int | None = None
    #: Turns off twisted.web's own timeout; this class has deadlines of its own.
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
        #: The maximum size of the body in bytes; 0 means no limit.
        self.maxBody = maxBody
        #: Bytes written to the transport, and bytes that the transport had passed on at the last check.
        self._written = self._passed = 0
        self._state = RECEIVING

    def admit(self) -> None:
        """
        Check the request and count it.

        Raises:
            UpgradeError: 413, the body is too long; 421, the host is not allowed; 429 or 503, a limit on page
                requests is reached.
        """
        length = bodyLength(self._handshake.headers)
        if length is not None and self.maxBody and length > self.maxBody:
            raise UpgradeError(413, "size")
        options = self._gateway.options
        self._gateway.origins.checkHost(self._handshake, options)
        self._gateway.untrustedProxyWarning.check(self._handshake, options)
        self._admission.beginPage(self, self._address)

    def begin(self, transport: Any, head: Head) -> None:
        """Serve the request, after `admit`."""
        takeOver(transport, self)
        self._awaitBody(0)
        self.makeConnection(transport)
        # One line at a time: given the whole head, twisted.web would copy the rest of it at every line.
        for line in head.raw.split(b"\r\n")[:-1]:
            self.lineReceived(line)
        self.dataReceived(head.rest)

    # -- receiving

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
        """
        Receive the body. What follows it is ignored: a second request would not have been checked by
        `Channel`.
        """
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

    # -- sending

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

    # -- deadlines

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
        """Act on a deadline that has passed."""
        if self._state is RECEIVING:
            self._refuse(UpgradeError(408, "timeout"))
        elif self._state is ANSWERING and not self._isStuck():
            self._awaitProgress()
        else:
            self.drop()

    def _isStuck(self) -> bool:
        """Return whether the client has read nothing since the last check, although data was waiting."""
        waiting = unsent(self.transport)
        before, self._passed = self._passed, self._written - waiting
        return waiting > 0 and self._passed <= before

    # -- closing

    def evict(self) -> None:
        """Close the connection to make room for another page request."""
        if self._state is RECEIVING:
            self._refuse(UpgradeError(503, "limit", headers=[("Retry-After", RETRY_AFTER)]))
        else:
            self.drop()

    def drain(self) -> None:
        """Finish, because the server is stopping. What the page has written so far is still sent."""
        if self._state is RECEIVING:
            self._refuse(UpgradeError(503, "draining", headers=[("Retry-After", RETRY_AFTER)]))
        elif self._state is not CLOSED:
            self._state = FLUSHING
            self.loseConnection()
            self._wait(self._gateway.seconds() + LINGERING_TIMEOUT)

    def drop(self) -> None:
        """Abort the connection."""
        if self._state is not CLOSED:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = ABORTED) -> None:
        self._state = CLOSED
        self._gateway.wheel.cancel(self)
        self._admission.endPage(self)
        super().connectionLost(reason)

    def _refuse(self, error: UpgradeError) -> None:
        """Answer with a refusal in place of the page."""
        if self._state is CLOSED:
            return
        transport = self.transport
        transport.unregisterProducer()
        self._gateway.refuse(transport, error, self._handshake.method)
        self.connectionLost()
        self._gateway.server.refused(error, None)
