"""
Clients without rooms: Autobahn's.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from ..client.transport import endpointOf
from ..core.codes import CloseCode
from .loadclient import LoadClient, LoadTestContext

#: How many seconds a connection may take to open.
CONNECT_TIMEOUT = 10.0
#: How many seconds the server may take to answer a Close frame.
CLOSE_TIMEOUT = 3.0


class PlainLoadClient(LoadClient):
    """
    A client without rooms whose messages the server sends back. It does not reconnect.

    Messages with marks may return in any order, others must return in the order in which they were sent.
    """

    def __init__(self, context: LoadTestContext, number: int) -> None:
        super().__init__(context, number)
        self._connecting: Deferred[Any] | None = None
        self._protocol: _Protocol | None = None
        self._timer: IDelayedCall | None = None
        self._isGone = False
        self._waiters: list[Deferred[None]] = []

    def connect(self) -> None:
        plan = self.plan
        factory = WebSocketClientFactory(plan.url, headers=dict(plan.headers), reactor=self.reactor)
        make: Any = partial(_Protocol, self)
        factory.protocol = make
        # Autobahn's timers would run on the global reactor.
        factory.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0, tcpNoDelay=True
        )
        endpoint: Any = plan.endpoint or endpointOf(plan.url, self.reactor)
        if isinstance(endpoint, str):
            endpoint = clientFromString(self.reactor, endpoint)
        self._timer = self.reactor.callLater(CONNECT_TIMEOUT, self._late)
        self._connecting = endpoint.connect(factory)
        self._connecting.addErrback(self._unreachable)

    def sendNext(self) -> None:
        if self._protocol is not None:
            self._protocol.sendMessage(self.marked().encode())
            self.metrics.sent += 1
            self.expectReturn()

    def disconnect(self) -> Deferred[None]:
        if self._isGone:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        if not self.wasConnected:
            self._abort()
        elif self._protocol is not None:
            self._protocol.sendClose(int(CloseCode.NORMAL))
            self._setTimer(CLOSE_TIMEOUT, self._abort)
        return waiter

    def _abort(self) -> None:
        if self._protocol is not None:
            transport: Any = self._protocol.transport
            transport.abortConnection()
        elif self._connecting is not None:
            self._connecting.cancel()

    def _setTimer(self, seconds: float, function: Any) -> None:
        self._stopTimer()
        self._timer = self.reactor.callLater(seconds, function)

    def _stopTimer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _late(self) -> None:
        self.failed("connect: timeout")
        self.leave()

    def _unreachable(self, failure: Failure) -> None:
        self.gone(CloseCode.ABNORMAL, "" if failure.check(CancelledError) else failure.getErrorMessage())

    # -- for the network

    def made(self, protocol: _Protocol) -> None:
        """Called when the TCP connection is open."""
        self._protocol = protocol

    def opened(self) -> None:
        """Called when the WebSocket is open."""
        self._stopTimer()
        if not self.isOver:
            self.setConnected(True)
            self.setReady(True)
            self.context.entered(self)

    def received(self, payload: bytes) -> None:
        """Called when a message has arrived."""
        self.metrics.received += 1
        if self.plan.isMarked:
            self.returned(self._roundTrips.find(payload.decode(errors="replace")))
        else:
            self.returned(self._roundTrips.first())

    def gone(self, code: int, reason: str) -> None:
        """Called when the connection has ended."""
        self._isGone = True
        self._stopTimer()
        if not self.isOver:
            if self.wasConnected:
                self.failed(f"closed: {code} {reason}".strip())
            self.lost(code, reason)
            self.leave()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)


class _Protocol(WebSocketClientProtocol):
    """Autobahn's client protocol, which reports to a `PlainLoadClient`."""

    http_status_line = ""

    def __init__(self, client: PlainLoadClient) -> None:
        super().__init__()
        self._loadClient = client
        self._why = ""

    def connectionMade(self) -> None:
        self._loadClient.made(self)
        super().connectionMade()

    def onOpen(self) -> None:
        self._loadClient.opened()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._loadClient.received(payload)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._why = reason.getErrorMessage()
        super().connectionLost(reason)
        self.is_closed = None  # its result is this protocol: a reference cycle

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if wasClean:
            self._loadClient.gone(CloseCode.NO_STATUS if code is None else code, reason or "")
        elif self._loadClient.wasConnected:
            self._loadClient.gone(CloseCode.ABNORMAL, "")
        else:
            _, _, answer = self.http_status_line.partition(" ")
            self._loadClient.gone(CloseCode.ABNORMAL, answer or self._why)
