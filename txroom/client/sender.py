"""
Sends the messages and calls of a room in order, and sends again those that may have been lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from .codec import raw
from .context import ClientContext
from .encoding import checkName
from .options import checkSeconds
from .requests import Answer
from .sendqueue import Pending, PendingCall, PendingSend, SendQueue, Sent

#: How many bytes the number of a frame may add to its size.
_MARGIN = 16


class RoomSender:
    """
    Sends messages and calls while the client is in the room and the window allows it; the others are
    queued.

    `onEmpty` is called when no frame is queued any more.
    """

    def __init__(self, context: ClientContext, onEmpty: Callable[[], None]) -> None:
        self._context = context
        self._sendQueue = SendQueue(context.options.window)
        self._onEmpty = onEmpty
        self._room = ""
        self._isOpen = False
        self._isEnding = False

    @property
    def waiting(self) -> int:
        """How many frames are queued."""
        return self._sendQueue.waiting

    @property
    def sent(self) -> int:
        """See `Room.sent`."""
        return self._sendQueue.last

    @property
    def handled(self) -> int:
        """See `Room.handled`."""
        return self._sendQueue.acknowledged

    # -- for the user

    def send(self, type: str, data: Any, volatile: bool) -> Sent:
        """See `Room.send`."""
        pending = PendingSend(type, self._encoded(type, data), queue=self._context.queue)
        with self._context.queue:
            if not volatile:
                self._submit(pending)
                return pending.sent
            self._checkSize(pending)
            pending.acknowledged()
            if self._isOpen:
                self._write(pending)
            return pending.sent

    def call(self, type: str, data: Any, timeout: float | None) -> Deferred[Any]:
        """See `Room.call`."""
        context = self._context
        seconds = context.options.callTimeout if timeout is None else checkSeconds("timeout", timeout)
        try:
            pending = PendingCall(
                type,
                self._encoded(type, data),
                isAwaited=True,
                queue=context.queue,
                requests=context.requests,
                onCancel=self._cancelled,
            )
        except RoomError as error:
            return fail(error)

        def answered(error: RoomError | None, answer: Answer | None) -> None:
            pending.settle(error, getattr(answer, "data", None))
            self._sendQueue.answered(pending)
            self.pump()

        def late() -> None:
            pending.settle(
                RoomError(
                    ErrorCode.TIMEOUT, f"the server did not answer the call {type!r} within {seconds:g} s"
                )
            )
            self._abandon(pending)

        with context.queue:
            pending.ref = context.requests.expect(answered)
            pending.timer = context.queue.later(seconds, late)
            try:
                self._submit(pending)
            except RoomError as error:
                pending.settle(error)
        return pending.answer

    # -- for the membership; called within `with queue:`

    def open(self, room: str, again: list[Pending]) -> None:
        """Send `again` once more, then the queued frames, because the client is in the room with that id."""
        self._room = room
        self._isOpen = True
        for pending in again:
            self._write(pending)
        self.pump()

    def shut(self) -> None:
        """Queue everything, because the client is not in the room for a while."""
        self._isOpen = False

    def end(self) -> None:
        """Accept no more messages and calls."""
        self._isEnding = True

    def reopen(self) -> None:
        """Accept messages and calls again, after `end`."""
        self._isEnding = False

    def close(self) -> None:
        """Accept no more messages and calls, for good."""
        self._isEnding = True
        self._onEmpty = lambda: None

    def acknowledge(self, n: int) -> bool:
        """
        Note that the server has handled all frames up to number `n`. Returns whether that many were sent.
        """
        return self._sendQueue.acknowledge(n)

    def resume(self, handled: int, accepted: int) -> list[Pending] | None:
        """
        Continue a membership that was resumed. Returns the frames to send again, or `None` if the counts are
        not of this client.
        """
        return self._sendQueue.resume(handled, accepted)

    def restart(self, handled: int, accepted: int) -> list[Pending]:
        """Begin with a new membership. Returns the sent frames that may or may not have been handled."""
        return self._sendQueue.restart(handled, accepted)

    def failAll(self, error: RoomError) -> None:
        """Fail all messages and calls."""
        for pending in self._sendQueue.clear():
            pending.failed(error)

    def pump(self) -> None:
        """Send as many queued frames as the window allows."""
        if not self._isOpen:
            return
        while (pending := self._sendQueue.next()) is not None:
            self._write(pending)
        if not self._sendQueue.waiting:
            self._onEmpty()

    # -- internal

    def _encoded(self, type: str, data: Any) -> bytes:
        checkName("type", type)
        return self._context.codec.data(data)

    def _submit(self, pending: Pending) -> None:
        if self._isEnding:
            raise RoomError(ErrorCode.ROOM_GONE, "the room was left")
        self._checkSize(pending)
        limit = self._context.options.maxBuffered
        if self._sendQueue.waiting >= limit:
            code = ErrorCode.RATE_LIMITED if self._isOpen else ErrorCode.UNAVAILABLE
            raise RoomError(code, f"the queue is full: {limit} messages (maxBuffered) are waiting to be sent")
        self._sendQueue.add(pending)
        self.pump()

    def _checkSize(self, pending: Pending) -> None:
        limit = self._context.options.maxPayload
        if len(self._frame(pending)) > limit - _MARGIN:
            raise RoomError(
                ErrorCode.INVALID_DATA,
                f"the message of type {pending.type!r} is larger than {limit} bytes (maxPayload)",
            )

    def _cancelled(self, pending: PendingCall) -> None:
        with self._context.queue:
            if pending.giveUp():
                self._abandon(pending)

    def _abandon(self, pending: Pending) -> None:
        self._sendQueue.abandon(pending)
        self.pump()

    def _write(self, pending: Pending) -> None:
        self._context.connection.write(self._frame(pending))

    def _frame(self, pending: Pending) -> bytes:
        head = ("send",) if pending.ref is None else ("call", pending.ref)
        tail = () if pending.n is None else (pending.n,)
        data = raw(pending.data)
        return self._context.codec.write(*head, self._room, pending.type, data, *tail)
