"""
What comes from a room: its messages and events for listeners, its calls for handlers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.python.failure import Failure

from ..core.awaitables import isAsync, toDeferred
from ..core.codes import ErrorCode
from ..protocol import serverframes as frames
from ..protocol.errors import RoomError
from .context import Shared
from .events import Events, Messages

Handler = Callable[[Any], Any]


class Answerer(Protocol):
    """Answers calls of the server."""

    def reply(self, ref: int, data: Any) -> None:
        """With data. Raises `RoomError` if that can't be sent, and then nothing was."""

    def error(self, ref: int, error: RoomError) -> None:
        """With an error."""


class Hearing:
    """
    Lets things be heard in order; until `begin` they are held.

    `unheard` is told the type of a message that has no listener here.
    """

    def __init__(self, shared: Shared, unheard: Callable[[str], None]) -> None:
        self._shared = shared
        self._unheard = unheard
        self._held: deque[tuple[Any, ...]] | None = deque()
        self._handlers: dict[str, Handler] = {}
        #: The room's own events, and its messages by type.
        self.events = Events(self._deliver, shared.report)
        self.messages = Messages(self.events)

    def begin(self) -> None:
        """Whoever awaited the room has had the time to add listeners."""
        held, self._held = self._held or deque(), None
        for function, *args in held:
            self._shared.turn.post(function, *args)

    @property
    def hasBegun(self) -> bool:
        """Whether it is past the turn in which the room was joined."""
        return self._held is None

    def end(self) -> None:
        """Nothing more comes; when all has been heard, so the listeners are let go."""
        self._deliver(self._shared.turn.post, self._clear)

    def _clear(self) -> None:
        self.events.end(self._shared.turn.post)
        self.messages.clear()
        self._handlers.clear()
        self._unheard = lambda type: None

    def hasHandler(self, type: str) -> bool:
        """Whether there is a handler of calls of that type."""
        return type in self._handlers

    def hears(self, type: str) -> bool:
        """Whether messages of that type have a listener."""
        return self.messages.has(type) or self.messages.has("*")

    def handle(self, type: str, handler: Handler) -> Callable[[], None]:
        """Answer calls of that type; returns a function that ends it."""
        if not callable(handler):
            raise TypeError(f"handler={handler!r} of {type!r}: must be a function")
        self._handlers[type] = handler

        def end() -> None:
            if self._handlers.get(type) is handler:
                del self._handlers[type]

        return end

    def message(self, message: frames.Message) -> None:
        """A message has come."""
        self._deliver(self._hear, message)

    def call(self, call: frames.Call, answer: Answerer) -> None:
        """A call has come."""
        self._deliver(self._called, call, answer)

    def _deliver(self, function: Callable[..., Any], *args: Any) -> None:
        if self._held is None:
            self._shared.turn.post(function, *args)
        else:
            self._held.append((function, *args))

    def _hear(self, message: frames.Message) -> None:
        type, data, offset = message.type, message.data, message.offset
        if not self.messages.emit(type, data, offset) and not self.messages.emit("*", type, data, offset):
            self._unheard(type)

    def _called(self, call: frames.Call, answer: Answerer) -> None:
        def replied(data: Any) -> None:
            try:
                answer.reply(call.ref, data)
            except RoomError as error:  # of what the handler has returned
                self.events.report(Failure(error))
                answer.error(call.ref, error)

        def failed(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, RoomError):
                self.events.report(failure)
                error = RoomError(ErrorCode.INTERNAL, "the handler failed")
            answer.error(call.ref, error)

        handler = self._handlers.get(call.type)
        try:
            if handler is None:
                raise RoomError(ErrorCode.UNKNOWN_TYPE, f"no handler of {call.type}")
            result = handler(call.data)
        except Exception:
            failed(Failure())
            return
        if isAsync(result):
            toDeferred(result).addCallbacks(replied, failed)
        else:
            replied(result)
