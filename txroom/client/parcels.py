"""
What becomes of a message or a call that a client has made.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall

from ..protocol.errors import RoomError
from .callqueue import Turn, stop
from .outbox import Parcel
from .requests import Requests


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


@attrs.define(eq=False, kw_only=True)
class SendParcel(Parcel):
    """A message."""

    turn: Turn
    sent: Sent = attrs.field(factory=Sent)

    def acknowledged(self) -> None:
        for waiter in self.sent._settle():
            self.turn.post(waiter.callback, None)

    def failed(self, error: RoomError) -> None:
        for waiter in self.sent._settle(error):
            self.turn.post(waiter.errback, error)


@attrs.define(eq=False, kw_only=True)
class CallParcel(Parcel):
    """A call; who made it has `answer`."""

    turn: Turn
    requests: Requests
    #: Told when the maker of the call cancels it.
    onCancel: Callable[[CallParcel], None]
    answer: Deferred[Any] = attrs.field(init=False)
    timer: IDelayedCall | None = None
    isSettled: bool = False

    @answer.default
    def _answer(self) -> Deferred[Any]:
        return Deferred(lambda _: self.onCancel(self))

    def failed(self, error: RoomError) -> None:
        self.settle(error)

    def settle(self, error: RoomError | None, data: Any = None) -> None:
        """The call is over for who made it; `answer` fires unless he has given it up."""
        if not self.giveUp():
            return
        if error is None:
            self.turn.post(self.answer.callback, data)
        else:
            self.turn.post(self.answer.errback, error)

    def giveUp(self) -> bool:
        """Nobody waits any more; whether somebody did."""
        if self.isSettled:
            return False
        self.isSettled = True
        if self.ref is not None:
            self.requests.forget(self.ref)
        stop(self.timer)
        return True
