"""
What comes from a room: its messages and events for listeners, its calls for handlers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from ..codes import ErrorCode
from ..connection import isAsync, toDeferred
from ..rooms.errors import RoomError
from . import frames
from .events import Emitter, Events
from .shared import Shared

#: What the server takes in an error, in characters.
MAX_CODE = 64
MAX_REASON = 1024

Handler = Callable[[Any], Any]


class Hearing:
    """Lets things be heard in order; until `begin` they are held."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._held: deque[tuple[Any, ...]] | None = deque()
        self._handlers: dict[str, Handler] = {}
        #: The room's own events, and its messages by type.
        self.events = Events(self._deliver, shared.report)
        self.messages = Emitter(lambda type, failure: self.events.report(failure))

    def begin(self) -> None:
        """Whoever awaited the room has had the time to add listeners."""
        held, self._held = self._held or deque(), None
        for function, *args in held:
            self._shared.turn.post(function, *args)

    def handle(self, type: str, handler: Handler) -> Callable[[], None]:
        """Answer calls of that type; returns a function that ends it."""
        if not callable(handler):
            raise TypeError(f"the handler of {type} is no function")
        self._handlers[type] = handler

        def end() -> None:
            if self._handlers.get(type) is handler:
                del self._handlers[type]

        return end

    def message(self, message: frames.Message) -> None:
        """A message has come."""
        self._deliver(self._hear, message)

    def call(self, call: frames.Call, answer: Callable[..., None]) -> None:
        """A call has come; `answer` takes the frame that answers it."""
        self._deliver(self._called, call, answer)

    def _deliver(self, function: Callable[..., Any], *args: Any) -> None:
        if self._held is None:
            self._shared.turn.post(function, *args)
        else:
            self._held.append((function, *args))

    def _hear(self, message: frames.Message) -> None:
        if not self.messages.emit(message.type, message.data, message.offset):
            self.messages.emit("*", message.type, message.data, message.offset)

    def _called(self, call: frames.Call, answer: Callable[..., None]) -> None:
        def replied(data: Any) -> None:
            answer("reply", call.room, call.ref, frames.raw(self._shared.codec.data(data)))

        def failed(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, RoomError):
                self.events.report(failure)
                error = RoomError(ErrorCode.INTERNAL, "the handler failed")
            answer("error", call.room, call.ref, error.code[:MAX_CODE], error.message[:MAX_REASON])

        handler = self._handlers.get(call.type)
        try:
            if handler is None:
                raise RoomError(ErrorCode.UNKNOWN_TYPE, f"no handler of {call.type}")
            result = handler(call.data)
            if isAsync(result):
                toDeferred(result).addCallback(replied).addErrback(failed)
            else:
                replied(result)
        except Exception:
            failed(Failure())
