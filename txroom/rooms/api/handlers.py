"""
Handlers of messages: which method of a room takes which type of message, and what data.

The tables are built when a room class is registered; wrong annotations are errors there, not in the
first message. `owner.inbox` looks the handler of a message up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from ...core.validation import warnOfClass
from ...protocol import received
from ...protocol.plaindata import mayBeWrong
from .datatypes import checkDecodable, isOpen
from .signatures import checkClient, hintOf, nameOf, parametersOf

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "_txroomMessage"


def message(type: str) -> Callable[[Function], Function]:
    """
    Make a method of a `Room` the handler of the messages of a type, like Colyseus's `onMessage(type, ...)`.

    It is called with the client and the data. The data's annotation is what msgspec checks it against
    before: a `msgspec.Struct`, a dataclass, a `TypedDict`, or plain types such as `str`, `int`,
    `list[int]`, `Literal["a", "b"]`; without one, any plain data comes through. The keys of mappings and
    the members of sets must be texts or the like: `dict[int, ...]` and `set[int]` are refused when the
    room is registered, since a client could choose numbers that collide. A handler with no
    parameter for data takes none. What it returns (a value, a Deferred or a coroutine) is the answer, if
    the client made a call.

    Raises:
        TypeError: The type is no text, or empty.
    """
    if not isinstance(type, str) or not type:
        raise TypeError(f"the type of a message must be a text, not {type!r}; write @message('say')")

    def mark(function: Function) -> Function:
        setattr(function, _MARK, type)
        return function

    return mark


class Handler:
    """
    One handler: the function, and how the data is read that it is called with.

    Args:
        function: The function; it is called with the room and the client, and the data if it `takesData`.
        type: What the data is checked against; `Any`: it is plain data.
        takesData: Whether it has a parameter for the data.
    """

    __slots__ = ("_fromJSON", "_fromMessagePack", "_isOpen", "function", "read", "takesData")

    def __init__(self, function: Callable[..., Any], type: Any, takesData: bool = True) -> None:
        self.function = function
        self.takesData = takesData
        #: The data as its handler takes it, from its bytes, whether they are JSON, and whether it may have
        #: bytes in it. Raises `InvalidData`.
        self.read: Callable[[bytes, bool, bool], Any] = received.read
        if type is not Any:
            self.read = self._readTyped
            self._isOpen = isOpen(type)
            self._fromJSON = msgspec.json.Decoder(type).decode
            self._fromMessagePack = msgspec.msgpack.Decoder(type).decode

    def _readTyped(self, data: bytes, isJSON: bool, mayHaveBytes: bool) -> Any:
        """Hot."""
        if not isJSON and self._isOpen:
            received.read(data, isJSON, mayHaveBytes)  # raises
        elif not isJSON or mayBeWrong(data):
            received.check(data, isJSON, mayHaveBytes)
        try:
            return self._fromJSON(data) if isJSON else self._fromMessagePack(data)
        except received.UNREADABLE as error:
            raise received.invalid(error) from None


def handlersOf(roomClass: type) -> Mapping[str, Handler]:
    """
    The handlers of a class and its bases, by the type of message.

    A method that overrides a handler is one of the same type, decorated again or not. Warns of those that
    seem to take the client for the data.

    Raises:
        TypeError: One can't take what it is called with, or there are two of one type; they are named.
    """
    handlers: dict[str, Handler] = {}
    # A type may be defined in the class itself.
    names = {name: value for base in reversed(roomClass.__mro__) for name, value in vars(base).items()}
    warnings: list[str] = []
    for name, type in _marked(roomClass).items():
        function = getattr(roomClass, name)
        if callable(function):
            _checkOnly(type, handlers.get(type), function)
            handlers[type] = _handler(function, type, names, warnings)
    warnOfClass(roomClass, warnings)
    return handlers


def _marked(roomClass: type) -> dict[str, str]:
    """The names of the handlers, and their types of messages; the last class to decorate one decides."""
    marked: dict[str, str] = {}
    for base in reversed(roomClass.__mro__):
        for name, value in vars(base).items():
            type = getattr(getattr(value, "__func__", value), _MARK, None)
            if isinstance(type, str):
                marked[name] = type
    return marked


def _checkOnly(type: str, first: Handler | None, function: Callable[..., Any]) -> None:
    if first is not None and first.function is not function:
        both = " and ".join(each.__qualname__ for each in (first.function, function))
        raise TypeError(f"two handlers of messages of type {type!r}: {both}")


def _handler(
    function: Callable[..., Any], type: str, names: Mapping[str, Any], warnings: list[str]
) -> Handler:
    parameters = parametersOf(function)
    warning = checkClient(function, type, parameters, names)
    if warning is not None:
        warnings.append(warning)
    if len(parameters) == 2:
        return Handler(function, Any, takesData=False)
    try:
        hint = hintOf(function, parameters[2], names)
        checkDecodable(hint)
        return Handler(function, hint)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise TypeError(f"{nameOf(function)}: the data's annotation can't be checked: {error}") from error
