"""
The notifications of one connection.

Notifications are not queued here. They are read from the queue of the user when the client may get more of
them: it acknowledges those that it has handled, and at most `NOTICE_WINDOW` of them are on their way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...core.awaitables import clearTraceback
from ...protocol.errors import RoomError
from ...protocol.limits import NOTICE_WINDOW, NOTICE_WINDOW_SIZE
from ..contract.items import Item, Notified, Notify
from ..contract.notices import Notices, Page, Place

#: After how many seconds an attempt that failed is repeated.
AGAIN = 1.0


class _Sent(NamedTuple):
    """A notification, or the answer to the subscription, that the client has not acknowledged."""

    place: Place
    size: int


class Notifier:
    """
    Sends the notifications of a user to one client; a `Watcher`.

    Args:
        notices: The queues.
        clock: The clock.
        say: Sends an item to the client; its second argument is whether the item may be dropped.
        user: The id of the user.
        device: The id of the device; empty: it has none.
        place: What the client has handled; `None`: it begins where its device is.
    """

    _log = Logger()

    def __init__(
        self,
        notices: Notices,
        clock: IReactorTime,
        say: Callable[[Item, bool], None],
        user: str,
        device: str,
        place: Place | None,
    ) -> None:
        self._notices = notices
        self._clock = clock
        self._say = say
        self._user = user
        self._device = device
        #: What the client has got; until the queue is open, what it had before.
        self._place = place
        self._isOpen = False
        #: Whether there may be something to read, and whether it is being read.
        self._isWoken = self._isReading = False
        self._sent: deque[_Sent] = deque()
        self._sentSize = 0
        #: What the client has acknowledged, if the queue doesn't know it yet; and whether it is being told.
        self._acknowledged: Place | None = None
        self._isAcknowledging = False
        self._isStopped = False
        self._again: IDelayedCall | None = None

    def start(self) -> None:
        """Watch the queue."""
        self._notices.watch(self._user, self)

    def stop(self) -> None:
        """The connection has ended."""
        if not self._isStopped:
            self._isStopped = True
            self._notices.unwatch(self._user, self)
            if self._again is not None:
                self._again.cancel()

    # -- called by the queue

    def wake(self) -> None:
        """There may be something to read."""
        self._isWoken = True
        if not self._isReading:
            self._isReading = True
            Deferred.fromCoroutine(self._read()).addErrback(self._failed)

    def tell(self, type: str, data: bytes) -> None:
        """Send a notification that is not queued."""
        self._say(Notify(None, 0, type, data, 0), True)

    # -- reading

    async def _read(self) -> None:
        """Read until there is nothing more, or the client has to acknowledge first."""
        try:
            while self._isWoken and self._mayRead and not self._isStopped:
                self._isWoken = False
                page = await self._page()
                if not self._isStopped:
                    self._received(page)
        except RoomError as error:
            clearTraceback(error)
            self._isWoken = True
            self._later()
        finally:
            self._isReading = False

    @property
    def _mayRead(self) -> bool:
        return len(self._sent) < NOTICE_WINDOW and self._sentSize < NOTICE_WINDOW_SIZE

    def _page(self) -> Deferred[Page]:
        count, size = NOTICE_WINDOW - len(self._sent), NOTICE_WINDOW_SIZE - self._sentSize
        if self._isOpen and self._place is not None:
            return self._notices.read(self._user, self._place, count, size)
        return self._notices.open(self._user, self._device, self._place, count, size)

    def _received(self, page: Page) -> None:
        """Send the notifications of a page."""
        before, lost = page.after, int(page.isLost)
        if not self._isOpen:
            self._isOpen = True
            start = page.notices[0].n - 1 if page.notices else page.last
            self._place = Place(page.epoch, start)
            dropped = start - before + lost
            if dropped:  # the client acknowledges that it knows
                self._sent.append(_Sent(self._place, 0))
            self._say(Notified(page.epoch, start, dropped), False)
            before, lost = start, 0
        for n, type, data in page.notices:
            self._place = Place(page.epoch, n)
            self._sent.append(_Sent(self._place, len(data)))
            self._sentSize += len(data)
            self._say(Notify(page.epoch, n, type, data, n - before - 1 + lost), False)
            before, lost = n, 0
        if page.notices and before < page.last:
            self._isWoken = True

    # -- acknowledging

    def acknowledged(self, place: Place | None) -> None:
        """The client has handled all notifications up to a place. Another than those sent is ignored."""
        if place is None or all(each.place != place for each in self._sent):
            return
        isThere = False
        while not isThere:
            sent = self._sent.popleft()
            self._sentSize -= sent.size
            isThere = sent.place == place
        self._acknowledged = place
        self._acknowledge()
        if self._isWoken:
            self.wake()

    def _acknowledge(self) -> None:
        """Tell the queue; once at a time, so that it is told of many acknowledgements together."""
        place = self._acknowledged
        if place is None or self._isAcknowledging:
            return
        self._isAcknowledging = True

        def done(result: Any) -> None:
            self._isAcknowledging = False
            if isinstance(result, Failure):
                if not result.check(RoomError):
                    self._failed(result)
                self._later()
            else:
                if self._acknowledged == place:
                    self._acknowledged = None
                self._acknowledge()

        self._notices.acknowledge(self._user, self._device, place).addBoth(done)

    # -- failing

    def _later(self) -> None:
        """Try again what could not be done."""
        if self._again is None and not self._isStopped:
            self._again = self._clock.callLater(AGAIN, self._tryAgain)

    def _tryAgain(self) -> None:
        self._again = None
        self._acknowledge()
        if self._isWoken:
            self.wake()

    def _failed(self, failure: Failure) -> None:
        self._log.failure("notifications of a user could not be sent", failure)
