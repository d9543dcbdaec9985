"""
The messages and calls that a client has made to a room, until the server has handled them.

::

    waiting --next: has its number--> held --acknowledged, and of a call answered--> forgotten
    held --another membership begins--> unconfirmed: nobody knows whether it was handled
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall

from ..protocol.errors import RoomError
from .callqueue import CallQueue, stop
from .requests import PendingRequests


class Sent:
    """
    What becomes of a message. It need not be looked at: `await` it, or ask for `whenHandled()`.
    """

    def __init__(self) -> None:
        #: Whether the server has handled it.
        self.isHandled = False
        #: Why that will never be known.
        self.error: RoomError | None = None
        self._waiters: list[Deferred[None]] = []

    def whenHandled(self) -> Deferred[None]:
        """
        Fires when the server has handled the message. Fails with `RoomError`: "roomGone" when the room is
        left before, "replyLost" when that can't be known any more.
        """
        if self.error is not None:
            return fail(self.error)
        if self.isHandled:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def __await__(self) -> Generator[Deferred[None], None, None]:
        return self.whenHandled().__await__()

    def _settle(self, error: RoomError | None = None) -> list[Deferred[None]]:
        self.error = error
        self.isHandled = error is None
        waiters, self._waiters = self._waiters, []
        return waiters


@attrs.define(eq=False)
class Pending:
    """A message or a call that the server is to handle."""

    type: str
    #: In the dialect of the client.
    data: bytes
    #: Of a call: by what its answer is known.
    ref: int | None = None
    #: Its number, once it was sent.
    n: int | None = None
    #: Whether somebody waits for the answer; it is kept as long.
    isAwaited: bool = False
    isAnswered: bool = False

    def acknowledged(self) -> None:
        """The server has handled it."""

    def failed(self, error: RoomError) -> None:
        """Nobody will know whether it was."""


@attrs.define(eq=False, kw_only=True)
class PendingSend(Pending):
    """A message; who made it has `sent`."""

    queue: CallQueue
    sent: Sent = attrs.field(factory=Sent)

    def acknowledged(self) -> None:
        for waiter in self.sent._settle():
            self.queue.post(waiter.callback, None)

    def failed(self, error: RoomError) -> None:
        for waiter in self.sent._settle(error):
            self.queue.post(waiter.errback, error)


@attrs.define(eq=False, kw_only=True)
class PendingCall(Pending):
    """A call; who made it has `answer`."""

    queue: CallQueue
    requests: PendingRequests
    #: Told when the maker of the call cancels it.
    onCancel: Callable[[PendingCall], None]
    answer: Deferred[Any] = attrs.field(init=False)
    timer: IDelayedCall | None = None
    isSettled: bool = False

    @answer.default
    def _answer(self) -> Deferred[Any]:
        return Deferred(lambda _: self.onCancel(self))

    def failed(self, error: RoomError) -> None:
        self.settle(error)

    def settle(self, error: RoomError | None, data: Any = None) -> None:
        """The call is over: `answer` fires, unless whoever made the call has given it up."""
        if not self.giveUp():
            return
        if error is None:
            self.queue.post(self.answer.callback, data)
        else:
            self.queue.post(self.answer.errback, error)

    def giveUp(self) -> bool:
        """Nobody waits for the answer any more; returns whether somebody did."""
        if self.isSettled:
            return False
        self.isSettled = True
        if self.ref is not None:
            self.requests.forget(self.ref)
        stop(self.timer)
        return True


class SendQueue:
    """
    The messages and calls of one membership: those that wait, and those that were sent, numbered 1, 2, ...

    Each gets its number when it is sent, and keeps it. A message is forgotten when it is acknowledged. A
    call is forgotten when it is acknowledged and answered (or nobody waits for the answer any more), so
    that what is held after an acknowledgement has no gap.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._waiting: deque[Pending] = deque()
        self._held: list[Pending] = []
        self._last = 0
        self._acknowledged = 0
        #: The last number that is not ours, but of an earlier client of the same membership.
        self._base = 0

    @property
    def waiting(self) -> int:
        """How many wait to be sent."""
        return len(self._waiting)

    @property
    def held(self) -> list[Pending]:
        """Those that were sent, and may have to be sent again."""
        return list(self._held)

    def add(self, pending: Pending) -> None:
        """One more waits."""
        self._waiting.append(pending)

    def next(self) -> Pending | None:
        """
        The next one to send, numbered; `None` if none waits or the window is full.

        The window begins at the oldest frame that is held: the server keeps the answers of as many frames,
        and one that was lost on its way must not be forgotten before it is asked for again.
        """
        done = self._acknowledged
        if self._held:
            done = min(done, _numberOf(self._held[0]) - 1)
        if not self._waiting or self._last >= done + self._window:
            return None
        pending = self._waiting.popleft()
        self._last += 1
        pending.n = self._last
        self._held.append(pending)
        return pending

    def acknowledge(self, n: int) -> bool:
        """The server has handled all up to `n`; returns whether so many were ever sent."""
        if n > self._last:
            return False
        self._acknowledged = max(self._acknowledged, n)
        self._forget()
        return True

    def answered(self, pending: Pending) -> None:
        """A call was answered."""
        pending.isAnswered = True
        self.abandon(pending)

    def abandon(self, pending: Pending) -> None:
        """Nobody waits for the answer any more; if it was not sent, it won't be."""
        pending.isAwaited = False
        if pending.n is None:
            self._waiting = deque(other for other in self._waiting if other is not pending)
        else:
            self._forget()

    def resume(self, handled: int, accepted: int) -> list[Pending] | None:
        """
        The server resumes this membership, of which it has handled `handled` frames, and has `accepted`.

        Returns the frames to send again, in order; `None` if those counts can't be ours.
        """
        if not self._acknowledged <= handled <= self._last or accepted < self._base:
            return None
        self.acknowledge(handled)
        return self.held

    def restart(self, handled: int, accepted: int) -> list[Pending]:
        """
        Another membership begins, or one of which we don't know the beginning.

        Returns the frames that were sent and of which nothing is known.
        """
        unconfirmed = [pending for pending in self._held if not pending.isAnswered]
        self._held = []
        self._acknowledged = handled
        self._last = self._base = accepted
        return unconfirmed

    def clear(self) -> list[Pending]:
        """Everything, taken out."""
        everything = [*self._held, *self._waiting]
        self._held = []
        self._waiting.clear()
        return everything

    def _forget(self) -> None:
        kept: list[Pending] = []
        done: list[Pending] = []
        for pending in self._held:
            isKept = _numberOf(pending) > self._acknowledged or pending.isAwaited
            (kept if isKept else done).append(pending)
        self._held = kept
        for pending in done:
            pending.acknowledged()


def _numberOf(pending: Pending) -> int:
    return pending.n or 0
