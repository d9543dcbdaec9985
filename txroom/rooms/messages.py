"""
Messages and their handlers: which method of a room takes which type of message, and what data.

The tables are built when a room class is registered; wrong annotations are errors there, not in the
first message.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

import msgspec

from .payload import decoded

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "_txroomMessage"


def message(type: str) -> Callable[[Function], Function]:
    """
    Make a method of a `Room` the handler of the messages of a type.

    It is called with the client and the data. The data's annotation is what msgspec checks it against
    before: a `msgspec.Struct`, a dataclass, a `TypedDict`, or plain types such as `str`, `int`,
    `list[int]`, `Literal["a", "b"]`; without one, any plain data comes through. A handler with no
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

    __slots__ = ("_fromJSON", "_fromMessagePack", "function", "takesData")

    def __init__(self, function: Callable[..., Any], type: Any, takesData: bool = True) -> None:
        self.function = function
        self.takesData = takesData
        self._fromJSON = msgspec.json.Decoder(type).decode
        self._fromMessagePack = msgspec.msgpack.Decoder(type).decode

    def read(self, data: bytes, isJSON: bool) -> Any:
        """The data as its handler takes it. Raises `InvalidData`."""
        return decoded(self._fromJSON if isJSON else self._fromMessagePack, data)


def handlersOf(roomClass: type) -> Mapping[str, Handler]:
    """
    The handlers of a class and its bases, by the type of message.

    Raises `TypeError` for one that can't take what it is called with, naming it.
    """
    handlers: dict[str, Handler] = {}
    # A type may be defined in the class itself.
    names = {name: value for base in reversed(roomClass.__mro__) for name, value in vars(base).items()}
    for base in reversed(roomClass.__mro__):
        for name in vars(base):
            function = getattr(roomClass, name, None)
            kind = getattr(function, _MARK, None)
            if function is not None and isinstance(kind, str):
                handlers[kind] = _handler(function, names)
    return handlers


def _handler(function: Callable[..., Any], names: dict[str, Any]) -> Handler:
    name = getattr(function, "__qualname__", repr(function))
    parameters = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if not 2 <= len(parameters) <= 3:
        raise TypeError(f"{name}: a handler takes the client, and the data if there is any")
    if len(parameters) == 2:
        return Handler(function, Any, takesData=False)
    try:
        hints = get_type_hints(function, localns=names, include_extras=True)
        return Handler(function, hints.get(parameters[2].name, Any))
    except (NameError, TypeError) as error:
        raise TypeError(f"{name}: the data's annotation can't be checked: {error}") from error
