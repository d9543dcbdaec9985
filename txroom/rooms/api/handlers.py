"""
Handlers of messages: the methods of a room that `message` marks, the type of message of each, and the data.

The table of handlers is built when a room class is registered, so that a wrong annotation is an error then,
and not when the first message arrives. `owner.inbox` looks up the handler of each message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from ...core.codes import ErrorCode
from ...core.validation import warnOfClass
from ...protocol import received
from ...protocol.errors import BadMessage
from ...protocol.plaindata import mayBeWrong
from .datatypes import checkDecodable, isOpen
from .signatures import checkClient, hintOf, nameOf, parametersOf

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "_txroomMessage"


def message(type: str) -> Callable[[Function], Function]:
    """
    Make a method of a `Room` the handler of messages of one type, like Colyseus's `onMessage(type, ...)`.

    The method is called with the client and the data. msgspec checks the data against the annotation of the
    method's parameter: a `msgspec.Struct`, a dataclass, a `TypedDict`, or types such as `str`, `int`,
    `list[int]` and `Literal["a", "b"]`. Without an annotation the method receives any plain data. A method
    without a parameter for the data ignores it. If the client has made a call, the value that the method
    returns is the answer; it may be a Deferred or a coroutine.

    Keys of mappings and elements of sets must be strings, bytes, booleans, enumerations or literals. With
    `dict[int, ...]` or `set[int]` a client could choose numbers whose hashes collide, so such types are
    refused when the room is registered.

    Args:
        type: The type of the messages, a string of 1 to 128 characters.

    Returns:
        A decorator.

    Raises:
        TypeError: The type is not a string, or it is empty.
    """
    if not isinstance(type, str) or not type:
        raise TypeError(f"the type of a message must be a string, not {type!r}; write @message('say')")

    def mark(function: Function) -> Function:
        setattr(function, _MARK, type)
        return function

    return mark


class Handler:
    """
    A handler: the function, and how its data is decoded.

    Args:
        function: The function. It is called with the room, the client and, if it `takesData`, the data.
        type: The type that the data is checked against; `Any` for any plain data.
        takesData: Whether the function has a parameter for the data.
    """

    __slots__ = ("_fromJSON", "_fromMessagePack", "_isOpen", "function", "read", "takesData", "type")

    def __init__(self, function: Callable[..., Any], type: Any, takesData: bool = True) -> None:
        self.function = function
        self.type = type
        self.takesData = takesData
        #: Decodes the data. The arguments are the encoded data, whether it is JSON, and whether it may
        #: contain bytes. Raises `InvalidData`.
        self.read: Callable[[bytes, bool, bool], Any] = received.read
        if type is not Any:
            self.read = self._readTyped
            self._isOpen = isOpen(type)
            self._fromJSON = msgspec.json.Decoder(type).decode
            self._fromMessagePack = msgspec.msgpack.Decoder(type).decode

    def _readTyped(self, data: bytes, isJSON: bool, mayHaveBytes: bool) -> Any:
        """Decode data of a type. This is called for each message."""
        if not isJSON and self._isOpen:
            received.read(data, isJSON, mayHaveBytes)  # raises
        elif not isJSON or mayBeWrong(data):
            received.check(data, isJSON, mayHaveBytes)
        try:
            return self._fromJSON(data) if isJSON else self._fromMessagePack(data)
        except received.UNREADABLE as error:
            raise received.invalid(error) from None


def unknownType(type: str) -> BadMessage:
    """Return the error for a message for which there is no handler."""
    return BadMessage(ErrorCode.UNKNOWN_TYPE, f"no messages of type {type[:64]!r} here", {"field": "type"})


def handlersOf(roomClass: type) -> Mapping[str, Handler]:
    """
    Return the handlers of a class and its base classes, by the type of message.

    A method that overrides a handler is a handler of the same type, whether it is decorated again or not.
    Warns of handlers that seem to take the client for the data.

    Raises:
        TypeError: A handler cannot be called with a client and data, or there are two for one type. The
            message names them.
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
    """
    Return the names of the handlers with their types. The most derived class that decorates one decides.
    """
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
        raise TypeError(
            f"{nameOf(function)}: data can't be checked against this annotation: {error}"
        ) from error
