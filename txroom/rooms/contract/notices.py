"""
Notifications: messages for users, wherever they are connected.

Each user has a queue. It has no owner: the engine numbers a notification when it is added, and that is its
order. Notifications are kept until there are too many, until they expire, or until the queue was not used
for `KEPT_SECONDS`.

**Places.** A place in a queue is an epoch and a number. The numbers of an epoch have no gaps, so whoever
reads a number that is not the next one knows how many notifications are lost. A queue gets a new epoch when
it may have lost its newest notifications. The engine remembers where the former epochs ended, so that old
places are still understood.

**Devices.** For each device of the user the queue knows up to which number notifications were acknowledged.
A page that has no place yet begins there. A new device begins after the highest number that any has
acknowledged.

**Watching.** An edge watches the queue of a user while clients of this user ask for notifications. A watcher
is only told that there may be something to read. Notifications that aren't queued are passed to it at once.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from msgspec import Struct
from twisted.internet.defer import Deferred

from .asks import Once

#: The longest id of a user, in characters.
MAX_USER = 256
#: For how many seconds a queue is kept that is not used.
KEPT_SECONDS = 7 * 86400.0
#: The most bytes of one queue. Each notification counts as `OVERHEAD` more than its type and data.
QUEUE_SIZE = 1 << 20
OVERHEAD = 64
#: The most notifications of a queue, unless another number is given.
QUEUE_LIMIT = 100
#: The most devices of a user; of more, the one that was not used for the longest time is forgotten.
MAX_DEVICES = 16
#: How many former epochs of a queue are remembered.
FORMER_EPOCHS = 8
#: For how many seconds an idempotency key is remembered, and how many keys of one user, and how many bytes.
KEY_SECONDS = 86400.0
MAX_KEYS = 10_000
MAX_KEYS_SIZE = 8 << 20


class Place(NamedTuple):
    """A place in a queue: after the notification `n` of an epoch."""

    epoch: str
    n: int


class NewNotice(Struct, frozen=True):
    """A notification that is to be sent."""

    type: str
    #: The payload.
    data: bytes
    #: Whether it waits in the queue; if not, only those get it who are connected now.
    isQueued: bool = True
    #: The most notifications of the queue; the oldest are dropped.
    limit: int = QUEUE_LIMIT
    #: After how many seconds it expires; 0: as late as the queue.
    seconds: float = 0.0


class NotifyResult(NamedTuple):
    """What has become of a notification."""

    #: Its epoch and number in the queue of the user; `None` and 0 if it was not queued.
    epoch: str | None
    n: int
    #: Whether clients of the user were listening when it was sent.
    isListening: bool
    #: Whether it had been sent before, with the same idempotency key, so that it was not sent again.
    isRepeated: bool = False


class Notice(NamedTuple):
    """A notification in a queue."""

    n: int
    type: str
    #: The payload.
    data: bytes


class Page(NamedTuple):
    """A part of a queue."""

    #: The epoch of the queue now, and the number after which the page begins.
    epoch: str
    after: int
    #: The number of the newest notification, also if it is not in the page, or is dropped already.
    last: int
    #: Whether the place was not known, so that an unknown number of notifications may be lost.
    isLost: bool
    notices: tuple[Notice, ...]


class QueueInfo(NamedTuple):
    """A queue, as operators see it."""

    epoch: str
    #: How many notifications are kept, of which some may have expired; and their bytes with `OVERHEAD`.
    kept: int
    size: int
    #: The number of the newest notification, and the highest that was acknowledged by any device.
    last: int
    acknowledged: int
    #: The devices, each with how many of the notifications that are kept it has not acknowledged.
    devices: tuple[tuple[str, int], ...]


def waitingOf(count: int, last: int, acknowledged: int) -> int:
    """Return how many of the last `count` notifications come after the one that was acknowledged."""
    return max(0, min(count, last - acknowledged))


class Watcher(Protocol):
    """What an edge has for one client. Its methods may be called at any time, and don't raise."""

    def wake(self) -> None:
        """
        There may be something to read.

        Called for the first time when all later notifications will be announced, perhaps by `watch` itself.
        """

    def tell(self, type: str, data: bytes) -> None:
        """A notification that is not queued."""


class Notices(Protocol):
    """
    The queues of all users; a part of the engine.

    The Deferreds fail with `RoomError`: `unavailable`, with `mayHaveHappened` in its details, if the queue
    can't be reached; and as described for idempotency keys in `Once`.
    """

    def notify(self, user: str, notice: NewNotice, once: Once | None = None) -> Deferred[NotifyResult]:
        """
        Send a notification to a user.

        Args:
            user: The id of the user.
            notice: The notification.
            once: The idempotency key; it is remembered for a day.
        """

    def notifyAll(self, type: str, data: bytes) -> Deferred[None]:
        """Send a notification to all users who are connected to any node."""

    def watch(self, user: str, watcher: Watcher) -> None:
        """Tell a watcher of the notifications of a user."""

    def unwatch(self, user: str, watcher: Watcher) -> None:
        """Don't tell a watcher any more."""

    def open(self, user: str, device: str, place: Place | None, count: int, size: int) -> Deferred[Page]:
        """
        Begin to read for a page of a device, as `read`.

        Args:
            user: The id of the user.
            device: The id of the device; empty: it has none.
            place: What the page has handled, which is acknowledged; `None`: the page is new, and begins where
                its device is.
            count: The most notifications to return.
            size: The most bytes of their data, but at least one is returned.
        """

    def read(self, user: str, place: Place, count: int, size: int) -> Deferred[Page]:
        """Return the notifications after a place, the oldest first."""

    def acknowledge(self, user: str, device: str, place: Place) -> Deferred[None]:
        """A device has handled all notifications up to a place."""

    def describe(self, user: str) -> Deferred[QueueInfo | None]:
        """Describe the queue of a user; `None`: there is none. It does not count as use of the queue."""
