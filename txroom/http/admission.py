"""
Limits on the number of connections: in all, per client address and per application.

A connection to one of the server's own listeners starts as a pending handshake. It then becomes an open
WebSocket, the connection of a page request, or a refused connection that lingers until the client has read
its answer. `Admission` counts connections in all of these states. The other checks of an upgrade, such as
Origin and `verifyClient`, are in `upgrade`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ..core.application import Application
from ..core.handshake import UpgradeError
from ..core.options import ServerOptions
from ..wire.timerwheel import TimerWheel
from .addressgroups import AddressGroups
from .inbandrefusals import InBandRefusals
from .lingering import LingeringConnections

#: The `Retry-After` of refusals because of a limit, in seconds.
RETRY_AFTER = "5"


class PendingHandshake(Protocol):
    """A connection whose handshake is not finished."""

    def evict(self, reason: str) -> None:
        """Refuse the client with that `reason`, and call `Admission.end`."""
        ...


class AdmittedPage(Protocol):
    """The connection of a page request, from the request head until the TCP connection is closed."""

    def evict(self) -> None:
        """Close the connection to make room for another one. It is only waiting for its client."""
        ...

    def drain(self) -> None:
        """Finish, because the server is stopping."""
        ...

    def drop(self) -> None:
        """Abort the connection."""
        ...


class PageConnections:
    """
    All connections of page requests, grouped by address, and which of them are waiting for their clients.
    """

    def __init__(self) -> None:
        self._all: AddressGroups[AdmittedPage] = AddressGroups()
        #: Connections whose answer is complete but not yet sent. These are evicted first.
        self._flushing: AddressGroups[AdmittedPage] = AddressGroups()
        #: Connections whose request body is not complete. These are evicted next.
        self._receiving: AddressGroups[AdmittedPage] = AddressGroups()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[AdmittedPage]:
        return iter(self._all)

    def count(self, address: str) -> int:
        """Return the number of connections from an address."""
        return self._all.count(address)

    def add(self, page: AdmittedPage, address: str) -> None:
        """Add a connection whose request body is not complete."""
        self._all.add(page, address)
        self._receiving.add(page, address)

    def bodyReceived(self, page: AdmittedPage) -> None:
        """
        Record that the request body is complete. The connection cannot be evicted while the page is working.
        """
        self._receiving.remove(page)

    def answerComplete(self, page: AdmittedPage, address: str) -> None:
        """
        Record that the answer is complete. The connection can be evicted again until its client has read it.
        """
        if page in self._all:
            self._flushing.add(page, address)

    def remove(self, page: AdmittedPage) -> None:
        """Remove a connection. Does nothing if it is not present."""
        for group in (self._all, self._flushing, self._receiving):
            group.remove(page)

    def evict(self, address: str | None = None) -> bool:
        """
        Evict one connection.

        Args:
            address: Evict a connection from this address; by default, from the address that has the most.

        Returns:
            Whether there was a connection to evict.
        """
        for group in (self._flushing, self._receiving):
            page = group.oldestOfLargest() if address is None else group.oldestOf(address)
            if page is not None:
                self.remove(page)
                page.evict()
                return True
        return False


class Admission:
    """
    Counts the connections of one server, and refuses or evicts connections beyond the limits.

    Args:
        options: The server's options, which contain the limits. They may be replaced later.
        wheel: The timer wheel for the deadlines of refused connections.
        seconds: Returns the current time.
        onDrained: Called while the server is stopping, each time that no connections other than open
            WebSockets remain.
    """

    def __init__(
        self,
        options: ServerOptions,
        wheel: TimerWheel,
        seconds: Callable[[], float],
        onDrained: Callable[[], None],
    ) -> None:
        self.options = options
        self._onDrained = onDrained
        #: Connections whose handshake is not finished.
        self.pending: AddressGroups[PendingHandshake] = AddressGroups()
        #: Connections of page requests on the server's own listeners.
        self.pages = PageConnections()
        #: Connections that were refused by HTTP and are not closed yet.
        self.lingering = LingeringConnections(wheel, seconds, self._checkDrained)
        #: Connections that were refused in their WebSocket sub-protocol and are not closed yet.
        self.inBandRefusals = InBandRefusals(wheel, self._checkDrained)
        #: Open WebSockets and admitted upgrades, by client address and by application.
        self.perAddress: Counter[str] = Counter()
        self.perApplication: Counter[Application] = Counter()
        #: The number of open WebSockets.
        self.open = 0
        #: The most WebSockets, and the most client sockets in all, that the limit on open files allows; 0 is
        #: no limit.
        self.mostConnections = self.mostSockets = 0
        self._isStopping = False

    # -- pending handshakes

    def begin(self, handshaking: PendingHandshake, address: str) -> None:
        """
        Count a connection from `address` (see `peerNetwork`) as a pending handshake.

        If there are too many, evict the oldest one of the address that has the most.
        """
        self.pending.add(handshaking, address)
        limit = self.options.maxPendingHandshakes
        if limit and len(self.pending) > limit:
            self._evictPending()

    def replace(self, old: PendingHandshake, new: PendingHandshake, address: str) -> None:
        """Continue a handshake in another protocol, and under the address that the request gives."""
        self.pending.replace(old, new, address)

    def end(self, handshaking: PendingHandshake) -> None:
        """Stop counting a handshake, because it succeeded or failed."""
        self.pending.remove(handshaking)
        if self._isStopping:
            self._checkDrained()

    def evictIfFull(self) -> None:
        """
        Close one connection if a new connection brings the process near its limit on open files.

        A refused connection that is still lingering is closed first; if there is none, a pending handshake,
        chosen as in `begin`.
        """
        most = self.mostSockets
        if not most or self.open + len(self.pending) + self._others() <= most:
            return
        if not self.lingering.dropOldest():
            self._evictPending()

    def _others(self) -> int:
        return len(self.pages) + len(self.lingering) + len(self.inBandRefusals)

    def _evictPending(self) -> None:
        oldest = self.pending.oldestOfLargest()
        assert oldest is not None
        oldest.evict("pending")

    # -- open connections

    def admit(self, address: str, application: Application, options: ServerOptions) -> None:
        """
        Count one more WebSocket.

        Args:
            address: The address to count the client under (see `peerNetwork`).
            application: The application that serves it.
            options: The options that apply to the application.

        Raises:
            UpgradeError: A limit is reached. The status is 503 for `maxConnections`, 429 for
                `maxConnectionsPerAddress`.
        """
        total = self.options.maxConnections or self.mostConnections
        perApplication = self.perApplication
        if total and perApplication.total() >= total:
            raise _tooMany(503)
        most = options.maxConnections
        if most != total and most and perApplication[application] >= most:
            raise _tooMany(503)
        most = options.maxConnectionsPerAddress
        if most and address and self.perAddress[address] >= most:
            raise _tooMany(429)
        perApplication[application] += 1
        if address:
            self.perAddress[address] += 1

    def leave(self, address: str, application: object) -> None:
        """Stop counting a WebSocket; the reverse of `admit`."""
        _decrease(self.perApplication, application)
        if address:
            _decrease(self.perAddress, address)

    # -- requests for pages

    def beginPage(self, page: AdmittedPage, address: str) -> None:
        """
        Count one more page request.

        Raises:
            UpgradeError: A limit is reached, and no other page request can be evicted. The status is 429 for
                `maxPagesPerAddress`, 503 for `maxPages`.
        """
        most = self.options.maxPagesPerAddress
        if most and address and self.pages.count(address) >= most and not self.pages.evict(address):
            raise _tooMany(429)
        most = self.options.maxPages
        if most and len(self.pages) >= most and not self.pages.evict():
            raise _tooMany(503)
        self.pages.add(page, address)

    def endPage(self, page: AdmittedPage) -> None:
        """Stop counting a page request, because its connection is closed."""
        self.pages.remove(page)
        if not self.pages:
            self._checkDrained()

    # -- when the server stops

    def drain(self) -> None:
        """Refuse all pending handshakes and finish all page requests, because the server is stopping."""
        self._isStopping = True
        for handshaking in self.pending:
            handshaking.evict("draining")
        for page in self.pages:
            page.drain()

    def dropAll(self) -> None:
        """Abort all connections except open WebSockets and pending handshakes."""
        for page in self.pages:
            page.drop()
        self.lingering.drop()
        self.inBandRefusals.drop()

    @property
    def isDrained(self) -> bool:
        """Whether no connections other than open WebSockets remain."""
        return not (self.pending or self._others())

    def _checkDrained(self) -> None:
        if self._isStopping and self.isDrained:
            self._onDrained()


def _tooMany(status: int) -> UpgradeError:
    return UpgradeError(status, "limit", headers=[("Retry-After", RETRY_AFTER)])


def _decrease(counter: Counter[Any], key: object) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
