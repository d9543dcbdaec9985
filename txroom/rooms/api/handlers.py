"""
Messages and their handlers: which method of a room takes which type of message, and what data.

The tables are built when a room class is registered; wrong annotations are errors there, not in the
first message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from ...core.validation import warnOfClass
from ...protocol import payload
from .datatypes import isOpen
from .signatures import checkClient, checkType, hintOf, parametersOf

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "_txroomMessage"


def message(type: str) -> Callable[[Function], Function]:
    """
    Make a method of a `Room` the handler of the messages of a type.

    It is called with the client and the data. The data's annotation is what msgspec checks it against
    before: a `msgspec.Struct`, a dataclass, a `TypedDict`, or plain types such as `str`, `int`,
    `list[int]`, `Literal["a", "b"]`; without one, any plain data comes through. The keys of mappings and
    the members of sets must be texts or the like: `dict[int, ...]` and `set[int]` are refused when the
    room is registered, since a client could choose numbers that collide. A handler with no
    parameter for data takes none. What it returns (a value, a Deferred or a coroutine) is the answer, if
    the client made a call.

    Source: seed 000 (Colyseus `onMessage(type, callback)`, `messages`).
    """
    if not isinstance(type, str) or not type:
        raise TypeError(f"the type of a message must be a text, not {type!r}; write @message('say')")

    def mark(function: Function) -> Function:
        setattr(function, _MARK, type)
        return function

    return mark


class Handler:
    """One handler: the function, called with the room and the client, and how its data is read."""

    __slots__ = ("_fromJSON", "_fromMessagePack", "_isOpen", "function", "read", "takesData")

    def __init__(self, function: Callable[..., Any], type: Any, takesData: bool = True) -> None:
        self.function = function
        self.takesData = takesData
        #: The data as its handler takes it, from its bytes, whether they are JSON, and whether it may have
        #: bytes in it. Raises `InvalidData`.
        self.read: Callable[[bytes, bool, bool], Any] = payload.read
        if type is not Any:
            self.read = self._readTyped
            self._isOpen = isOpen(type)
            self._fromJSON = msgspec.json.Decoder(type).decode
            self._fromMessagePack = msgspec.msgpack.Decoder(type).decode

    def _readTyped(self, data: bytes, isJSON: bool, mayHaveBytes: bool) -> Any:
        if self._isOpen and not isJSON:
            payload.read(data, isJSON, mayHaveBytes)  # raises
        else:
            payload.check(data, isJSON, mayHaveBytes)
        return payload.readAs(self._fromJSON if isJSON else self._fromMessagePack, data)


def handlersOf(roomClass: type) -> Mapping[str, Handler]:
    """
    The handlers of a class and its bases, by the type of message.

    A method that overrides a handler is one of the same type, decorated again or not. Raises `TypeError` for
    one that can't take what it is called with, and for two of one type, naming them.
    """
    handlers: dict[str, Handler] = {}
    # A type may be defined in the class itself.
    names = {name: value for base in reversed(roomClass.__mro__) for name, value in vars(base).items()}
    doubts: list[str] = []
    for name, kind in _marked(roomClass).items():
        function = getattr(roomClass, name)
        if callable(function):
            _refuseSecond(kind, handlers.get(kind), function)
            handlers[kind] = _handler(function, kind, names, doubts)
    warnOfClass(roomClass, doubts)
    return handlers


def _marked(roomClass: type) -> dict[str, str]:
    """The names of the handlers, and their types of messages; the last class to decorate one decides."""
    marked: dict[str, str] = {}
    for base in reversed(roomClass.__mro__):
        for name, value in vars(base).items():
            kind = getattr(getattr(value, "__func__", value), _MARK, None)
            if isinstance(kind, str):
                marked[name] = kind
    return marked


def _refuseSecond(kind: str, first: Handler | None, function: Callable[..., Any]) -> None:
    if first is not None and first.function is not function:
        both = " and ".join(each.__qualname__ for each in (first.function, function))
        raise TypeError(f"two handlers of messages of type {kind!r}: {both}")


def _handler(function: Callable[..., Any], kind: str, names: Mapping[str, Any], doubts: list[str]) -> Handler:
    parameters = parametersOf(function)
    doubt = checkClient(function, kind, parameters, names)
    if doubt is not None:
        doubts.append(doubt)
    if len(parameters) == 2:
        return Handler(function, Any, takesData=False)
    try:
        hint = hintOf(function, parameters[2], names)
        checkType(hint)
        return Handler(function, hint)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{name}: the data's annotation can't be checked: {error}") from error
