"""
The first protocol of a connection on our own listeners.

It reads one request head, strictly and within the handshake's deadline. An upgrade goes to `Upgrade`;
everything else goes, with the connection, to twisted.web.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol

from ..core.handshake import Handshake, UpgradeError
from .factory import WireFactory
from .forwarded import addressOf, describe
from .pages import PageVisit, findPath, missing
from .request import Head, HeadReader, isUpgrade
from .upgrade import Upgrade, refuse


class Channel(Protocol):
    """A connection whose request head isn't complete."""

    slot: int | None = None

    def __init__(self, factory: WireFactory) -> None:
        self._factory = factory
        self._reader = HeadReader()
        self._since = 0.0

    def connectionMade(self) -> None:
        factory = self._factory
        transport: Any = self.transport
        if factory.options.noDelay and ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        self._since = factory.clock.seconds()
        if factory.options.handshakeTimeout:
            factory.wheel.schedule(self, self._since + factory.options.handshakeTimeout)
        factory.begun(self, addressOf(transport, factory.options))
        factory.makeRoom()

    def dataReceived(self, data: bytes) -> None:
        try:
            head = self._reader.feed(data)
            if head is not None:
                self._headReceived(head)
        except UpgradeError as error:
            self._refuse(error)

    def _headReceived(self, head: Head) -> None:
        factory = self._factory
        transport: Any = self.transport
        asksUpgrade = isUpgrade(head.headers)
        if asksUpgrade and head.version >= (1, 1):
            handshake = self._describe(head)
            self._leave()
            Upgrade(factory, handshake, self._since, head.rest).begin(transport)
            return
        path = None
        if factory.site is not None and not asksUpgrade:
            path = findPath(factory.pages, head.target.partition("?")[0])
        if path is not None:
            self._visit(head, factory.pageBodies.get(path, factory.options.maxPageBody))
        elif head.version < (1, 1):
            raise UpgradeError(505, "version")
        else:
            handshake = self._describe(head)
            factory.checkHost(handshake, factory.options)
            self._leave()
            refuse(factory, transport, missing(factory, handshake), head.method)

    def _describe(self, head: Head) -> Handshake:
        return describe(head.method, head.target, head.headers, self.transport, self._factory.options)

    def _visit(self, head: Head, maxBody: int) -> None:
        transport = self.transport
        visit = PageVisit(self._factory, self._describe(head), maxBody)
        visit.admit()
        self._leave()
        visit.begin(transport, head)

    def _leave(self) -> None:
        """The connection isn't this protocol's any more."""
        self._factory.wheel.cancel(self)
        self._factory.ended(self)
        self.transport = None

    def _refuse(self, error: UpgradeError) -> None:
        transport = self.transport
        self._leave()
        self._factory.owner.refused(error, None)
        refuse(self._factory, transport, error)

    def due(self, now: float) -> None:
        """The head isn't complete at the deadline."""
        if self.transport is None:
            return
        wheel = self._factory.wheel
        deadline = self._since + self._factory.options.handshakeTimeout + wheel.lostSince(self._since)
        if now < deadline:  # the process stood still meanwhile
            wheel.schedule(self, deadline)
        else:
            self._refuse(UpgradeError(408, "timeout"))

    def giveWay(self, reason: str) -> None:
        """There are too many handshakes at a time, and this is the oldest; or the server stops."""
        if self.transport is not None:
            self._refuse(UpgradeError(503, reason))

    def connectionLost(self, reason: object = None) -> None:
        started = self._reader.started
        self._leave()
        if started:
            self._factory.owner.refused(UpgradeError(0, "left"), None)
