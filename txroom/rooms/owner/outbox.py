"""
The outbox: it sends what a room emits in the order of emission, and not before the records that were written
earlier are committed.

Why: an owner that has lost its room without knowing it (it was suspended, or cut off) writes records
that are never committed. If it sent anything that depends on them, clients would know what no later owner
knows. Delivering before the commit loses messages; so does a `joined` that tells uncommitted counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import attrs
from twisted.internet.defer import Deferred, succeed

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ..contract.items import Item
from ..contract.ports import Journal, Outlet
from ..contract.records import Record
from ..hooks import failWaiter

#: Links by the edge they are on.
Audience = Sequence[tuple[Outlet, Sequence[str]]]


@attrs.frozen
class Emission:
    """An item or an end for some links, and the number of records that must be committed before."""

    barrier: int
    audience: Audience
    item: Item | None
    #: The end of those links: code and reason.
    end: tuple[int, str] | None = None

    def leave(self) -> None:
        """Deliver it to the edges."""
        for outlet, links in self.audience:
            if self.item is not None:
                outlet.deliver(self.item, links)
            if self.end is not None:
                outlet.detach(links, *self.end)


class Outbox:
    """What one room emits and records."""

    __slots__ = ("_isLeaving", "_isOver", "_journal", "_queue", "_waiters", "done", "isRecording", "written")

    def __init__(self) -> None:
        self._journal: Journal | None = None
        self._queue: deque[Emission] = deque()
        self._waiters: deque[tuple[int, Deferred[None]]] = deque()
        self._isLeaving = False
        self._isOver = False
        #: Whether what is recorded goes to a journal, which keeps it.
        self.isRecording = False
        #: Records written, and those of them that are committed.
        self.written = 0
        self.done = 0

    def begin(self, journal: Journal) -> None:
        """Record to `journal`, if that keeps anything."""
        self._journal = journal
        self.isRecording = journal.isKept

    def record(self, record: Record) -> None:
        """
        Write a record; what is emitted from now on waits until it is committed.

        Where this is hot, ask `isRecording` before making the record.
        """
        if self.isRecording and self._journal is not None:
            self.written += 1
            self._journal.write(record)

    def emit(self, item: Item, audience: Audience) -> None:
        """Send an item when its turn has come."""
        if not audience or self._isOver:
            return
        if self.done == self.written and not self._queue and not self._isLeaving:
            for outlet, links in audience:
                outlet.deliver(item, links)
        else:
            self._add(Emission(self.written, audience, item))

    def emitTo(self, item: Item, outlet: Outlet, link: str) -> None:
        """Send an item to one link when its turn has come; hot."""
        if self._isOver:
            return
        if self.done == self.written and not self._queue and not self._isLeaving:
            outlet.deliver(item, (link,))
        else:
            self._add(Emission(self.written, ((outlet, (link,)),), item))

    def end(self, audience: Audience, code: int, reason: str = "") -> None:
        """End links when their turn has come; code 0 tells the client nothing."""
        if not self._isOver:
            self._add(Emission(self.written, audience, None, (code, reason)))

    def overtake(self, item: Item, audience: Audience) -> None:
        """Send an item at once: it is volatile."""
        if not self._isOver:
            for outlet, links in audience:
                outlet.deliver(item, links)

    def whenCommitted(self) -> Deferred[None]:
        """Fires when all that was emitted so far has left; fails with `RoomError` if it never will."""
        if self._isOver:
            return _failed()
        if self.done == self.written and not self._queue:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append((self.written, waiter))
        return waiter

    def committed(self, count: int) -> None:
        """The journal has committed so many records in all."""
        if count > self.done:
            self.done = count
        if self._queue or self._waiters:
            self._leave()

    def lose(self) -> list[tuple[Outlet, str]]:
        """
        Send and record nothing any more; returns the links whose end was still queued.

        Those who wait for a commit are told by `failWaiters`.
        """
        self._isOver = True
        self.isRecording = False
        self._journal = None
        ends = [emission.audience for emission in self._queue if emission.end is not None]
        self._queue.clear()
        return [(outlet, link) for audience in ends for outlet, links in audience for link in links]

    def failWaiters(self) -> None:
        """Tell those who wait for what was lost."""
        waiters, self._waiters = self._waiters, deque()
        for _, waiter in waiters:
            failWaiter(waiter, RoomError(ErrorCode.ROOM_GONE))

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
    """Links, each with its outlet, put together by outlet."""
    byOutlet: dict[Outlet, list[str]] = {}
    for outlet, link in members:
        byOutlet.setdefault(outlet, []).append(link)
    return tuple((outlet, tuple(links)) for outlet, links in byOutlet.items())
