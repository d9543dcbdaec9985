"""
The notifications of a server that alone has its rooms: they live in its memory.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from ..rooms.contract.asks import Once, reused
from ..rooms.contract.notices import (
    KEPT_SECONDS,
    NewNotice,
    NotifyResult,
    Page,
    Place,
    QueueInfo,
    Watcher,
)
from .noticequeue import NoticeQueue
from .watchers import Watchers

#: The most bytes of all queues.
TOTAL_SIZE = 256 << 20


class MemoryNotices:
    """The queues of a server; its `Notices`. All Deferreds have fired."""

    def __init__(self) -> None:
        #: Returns the time; that of the server once it has started.
        self._seconds: Callable[[], float] = float
        self._watchers = Watchers()
        #: The notifications that were added to queues, and those that were dropped; see `EngineMeters`.
        self.queued = self.dropped = 0
        #: The queues, and when they were used last; the one that was used last is the last one.
        self._queues: OrderedDict[str, tuple[NoticeQueue, float]] = OrderedDict()
        self._size = 0

    def begin(self, clock: IReactorTime) -> None:
        """The server starts."""
        self._seconds = clock.seconds

    def notify(self, user: str, notice: NewNotice, once: Once | None = None) -> Deferred[NotifyResult]:
        """Send a notification; see `Notices.notify`."""
        now = self._seconds()
        place: Place | None = None
        if once is not None or notice.isQueued:
            queue = self._use(user, now)
            known = None if once is None else queue.repeated(once, now)
            if known is not None and once is not None:
                if known.digest != once.digest:
                    return fail(reused())
                epoch, n = known.place or (None, 0)
                return succeed(NotifyResult(epoch, n, user in self._watchers, True))
            before = queue.size
            if notice.isQueued:
                place, dropped = queue.append(notice, now)
                self.queued += 1
                self.dropped += dropped
            if once is not None:
                queue.remember(once, place, now)
            self._size += queue.size - before
            self._free()
        if notice.isQueued:
            self._watchers.wake(user)
        else:
            self._watchers.tell(user, notice.type, notice.data)
        epoch, n = place or (None, 0)
        return succeed(NotifyResult(epoch, n, user in self._watchers))

    def notifyAll(self, type: str, data: bytes) -> Deferred[None]:
        """Send a notification to all; see `Notices.notifyAll`."""
        self._watchers.tellAll(type, data)
        return succeed(None)

    def watch(self, user: str, watcher: Watcher) -> None:
        """Add a watcher, and wake it at once."""
        self._watchers.add(user, watcher)
        watcher.wake()

    def unwatch(self, user: str, watcher: Watcher) -> None:
        """Remove a watcher."""
        if self._watchers.remove(user, watcher) and user in self._queues:
            self._queues[user] = (self._queues[user][0], self._seconds())
            self._queues.move_to_end(user)

    def open(self, user: str, device: str, place: Place | None, count: int, size: int) -> Deferred[Page]:
        """Begin to read; see `Notices.open`."""
        now = self._seconds()
        return succeed(self._use(user, now).open(device, place, count, size, now))

    def read(self, user: str, place: Place, count: int, size: int) -> Deferred[Page]:
        """Read on; see `Notices.read`."""
        now = self._seconds()
        return succeed(self._use(user, now).read(place, count, size, now))

    def acknowledge(self, user: str, device: str, place: Place) -> Deferred[None]:
        """Acknowledge; see `Notices.acknowledge`."""
        self._use(user, self._seconds()).acknowledge(device, place)
        return succeed(None)

    def describe(self, user: str) -> Deferred[QueueInfo | None]:
        """Describe a queue; see `Notices.describe`."""
        known = self._queues.get(user)
        isKept = known is not None and (user in self._watchers or self._seconds() - known[1] < KEPT_SECONDS)
        return succeed(known[0].describe() if known is not None and isKept else None)

    # -- the queues

    def _use(self, user: str, now: float) -> NoticeQueue:
        """Return the queue of a user, which is used now."""
        known = self._queues.get(user)
        if known is not None and now - known[1] >= KEPT_SECONDS and user not in self._watchers:
            self._drop(user)
            known = None
        if known is None:
            queue = NoticeQueue(secrets.token_urlsafe(9))
            self._size += queue.size
        else:
            queue = known[0]
        self._queues[user] = (queue, now)
        self._queues.move_to_end(user)
        self._free()
        return queue

    def _free(self) -> None:
        """
        Drop the queues that have expired, and those that were not used for the longest time if needed.

        A queue that is watched is used.
        """
        now = self._seconds()
        while len(self._queues) > 1:
            user, (queue, used) = next(iter(self._queues.items()))
            if self._size <= TOTAL_SIZE:
                if now - used < KEPT_SECONDS:
                    return
                if user in self._watchers:
                    self._queues[user] = (queue, now)
                    self._queues.move_to_end(user)
                    continue
            self._drop(user)

    def _drop(self, user: str) -> None:
        queue, _ = self._queues.pop(user)
        self._size -= queue.size
