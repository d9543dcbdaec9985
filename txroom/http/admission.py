"""
How many connections there may be: in all, of one client address and of one application, in every state.

A connection of our own listeners is a pending handshake at first. From there it becomes an open WebSocket,
the connection of a request for a page, or one that was refused and lingers until its client has its answer.
What else decides on an upgrade (Origin, `verifyClient`) is asked in `upgrade`.
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

#: Seconds after which a client that was refused for want of room may try again.
RETRY_AFTER = "5"


class PendingHandshake(Protocol):
    """A connection whose handshake isn't finished."""

    def evict(self, reason: str) -> None:
        """Refuse it, for that reason; it calls `Admission.end`."""
        ...


class AdmittedPage(Protocol):
    """The connection of a request for a page, from the request's head until the connection is gone."""

    def evict(self) -> None:
        """Close it, to make room for another one: it only waits for its client."""
        ...

    def drain(self) -> None:
        """The server stops."""
        ...

    def drop(self) -> None:
        """Drop the connection."""
        ...


class PageConnections:
    """All connections of requests for pages by address, and those of them that wait for their clients."""

    def __init__(self) -> None:
        self._all: AddressGroups[AdmittedPage] = AddressGroups()
        #: Whose answer is complete, but the client hasn't taken all of it; these are evicted first.
        self._flushing: AddressGroups[AdmittedPage] = AddressGroups()
        #: Whose body hasn't come; these are evicted next.
        self._receiving: AddressGroups[AdmittedPage] = AddressGroups()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[AdmittedPage]:
        return iter(self._all)

    def count(self, address: str) -> int:
        """How many an address has."""
        return self._all.count(address)

    def add(self, page: AdmittedPage, address: str) -> None:
        """Add one whose body is to come."""
        self._all.add(page, address)
        self._receiving.add(page, address)

    def bodyReceived(self, page: AdmittedPage) -> None:
        """Its body has come; now it waits for the page."""
        self._receiving.remove(page)

    def answerComplete(self, page: AdmittedPage, address: str) -> None:
        """Its answer is complete; now it waits for its client again."""
        if page in self._all:
            self._flushing.add(page, address)

    def remove(self, page: AdmittedPage) -> None:
        """Remove one; harmless for one that isn't there."""
        for group in (self._all, self._flushing, self._receiving):
            group.remove(page)

    def evict(self, address: str | None = None) -> bool:
        """Evict one, of that address if any is given; returns whether there was one to evict."""
        for group in (self._flushing, self._receiving):
            page = group.oldestOfLargest() if address is None else group.oldestOf(address)
            if page is not None:
                self.remove(page)
                page.evict()
                return True
        return False


class Admission:
    """
    Counts the connections of one server, and refuses or evicts what is one too many.

    Args:
        options: Those of the server, with the limits; they may be replaced.
        wheel: The wheel for the deadlines of refused connections.
        seconds: What time it is.
        onDrained: Called while the server stops, whenever there is no connection left that is no WebSocket.
    """

    def __init__(
        self,
        options: ServerOptions,
        wheel: TimerWheel,
        seconds: Callable[[], float],
        onDrained: Callable[[], None],
    ) -> None:
        self.options = options
        self._onQuiet = onDrained
        #: Connections whose handshake isn't finished.
        self.pending: AddressGroups[PendingHandshake] = AddressGroups()
        #: Connections of requests for pages on our own listeners.
        self.pages = PageConnections()
        #: Connections that were refused by HTTP, and aren't gone yet.
        self.lingering = LingeringConnections(wheel, seconds, self._checkDrained)
        #: Connections that are refused in their WebSocket sub-protocol, and aren't gone yet.
        self.inBandRefusals = InBandRefusals(wheel, self._checkDrained)
        #: Open connections, and upgrades that were admitted, by client address and by application.
        self.perAddress: Counter[str] = Counter()
        self.perApplication: Counter[Application] = Counter()
        #: Open connections.
        self.open = 0
        #: The most of these, and of all clients' sockets, that the limit on open files allows; 0: any.
        self.mostConnections = self.mostSockets = 0
        self._isStopping = False

    # -- pending handshakes

    def begin(self, handshaking: PendingHandshake, address: str) -> None:
        """
        A connection of `address` (see `peerNetwork`) begins its handshake.

        If there are too many, the oldest of the address that has most is evicted.
        """
        self.pending.add(handshaking, address)
        limit = self.options.maxPendingHandshakes
        if limit and len(self.pending) > limit:
            self._evictPending()

    def replace(self, old: PendingHandshake, new: PendingHandshake, address: str) -> None:
        """A handshake goes on in another protocol, and under the address that its request tells."""
        self.pending.replace(old, new, address)

    def end(self, handshaking: PendingHandshake) -> None:
        """A handshake came to an end, good or bad."""
        self.pending.remove(handshaking)
        if self._isStopping:
            self._checkDrained()

    def evictIfFull(self) -> None:
        """
        A connection has come; if the limit on open files is near, another one has to go.

        That is one that was refused already, else a handshake, as for `begin`.
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
            address: What its client is counted under (see `peerNetwork`).
            application: Whose it is.
            options: Those of the application.

        Raises:
            UpgradeError: 503 or 429, if it is one too many.
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
        """Undo `admit`."""
        _decrease(self.perApplication, application)
        if address:
            _decrease(self.perAddress, address)

    # -- requests for pages

    def beginPage(self, page: AdmittedPage, address: str) -> None:
        """
        A request for a page has come.

        Raises:
            UpgradeError: 503 or 429, if it is one too many and no other one can be evicted.
        """
        most = self.options.maxPagesPerAddress
        if most and address and self.pages.count(address) >= most and not self.pages.evict(address):
            raise _tooMany(429)
        most = self.options.maxPages
        if most and len(self.pages) >= most and not self.pages.evict():
            raise _tooMany(503)
        self.pages.add(page, address)

    def endPage(self, page: AdmittedPage) -> None:
        """The connection of a request for a page is gone."""
        self.pages.remove(page)
        if not self.pages:
            self._checkDrained()

    # -- when the server stops

    def drain(self) -> None:
        """The server stops: refuse the handshakes that go on, close the connections of pages."""
        self._isStopping = True
        for handshaking in self.pending:
            handshaking.evict("draining")
        for page in self.pages:
            page.drain()

    def dropAll(self) -> None:
        """Drop all that is neither open nor a pending handshake."""
        for page in self.pages:
            page.drop()
        self.lingering.drop()
        self.inBandRefusals.drop()

    @property
    def isDrained(self) -> bool:
        """Whether there is no connection but those of open WebSockets."""
        return not (self.pending or self._others())

    def _checkDrained(self) -> None:
        if self._isStopping and self.isDrained:
            self._onQuiet()


def _tooMany(status: int) -> UpgradeError:
    return UpgradeError(status, "limit", headers=[("Retry-After", RETRY_AFTER)])


def _decrease(counter: Counter[Any], key: object) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
