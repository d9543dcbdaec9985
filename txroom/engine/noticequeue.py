"""
The queue of notifications of one user, in memory.

The scripts of Redis (``notify.lua`` and ``notices.lua``) do the same with the same numbers.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ..rooms.contract.asks import Once
from ..rooms.contract.notices import (
    KEY_SECONDS,
    MAX_DEVICES,
    MAX_KEYS,
    MAX_KEYS_SIZE,
    OVERHEAD,
    QUEUE_SIZE,
    NewNotice,
    Notice,
    Page,
    Place,
    QueueInfo,
    waitingOf,
)

#: What a queue counts as, besides its notifications, in bytes.
QUEUE_OVERHEAD = 1024


class Kept(NamedTuple):
    """A notification in the queue."""

    notice: Notice
    #: When it expires; 0: never.
    expiry: float
    size: int


class Remembered(NamedTuple):
    """An idempotency key."""

    digest: bytes
    expiry: float
    place: Place | None
    size: int


class NoticeQueue:
    """
    See the module.

    Args:
        epoch: The epoch of the queue.
    """

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self._last = 0
        #: The highest number that any device has acknowledged.
        self._acknowledged = 0
        self._kept: OrderedDict[int, Kept] = OrderedDict()
        self._size = 0
        #: The numbers that devices have acknowledged; the device that was used last is the last one.
        self._devices: OrderedDict[str, int] = OrderedDict()
        self._keys: OrderedDict[str, Remembered] = OrderedDict()
        self._keysSize = 0

    @property
    def size(self) -> int:
        """How much memory it takes, about, in bytes."""
        return QUEUE_OVERHEAD + self._size + self._keysSize

    def describe(self) -> QueueInfo:
        """Describe the queue; see `Notices.describe`."""
        count = len(self._kept)
        devices = tuple((id, waitingOf(count, self._last, n)) for id, n in self._devices.items())
        return QueueInfo(self.epoch, count, self._size, self._last, self._acknowledged, devices)

    # -- writing

    def repeated(self, once: Once, now: float) -> Remembered | None:
        """Return what is remembered of an idempotency key."""
        known = self._keys.get(once.key)
        return known if known is not None and known.expiry > now else None

    def remember(self, once: Once, place: Place | None, now: float) -> None:
        """Remember an idempotency key."""
        self._forget(once.key)
        size = len(once.key.encode()) + len(once.digest) + OVERHEAD
        self._keys[once.key] = Remembered(once.digest, now + KEY_SECONDS, place, size)
        self._keysSize += size
        while True:
            key, oldest = next(iter(self._keys.items()))
            isOver = len(self._keys) > MAX_KEYS or self._keysSize > MAX_KEYS_SIZE
            if not isOver and oldest.expiry > now:
                return
            self._forget(key)

    def _forget(self, key: str) -> None:
        known = self._keys.pop(key, None)
        if known is not None:
            self._keysSize -= known.size

    def append(self, notice: NewNotice, now: float) -> tuple[Place, int]:
        """Add a notification; return its place, and how many were dropped for it that have not expired."""
        self._last += 1
        size = len(notice.type.encode()) + len(notice.data) + OVERHEAD
        expiry = now + notice.seconds if notice.seconds else 0.0
        self._kept[self._last] = Kept(Notice(self._last, notice.type, notice.data), expiry, size)
        self._size += size
        dropped = self._trim(notice.limit, now)
        return Place(self.epoch, self._last), dropped

    def _trim(self, limit: int, now: float) -> int:
        dropped = 0
        while self._kept:
            n, oldest = next(iter(self._kept.items()))
            isOver = len(self._kept) > limit or self._size > QUEUE_SIZE
            isExpired = oldest.expiry and oldest.expiry <= now
            if not isOver and not isExpired:
                break
            dropped += not isExpired
            del self._kept[n]
            self._size -= oldest.size
        return dropped

    # -- reading

    def open(self, device: str, place: Place | None, count: int, size: int, now: float) -> Page:
        """Begin to read for a page of a device; see `Notices.open`."""
        if place is None:
            after, isLost = self._devices.get(device, self._acknowledged), False
        else:
            after, isLost = self._resolved(place)
            self._acknowledged = max(self._acknowledged, after)
        if device:
            self._use(device, after)
        return self._page(after, isLost, count, size, now)

    def read(self, place: Place, count: int, size: int, now: float) -> Page:
        """Return the notifications after a place; see `Notices.read`."""
        return self._page(*self._resolved(place), count, size, now)

    def acknowledge(self, device: str, place: Place) -> None:
        """A device has handled all notifications up to a place."""
        if place.epoch != self.epoch:
            return
        n = min(place.n, self._last)
        self._acknowledged = max(self._acknowledged, n)
        if device:
            self._use(device, n)

    def _use(self, device: str, n: int) -> None:
        self._devices[device] = max(self._devices.get(device, 0), n)
        self._devices.move_to_end(device)
        if len(self._devices) > MAX_DEVICES:
            self._devices.popitem(last=False)

    def _resolved(self, place: Place) -> tuple[int, bool]:
        """
        Return the number of a place, and whether it was not known.

        An unknown place is before the oldest notification: its queue is lost with what it had.
        """
        if place.epoch == self.epoch:
            return min(place.n, self._last), False
        oldest = next(iter(self._kept), self._last + 1)
        return oldest - 1, True

    def _page(self, after: int, isLost: bool, count: int, size: int, now: float) -> Page:
        found: list[Notice] = []
        for n, kept in self._kept.items():
            if n <= after or (kept.expiry and kept.expiry <= now):
                continue
            size -= len(kept.notice.data)
            if len(found) >= count or (size < 0 and found):
                break
            found.append(kept.notice)
        return Page(self.epoch, after, self._last, isLost, tuple(found))
