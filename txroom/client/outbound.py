"""
What leaves a room: messages and calls, in order, kept until the server has handled them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from .codec import raw
from .context import Shared
from .options import checkSeconds
from .outbox import Outbox, Parcel
from .parcels import CallParcel, SendParcel, Sent
from .requests import Answer
from .sendable import checkName

#: Bytes by which a frame may still grow: its number.
_MARGIN = 16


class Post:
    """Sends what is posted while it is open, as much as the window allows; `onEmpty` when nothing waits."""

    def __init__(self, shared: Shared, onEmpty: Callable[[], None]) -> None:
        self._shared = shared
        self._outbox = Outbox(shared.options.window)
        self._onEmpty = onEmpty
        self._room = ""
        self._isOpen = False
        self._isEnding = False

    @property
    def waiting(self) -> int:
        """How many frames wait to be sent."""
        return self._outbox.waiting

    # -- for the user

    def send(self, type: str, data: Any, volatile: bool) -> Sent:
        """See `Room.send`."""
        parcel = SendParcel(type, self._encoded(type, data), turn=self._shared.turn)
        with self._shared.turn:
            if not volatile:
                self._submit(parcel)
                return parcel.sent
            self._checkSize(parcel)
            parcel.acknowledged()
            if self._isOpen:
                self._write(parcel)
            return parcel.sent

    def call(self, type: str, data: Any, timeout: float | None) -> Deferred[Any]:
        """See `Room.call`."""
        shared = self._shared
        seconds = shared.options.callTimeout if timeout is None else checkSeconds("timeout", timeout)
        try:
            parcel = CallParcel(
                type,
                self._encoded(type, data),
                isAwaited=True,
                turn=shared.turn,
                requests=shared.requests,
                onCancel=self._cancelled,
            )
        except RoomError as error:
            return fail(error)

        def answered(error: RoomError | None, answer: Answer | None) -> None:
            parcel.settle(error, getattr(answer, "data", None))
            self._outbox.answered(parcel)
            self.pump()

        def late() -> None:
            parcel.settle(RoomError(ErrorCode.TIMEOUT, f"no answer to {type} within {seconds:g} s"))
            self._abandon(parcel)

        with shared.turn:
            parcel.ref = shared.requests.expect(answered)
            parcel.timer = shared.turn.later(seconds, late)
            try:
                self._submit(parcel)
            except RoomError as error:
                parcel.settle(error)
        return parcel.answer

    # -- for the stay in the room; all of it within a turn

    def open(self, room: str, again: list[Parcel]) -> None:
        """We are in the room of that id: send `again` what it may not have, then what waits."""
        self._room = room
        self._isOpen = True
        for parcel in again:
            self._write(parcel)
        self.pump()

    def shut(self) -> None:
        """We are not in the room just now: all waits."""
        self._isOpen = False

    def end(self) -> None:
        """Take nothing more."""
        self._isEnding = True

    def goOn(self) -> None:
        """Take more again."""
        self._isEnding = False

    def close(self) -> None:
        """Take nothing more, for good."""
        self._isEnding = True
        self._onEmpty = lambda: None

    def acknowledge(self, n: int) -> bool:
        """The server has handled all up to `n`; whether so many were ever sent."""
        return self._outbox.acknowledge(n)

    def resume(self, handled: int, accepted: int) -> list[Parcel] | None:
        """The same membership goes on; what to send again, `None` if those counts can't be ours."""
        return self._outbox.resume(handled, accepted)

    def restart(self, handled: int, accepted: int) -> list[Parcel]:
        """Another membership begins; what was sent and of which nothing is known."""
        return self._outbox.restart(handled, accepted)

    def failAll(self, error: RoomError) -> None:
        """Nothing more comes of what is here."""
        for parcel in self._outbox.clear():
            parcel.failed(error)

    def pump(self) -> None:
        """Send what may be sent."""
        if not self._isOpen:
            return
        while (parcel := self._outbox.next()) is not None:
            self._write(parcel)
        if not self._outbox.waiting:
            self._onEmpty()

    # -- in here

    def _encoded(self, type: str, data: Any) -> bytes:
        checkName("type", type)
        return self._shared.codec.data(data)

    def _submit(self, parcel: Parcel) -> None:
        if self._isEnding:
            raise RoomError(ErrorCode.ROOM_GONE, "the room was left")
        self._checkSize(parcel)
        limit = self._shared.options.maxBuffered
        if self._outbox.waiting >= limit:
            code = ErrorCode.RATE_LIMITED if self._isOpen else ErrorCode.UNAVAILABLE
            raise RoomError(code, f"{limit} messages wait already")
        self._outbox.add(parcel)
        self.pump()

    def _checkSize(self, parcel: Parcel) -> None:
        limit = self._shared.options.maxPayload
        if len(self._frame(parcel)) > limit - _MARGIN:
            raise RoomError(
                ErrorCode.INVALID_DATA, f"the message of type {parcel.type!r}: more than {limit} bytes"
            )

    def _cancelled(self, parcel: CallParcel) -> None:
        with self._shared.turn:
            if parcel.giveUp():
                self._abandon(parcel)

    def _abandon(self, parcel: Parcel) -> None:
        self._outbox.abandon(parcel)
        self.pump()

    def _write(self, parcel: Parcel) -> None:
        self._shared.line.write(self._frame(parcel))

    def _frame(self, parcel: Parcel) -> bytes:
        head = ("send",) if parcel.ref is None else ("call", parcel.ref)
        tail = () if parcel.n is None else (parcel.n,)
        data = raw(parcel.data)
        return self._shared.codec.write(*head, self._room, parcel.type, data, *tail)
