"""
The first protocol of each connection to the server's own listeners.

It reads one request head, strictly and before `handshakeTimeout` passes. A request for a WebSocket goes to
`Upgrade`, and a request for a page goes to twisted.web. Every other request is refused.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol

from ..core.handshake import Handshake, UpgradeError
from .forwarded import addressOf, makeHandshake
from .gateway import Gateway
from .pageconnection import PageConnection
from .pages import findPath
from .request import Head, HeadReader, isUpgrade
from .response import noPageError
from .upgrade import Upgrade


class Channel(Protocol):
    """
    A connection whose request head is not complete.

    When the head is complete or refused, another protocol takes over the transport, and `transport` is
    `None`.
    """

    slot: int | None = None

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._reader = HeadReader()
        self._since = 0.0

    def connectionMade(self) -> None:
        gateway = self._gateway
        options = gateway.options
        transport: Any = self.transport
        if options.noDelay and ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        self._since = gateway.seconds()
        if options.handshakeTimeout:
            gateway.wheel.schedule(self, self._since + options.handshakeTimeout)
        gateway.admission.begin(self, addressOf(transport, options))
        gateway.admission.evictIfFull()

    def dataReceived(self, data: bytes) -> None:
        try:
            head = self._reader.feed(data)
            if head is not None:
                self._headReceived(head)
        except UpgradeError as error:
            self._refuse(error)

    def _headReceived(self, head: Head) -> None:
        gateway = self._gateway
        asksUpgrade = isUpgrade(head.headers)
        if asksUpgrade and head.version >= (1, 1):
            self._upgrade(head)
            return
        path = None
        if gateway.pages.site is not None and not asksUpgrade:
            path = findPath(gateway.pages, head.target.partition("?")[0])
        if path is not None:
            self._servePage(head, gateway.pages.maxBody(path, gateway.options.maxPageBody))
        elif head.version < (1, 1):
            raise UpgradeError(505, "version")
        else:
            handshake = self._makeHandshake(head)
            gateway.origins.checkHost(handshake, gateway.options)
            transport = self.transport
            self._leave()
            gateway.refuse(transport, noPageError(gateway.server.applicationFor(handshake)), head.method)

    def _makeHandshake(self, head: Head) -> Handshake:
        return makeHandshake(head.method, head.target, head.headers, self.transport, self._gateway.options)

    def _upgrade(self, head: Head) -> None:
        upgrade = Upgrade(self._gateway, self._makeHandshake(head), self._since, head.rest)
        transport, self.transport = self.transport, None
        self._gateway.wheel.cancel(self)
        upgrade.begin(transport, self)

    def _servePage(self, head: Head, maxBody: int) -> None:
        transport = self.transport
        page = PageConnection(self._gateway, self._makeHandshake(head), maxBody)
        page.admit()
        self._leave()
        page.begin(transport, head)

    def _leave(self) -> None:
        """Give up the connection."""
        self._gateway.wheel.cancel(self)
        self._gateway.admission.end(self)
        self.transport = None

    def _refuse(self, error: UpgradeError) -> None:
        transport = self.transport
        self._leave()
        self._gateway.refuse(transport, error)
        self._gateway.server.refused(error, None)

    def due(self, now: float) -> None:
        """Refuse the client, because the head is not complete at the deadline."""
        if self.transport is None:
            return
        wheel = self._gateway.wheel
        deadline = self._since + self._gateway.options.handshakeTimeout + wheel.lostSince(self._since)
        if now < deadline:  # the process was suspended or blocked; the client gets that time on top
            wheel.schedule(self, deadline)
        else:
            self._refuse(UpgradeError(408, "timeout"))

    def evict(self, reason: str) -> None:
        """Refuse the client, because there are too many pending handshakes or the server is stopping."""
        if self.transport is not None:
            self._refuse(UpgradeError(503, reason))

    def connectionLost(self, reason: object = None) -> None:
        started = self._reader.started
        self._leave()
        if started:
            self._gateway.server.refused(UpgradeError(0, "left"), None)
