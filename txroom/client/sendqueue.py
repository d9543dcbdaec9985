"""
The messages and calls that a client sends to a room, until the server has handled them.

::

    waiting --next: gets its number--> held --acknowledged, and a call also answered--> forgotten
    held --a new membership begins--> unconfirmed: it may or may not have been handled
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
    The result of sending a message. `await` it or call `whenHandled()` to learn when the message was
    handled; or ignore it.
    """

    def __init__(self) -> None:
        #: Whether the server has handled it.
        self.isHandled = False
        #: The error of `whenHandled`, if it will never be known whether the server has handled the message;
        #: otherwise `None`.
        self.error: RoomError | None = None
        self._waiters: list[Deferred[None]] = []

    def whenHandled(self) -> Deferred[None]:
        """
        Return a Deferred that fires when the server has handled the message.

        Raises:
            RoomError: The Deferred fails with "roomGone" if the room is left before, and with "replyLost"
                if the connection was lost and it can't be known whether the message was handled.
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
    """A message or a call that the server has to handle."""

    type: str
    #: The data, encoded for the sub-protocol.
    data: bytes
    #: The ref of a call, which its answer carries.
    ref: int | None = None
    #: The number of the frame, assigned when it is sent.
    n: int | None = None
    #: Whether the answer is still awaited; the frame is kept until then.
    isAwaited: bool = False
    isAnswered: bool = False

    def acknowledged(self) -> None:
        """Called when the server has handled it."""

    def failed(self, error: RoomError) -> None:
        """It will not be known whether the server has handled it."""


@attrs.define(eq=False, kw_only=True)
class PendingSend(Pending):
    """A message; its sender has `sent`."""

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
    """A call; its caller has `answer`."""

    queue: CallQueue
    requests: PendingRequests
    #: Called when the caller cancels `answer`.
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
        """Fire `answer` with data or an error, unless the caller has cancelled it."""
        if not self.giveUp():
            return
        if error is None:
            self.queue.post(self.answer.callback, data)
        else:
            self.queue.post(self.answer.errback, error)

    def giveUp(self) -> bool:
        """Stop waiting for the answer. Returns whether it was still awaited."""
        if self.isSettled:
            return False
        self.isSettled = True
        if self.ref is not None:
            self.requests.forget(self.ref)
        stop(self.timer)
        return True


class SendQueue:
    """
    The messages and calls of one membership: those that are waiting, and those that were sent.

    The frames are numbered 1, 2 and so on. Each gets its number when it is sent, and keeps it. A message is
    forgotten when it is acknowledged. A call is forgotten when it is acknowledged and either answered or no
    longer awaited. The frames that are held after an acknowledgement therefore have consecutive numbers.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._waiting: deque[Pending] = deque()
        self._held: list[Pending] = []
        self._last = 0
        self._acknowledged = 0
        #: The last number that an earlier client of the same membership has used.
        self._base = 0

    @property
    def waiting(self) -> int:
        """How many frames are waiting to be sent."""
        return len(self._waiting)

    @property
    def last(self) -> int:
        """The number of the last frame, also if it is waiting."""
        return self._last + len(self._waiting)

    @property
    def acknowledged(self) -> int:
        """The number of the last frame that the server has handled."""
        return self._acknowledged

    @property
    def held(self) -> list[Pending]:
        """The frames that were sent and may have to be sent again."""
        return list(self._held)

    def add(self, pending: Pending) -> None:
        """Add a frame that is waiting."""
        self._waiting.append(pending)

    def next(self) -> Pending | None:
        """
        Number and return the next frame to send; `None` if none is waiting or the window is full.

        The window begins at the oldest frame that is held. The server keeps the answers to as many frames
        as the window has, so it still has the answer to that frame if the client must send it again.
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
        """
        Note that the server has handled all frames up to number `n`. Returns whether that many were sent.
        """
        if n > self._last:
            return False
        self._acknowledged = max(self._acknowledged, n)
        self._forget()
        return True

    def answered(self, pending: Pending) -> None:
        """Note that a call was answered."""
        pending.isAnswered = True
        self.abandon(pending)

    def abandon(self, pending: Pending) -> None:
        """Stop waiting for an answer. A frame that was not sent yet will not be sent."""
        pending.isAwaited = False
        if pending.n is None:
            self._waiting = deque(other for other in self._waiting if other is not pending)
        else:
            self._forget()

    def resume(self, handled: int, accepted: int) -> list[Pending] | None:
        """
        Continue this membership, which the server has resumed: it has accepted and handled that many frames.

        Returns:
            The frames to send again, in order, or `None` if the counts are not of this client.
        """
        if not self._acknowledged <= handled <= self._last or accepted < self._base:
            return None
        self.acknowledge(handled)
        return self.held

    def restart(self, handled: int, accepted: int) -> list[Pending]:
        """
        Begin with a new membership, or with one that another client has begun.

        Returns:
            The sent frames that may or may not have been handled.
        """
        unconfirmed = [pending for pending in self._held if not pending.isAnswered]
        self._held = []
        self._acknowledged = handled
        self._last = self._base = accepted
        return unconfirmed

    def clear(self) -> list[Pending]:
        """Remove and return all frames."""
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
