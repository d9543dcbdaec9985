"""
The outbox sends the items of a room in order, each only after the records that were written before it are
committed.

The reason: an owner may have lost its room without knowing it, because it was suspended or cut off. The
records that it writes are never committed. If it sent anything that depends on them, clients would know what
no later owner knows: a message that is delivered before its commit may get lost, and so may frames that an
early `joined` counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ..contract.items import Item
from ..contract.ports import Journal, Outlet
from ..contract.records import Record
from ..hooks import failWaiter

#: If nothing is committed for so many seconds although something waits for it, messages of clients wait too.
STALL = 2.0

#: Links by the edge they are on.
Audience = Sequence[tuple[Outlet, Sequence[str]]]


@attrs.frozen
class Emission:
    """An item for some links, or their end, and the number of records that must be committed before."""

    barrier: int
    audience: Audience
    item: Item | None
    #: The code and reason with which the links end.
    end: tuple[int, str] | None = None

    def leave(self) -> None:
        """Deliver it to the edges."""
        for outlet, links in self.audience:
            if self.item is not None:
                outlet.deliver(self.item, links)
            if self.end is not None:
                outlet.detach(links, *self.end)


class Outbox:
    """The outgoing items and the records of one room."""

    __slots__ = (
        "_clock", "_isLeaving", "_isOver", "_journal", "_needless", "_queue", "_stalled", "_waiters", "done",
        "isRecording", "waitsSince", "written",
    )  # fmt: skip

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._journal: Journal | None = None
        self._queue: deque[Emission] = deque()
        self._waiters: deque[tuple[int, Deferred[None]]] = deque()
        self._isLeaving = False
        self._isOver = False
        #: The offset up to which the journal was told to forget entries.
        self._needless = 0
        #: The Deferreds that fire when something is committed again.
        self._stalled: list[Deferred[None]] = []
        #: Since when records wait to be committed, or since something was committed last, if that is later;
        #: `None`: all records are committed.
        self.waitsSince: float | None = None
        #: Whether records are written to a journal that keeps them.
        self.isRecording = False
        #: The number of records that were written, and of those that are committed.
        self.written = 0
        self.done = 0

    def begin(self, journal: Journal) -> None:
        """Write records to `journal` from now on, if it keeps them."""
        self._journal = journal
        self.isRecording = journal.isKept

    def record(self, record: Record) -> None:
        """
        Write a record. Items that are emitted after this wait until it is committed.

        On a hot path, check `isRecording` before making the record.
        """
        if self.isRecording and self._journal is not None:
            self.written += 1
            if self.waitsSince is None:
                self.waitsSince = self._clock.seconds()
            self._journal.write(record)

    def forget(self, offset: int) -> None:
        """Tell the journal that the next owner does not need the entries up to an offset."""
        if self.isRecording and self._journal is not None and offset > self._needless:
            self._needless = offset
            self._journal.forget(offset)

    def emit(self, item: Item, audience: Audience) -> None:
        """Send an item after all earlier ones, and after the records that were written before."""
        if not audience or self._isOver:
            return
        if self.done == self.written and not self._queue and not self._isLeaving:
            for outlet, links in audience:
                outlet.deliver(item, links)
        else:
            self._add(Emission(self.written, audience, item))

    def emitTo(self, item: Item, outlet: Outlet, link: str) -> None:
        """As `emit`, to one link. Called for every message."""
        if self._isOver:
            return
        if self.done == self.written and not self._queue and not self._isLeaving:
            outlet.deliver(item, (link,))
        else:
            self._add(Emission(self.written, ((outlet, (link,)),), item))

    def end(self, audience: Audience, code: int, reason: str = "") -> None:
        """End links, in order with the items. With code 0 the clients are told nothing."""
        if not self._isOver:
            self._add(Emission(self.written, audience, None, (code, reason)))

    def overtake(self, item: Item, audience: Audience) -> None:
        """Send a volatile item at once."""
        if not self._isOver:
            for outlet, links in audience:
                outlet.deliver(item, links)

    def whenCommitted(self) -> Deferred[None]:
        """
        Return a Deferred that fires when all items that were emitted so far have been sent. It fails with
        `RoomError` if they never are.
        """
        if self._isOver:
            return _failed()
        if self.done == self.written and not self._queue:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append((self.written, waiter))
        return waiter

    def committed(self, count: int) -> None:
        """Send the items that have waited for the first `count` records, which the journal has committed."""
        if count > self.done:
            self.done = count
            self.waitsSince = None if count >= self.written else self._clock.seconds()
        if self._queue or self._waiters:
            self._leave()
        if self._stalled:
            self._goOn()

    @property
    def isStalled(self) -> bool:
        """
        Whether records wait, and nothing has been committed for `STALL` seconds. Then no messages of clients
        are handled, so that not too much waits to be committed.
        """
        since = self.waitsSince
        return since is not None and self._clock.seconds() - since >= STALL

    def whenGoingOn(self) -> Deferred[None]:
        """Fire when something is committed, or when the room is lost."""
        goesOn: Deferred[None] = Deferred()
        self._stalled.append(goesOn)
        return goesOn

    def _goOn(self) -> None:
        stalled, self._stalled = self._stalled, []
        for each in stalled:
            each.callback(None)

    def lose(self) -> list[tuple[Outlet, str]]:
        """
        Send and record nothing more.

        `failWaiters` fires the Deferreds of `whenCommitted` and of `whenGoingOn`.

        Returns:
            The links whose end was still queued.
        """
        self._isOver = True
        self.isRecording = False
        self.waitsSince = None
        self._journal = None
        ends = [emission.audience for emission in self._queue if emission.end is not None]
        self._queue.clear()
        return [(outlet, link) for audience in ends for outlet, links in audience for link in links]

    def failWaiters(self) -> None:
        """Fail the Deferreds of `whenCommitted`, and fire those of `whenGoingOn`."""
        waiters, self._waiters = self._waiters, deque()
        for _, waiter in waiters:
            failWaiter(waiter, RoomError(ErrorCode.ROOM_GONE))
        self._goOn()

    def _add(self, emission: Emission) -> None:
        self._queue.append(emission)
        self._leave()

    def _leave(self) -> None:
        if self._isLeaving:
            return
        self._isLeaving = True
        try:
            while self._queue and self._queue[0].barrier <= self.done:
                self._queue.popleft().leave()
        finally:
            self._isLeaving = False
        while self._waiters and self._waiters[0][0] <= self.done:
            self._waiters.popleft()[1].callback(None)


def _failed() -> Deferred[None]:
    waiter: Deferred[None] = Deferred()
    waiter.errback(RoomError(ErrorCode.ROOM_GONE))
    return waiter


def audienceOf(members: Iterable[tuple[Outlet, str]]) -> Audience:
    """Group links by their outlets."""
    byOutlet: dict[Outlet, list[str]] = {}
    for outlet, link in members:
        byOutlet.setdefault(outlet, []).append(link)
    return tuple((outlet, tuple(links)) for outlet, links in byOutlet.items())


def detachAll(members: Iterable[tuple[Outlet, str]], code: int) -> None:
    """End links, whatever is queued for them."""
    for outlet, links in audienceOf(members):
        outlet.detach(links, code)
