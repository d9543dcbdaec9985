"""
The server's calls of a client: which handler answers them, and how the answers are sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.codes import ErrorCode
from ..protocol import serverframes as frames
from ..protocol.errors import RoomError
from ..protocol.limits import MAX_CODE, MAX_TEXT
from .codec import raw
from .context import ClientContext
from .listeners import RoomListeners

#: How many calls of the server may be unanswered at once.
_MAX_CALLS = 256


class ServerCalls:
    """
    The server's calls in one room. An answer is sent only over the connection of its call: see `restart`.
    """

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        #: The refs of the calls without an answer.
        self._open: set[int] = set()

    def restart(self) -> None:
        """
        Forget the earlier calls: the connection was lost or resumed, so the server does not wait for their
        answers.
        """
        self._open = set()

    def called(self, call: frames.Call, users: Sequence[RoomListeners]) -> None:
        """
        Deliver a call that has arrived to one of the users of the room.

        A user with a handler for its type is preferred; then one that may still add a handler because the
        reactor turn in which it joined is not over.
        """
        answers = _Answers(self, call.room, self._open)
        if len(self._open) >= _MAX_CALLS:
            error = RoomError(ErrorCode.RATE_LIMITED, f"the client is answering {_MAX_CALLS} calls already")
            answers.error(call.ref, error)
            return
        self._open.add(call.ref)
        if not users:
            answers.error(call.ref, RoomError(ErrorCode.ROOM_GONE, "the client is leaving the room"))
            return
        able = [user for user in users if user.hasHandler(call.type)]
        fresh = [user for user in users if not user.hasBegun]
        (able or fresh or users)[0].call(call, answers)

    def reply(self, room: str, ref: int, data: Any) -> bytes:
        """Return the frame of an answer. Raises `RoomError` for data that cannot be sent."""
        codec, limit = self._context.codec, self._context.options.maxPayload
        frame = codec.write("reply", room, ref, raw(codec.data(data, "answer")))
        if len(frame) > limit:
            raise RoomError(
                ErrorCode.INVALID_DATA,
                f"answer: {len(frame)} bytes; at most {limit} (maxPayload) are allowed",
            )
        return frame

    def error(self, room: str, ref: int, error: RoomError) -> bytes:
        """Return the frame of an error."""
        return self._context.codec.write("error", room, ref, error.code[:MAX_CODE], error.message[:MAX_TEXT])

    def answer(self, ref: int, frame: bytes, asked: set[int]) -> None:
        """
        Send an answer, unless the connection with the call was lost; `asked` is that connection's set of
        refs.
        """
        if asked is self._open:
            asked.discard(ref)
            self._context.connection.write(frame)


class _Answers:
    """Sends the answers to the calls that arrived over one connection."""

    def __init__(self, calls: ServerCalls, room: str, asked: set[int]) -> None:
        self._calls = calls
        self._room = room
        self._asked = asked

    def reply(self, ref: int, data: Any) -> None:
        """Answer with data. Raises `RoomError`, and sends nothing, if the data cannot be sent."""
        self._calls.answer(ref, self._calls.reply(self._room, ref, data), self._asked)

    def error(self, ref: int, error: RoomError) -> None:
        """Answer with an error."""
        self._calls.answer(ref, self._calls.error(self._room, ref, error), self._asked)
