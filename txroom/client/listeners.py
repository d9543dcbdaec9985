"""
Delivers what the server sends for a room: messages and events to listeners, calls to handlers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.awaitables import isAsync, toDeferred
from ..core.codes import ErrorCode
from ..protocol import serverframes as frames
from ..protocol.errors import RoomError
from .context import ClientContext
from .events import Events, Messages

#: For how many types of messages the client logs that there is no listener.
_MAX_WARNINGS = 32

Handler = Callable[[Any], Any]


class Answerer(Protocol):
    """Sends the answers to calls of the server."""

    def reply(self, ref: int, data: Any) -> None:
        """Answer with data. Raises `RoomError`, and sends nothing, if the data cannot be sent."""

    def error(self, ref: int, error: RoomError) -> None:
        """Answer with an error."""


class RoomListeners:
    """
    The listeners and handlers of one `Room`, called in order; until `begin`, everything is queued.

    `noListener` is called with the type of a message that has no listener here.
    """

    def __init__(self, context: ClientContext, noListener: Callable[[str], None]) -> None:
        self._context = context
        self._noListener = noListener
        self._held: deque[tuple[Any, ...]] | None = deque()
        self._handlers: dict[str, Handler] = {}
        #: The events of the room, and its messages by type.
        self.events = Events(self._deliver, context.report)
        self.messages = Messages(self.events)

    def begin(self) -> None:
        """Deliver from now on. The code that awaited the join has had time to add listeners."""
        held, self._held = self._held or deque(), None
        for function, *args in held:
            self._context.queue.post(function, *args)

    @property
    def hasBegun(self) -> bool:
        """Whether `begin` was called: the reactor turn in which the room was joined is over."""
        return self._held is None

    def end(self) -> None:
        """Remove all listeners after everything queued was delivered."""
        self._deliver(self._context.queue.post, self._clear)

    def _clear(self) -> None:
        self.events.end(self._context.queue.post)
        self.messages.clear()
        self._handlers.clear()
        self._noListener = lambda type: None

    def hasHandler(self, type: str) -> bool:
        """Return whether there is a handler for calls of that type."""
        return type in self._handlers

    def hasListener(self, type: str) -> bool:
        """Return whether messages of that type have a listener."""
        return self.messages.has(type) or self.messages.has("*")

    def handle(self, type: str, handler: Handler) -> Callable[[], None]:
        """Answer calls of that type with `handler`. Returns a function that removes the handler."""
        if not callable(handler):
            raise TypeError(f"handler={handler!r} for {type!r}: must be a function")
        self._handlers[type] = handler

        def end() -> None:
            if self._handlers.get(type) is handler:
                del self._handlers[type]

        return end

    def message(self, message: frames.Message) -> None:
        """Deliver a message that has arrived."""
        self._deliver(self._tellListeners, message)

    def call(self, call: frames.Call, answer: Answerer) -> None:
        """Deliver a call that has arrived."""
        self._deliver(self._callHandler, call, answer)

    def _deliver(self, function: Callable[..., Any], *args: Any) -> None:
        if self._held is None:
            self._context.queue.post(function, *args)
        else:
            self._held.append((function, *args))

    def _tellListeners(self, message: frames.Message) -> None:
        type, data, offset = message.type, message.data, message.offset
        if not self.messages.emit(type, data, offset) and not self.messages.emit("*", type, data, offset):
            self._noListener(type)

    def _callHandler(self, call: frames.Call, answer: Answerer) -> None:
        def replied(data: Any) -> None:
            try:
                answer.reply(call.ref, data)
            except RoomError as error:  # the client cannot send what the handler returned
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
                raise RoomError(
                    ErrorCode.UNKNOWN_TYPE, f"the client has no handler for calls of type {call.type!r}"
                )
            result = handler(call.data)
        except Exception:
            failed(Failure())
            return
        if isAsync(result):
            toDeferred(result).addCallbacks(replied, failed)
        else:
            replied(result)


class Unheard:
    """The types of messages of a room for which the client has logged that there is no listener."""

    _log = Logger()

    def __init__(self) -> None:
        self._types: set[str] = set()

    def note(self, room: str, type: str, listeners: Iterable[RoomListeners]) -> None:
        """Log once that none of the users of the room of that name has a listener, if that is so."""
        if type in self._types or len(self._types) >= _MAX_WARNINGS:
            return
        if any(each.hasListener(type) for each in listeners):
            return
        self._types.add(type)
        self._log.warn(
            "Room {name!r} sent a message of type {type!r}, for which there is no listener: add one with"
            " room.on({type!r}, ...)",
            type=type,
            name=room,
        )
