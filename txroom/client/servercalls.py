"""
The server's calls of a client: who answers them, and how.
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

#: Most calls of the server that wait for an answer.
_MAX_CALLS = 256


class ServerCalls:
    """The calls of one room. Answers go to the connection that asked, or nowhere: see `restart`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        #: The refs of those that are to be answered.
        self._open: set[int] = set()

    def restart(self) -> None:
        """The connection was lost, or there is another: nobody waits for answers to earlier calls."""
        self._open = set()

    def called(self, call: frames.Call, users: Sequence[RoomListeners]) -> None:
        """
        A call has come, for one of the users of the room.

        That is one with a handler of calls of its type; else one that may still add a handler, since the turn
        in which it got the room is not over.
        """
        answers = _Answers(self, call.room, self._open)
        if len(self._open) >= _MAX_CALLS:
            error = RoomError(ErrorCode.RATE_LIMITED, f"{_MAX_CALLS} calls are to be answered already")
            answers.error(call.ref, error)
            return
        self._open.add(call.ref)
        if not users:
            answers.error(call.ref, RoomError(ErrorCode.ROOM_GONE, "the room is being left"))
            return
        able = [user for user in users if user.hasHandler(call.type)]
        fresh = [user for user in users if not user.hasBegun]
        (able or fresh or users)[0].call(call, answers)

    def reply(self, room: str, ref: int, data: Any) -> bytes:
        """The frame of an answer. Raises `RoomError` for data that can't be sent."""
        codec, limit = self._context.codec, self._context.options.maxPayload
        frame = codec.write("reply", room, ref, raw(codec.data(data, "answer")))
        if len(frame) > limit:
            raise RoomError(ErrorCode.INVALID_DATA, f"answer: {len(frame)} bytes, of at most {limit}")
        return frame

    def error(self, room: str, ref: int, error: RoomError) -> bytes:
        """The frame of an error."""
        return self._context.codec.write("error", room, ref, error.code[:MAX_CODE], error.message[:MAX_TEXT])

    def answer(self, ref: int, frame: bytes, asked: set[int]) -> None:
        """Send an answer, if the connection over which it was `asked` is still there."""
        if asked is self._open:
            asked.discard(ref)
            self._context.connection.write(frame)


class _Answers:
    """Answers the calls that came over one connection."""

    def __init__(self, calls: ServerCalls, room: str, asked: set[int]) -> None:
        self._calls = calls
        self._room = room
        self._asked = asked

    def reply(self, ref: int, data: Any) -> None:
        """Answer with data. Raises `RoomError` if that can't be sent, and then nothing was."""
        self._calls.answer(ref, self._calls.reply(self._room, ref, data), self._asked)

    def error(self, ref: int, error: RoomError) -> None:
        """Answer with an error."""
        self._calls.answer(ref, self._calls.error(self._room, ref, error), self._asked)
