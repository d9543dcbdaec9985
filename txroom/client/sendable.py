"""
What may be sent: data that the other end can read, looked at before its frame has a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from inspect import isawaitable
from math import isfinite
from typing import Any

import msgspec

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..protocol.limits import MAX_DEPTH, MAX_NAME, MAX_OPTIONS
from ..protocol.plain import encode, isTooDeep

#: The integers that both encodings and the server's decoder have.
_LEAST, _MOST = -(2**63), 2**64 - 1

_Step = tuple[Any, str, int]


def checkName(what: str, name: Any) -> None:
    """Raise `RoomError` unless it is a text that the server takes for a name; `what` is what it is for."""
    isText = isinstance(name, str) and 0 < len(name) <= MAX_NAME
    if not isText or mistakeOfText(name):
        raise RoomError(
            ErrorCode.BAD_REQUEST, f"{what}={_shown(name)}: must be a text of 1 to {MAX_NAME} characters"
        )


def checkMapping(what: str, value: Any) -> None:
    """Raise `RoomError` unless it is a mapping with names, or nothing."""
    if value is not None and not isinstance(value, Mapping):
        raise RoomError(
            ErrorCode.BAD_REQUEST, f"{what}={_shown(value)}: must be a mapping of names to values"
        )
    for name in value or ():
        if not isinstance(name, str):
            raise RoomError(ErrorCode.BAD_REQUEST, f"{what}: the name {_shown(name)} is no text")


def checkOptions(what: str, options: Mapping[str, Any]) -> bytes:
    """
    The options of a join, or a filter, in JSON. Raises `RoomError`.

    Whatever the sub-protocol is they are what JSON can say.
    """
    encoded = Encoding(isJSON=True).encode(options, what)
    if len(encoded) > MAX_OPTIONS:
        message = f"{what}: {len(encoded)} bytes, of at most {MAX_OPTIONS}"
        raise RoomError(ErrorCode.INVALID_DATA, message, {"field": what})
    return encoded


class Encoding:
    """Encodes the data of messages for one sub-protocol."""

    def __init__(self, isJSON: bool) -> None:
        self._isJSON = isJSON
        self._pack = msgspec.msgpack.Encoder().encode
        self._unpack = msgspec.msgpack.Decoder().decode
        self._write = msgspec.json.Encoder().encode
        self._read = msgspec.json.Decoder().decode

    def encode(self, data: Any, what: str = "data") -> bytes:
        """
        Plain data, or what msgspec takes for it (Struct, dataclass, datetime, ...), encoded.

        Raises `RoomError` with a message that names the place, `details` too, for what the other end could
        not read as it was meant.
        """
        try:
            encoded, isSame = self._encoded(data)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise _refusal(data, what, self._isJSON, error) from error
        if isTooDeep(encoded, self._isJSON) or not isSame:
            mistake = findMistake(data, what, self._isJSON)
            if mistake is not None:
                raise _error(what, *mistake)
        return encoded

    def _encoded(self, data: Any) -> tuple[bytes, bool]:
        """The data encoded, and whether it comes out of that as it went in."""
        if not self._isJSON:
            return encode(data, mayHaveBytes=True), True
        packed = self._pack(data)
        plain = self._unpack(packed)
        encoded = self._write(plain)
        return encoded, bool(self._read(encoded) == plain)


def findMistake(data: Any, what: str, isJSON: bool) -> tuple[str, str] | None:
    """The first place in `data` that can't be sent, and why; `None` if there is none."""
    waiting: list[_Step] = [(data, what, 0)]
    while waiting:
        value, place, depth = waiting.pop()
        mistake = _mistakeOf(value, isJSON)
        if mistake:
            return place, mistake
        inner = _opened(value)
        if not isinstance(inner, dict | list | tuple | set | frozenset):
            continue
        if depth >= MAX_DEPTH:
            return place, f"nested deeper than {MAX_DEPTH}"
        if isinstance(inner, dict):
            mistake = _mistakeOfKeys(inner, isJSON)
            if mistake:
                return place, mistake
        waiting += reversed([(each, place + step, depth + 1) for step, each in _steps(inner)])
    return None


def mistakeOfText(text: str) -> str:
    """Why a text can't be sent; "" if it can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        return f"half of a surrogate pair (U+{ord(half):04X} at index {error.start}), which is no character"
    return ""


def _mistakeOf(value: Any, isJSON: bool) -> str:
    """What is wrong with a value, but for what is in it."""
    if isinstance(value, str):
        return mistakeOfText(value)
    if isinstance(value, int):
        return "" if _LEAST <= value <= _MOST else f"{_shown(value)} is an integer of more than 64 bits"
    if isinstance(value, float):
        return f"{value!r} can't be said in JSON" if isJSON and not isfinite(value) else ""
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes can't be said in JSON" if isJSON else ""
    if isinstance(value, dict | list | tuple | set | frozenset) or value is None:
        return ""
    try:
        msgspec.msgpack.encode(value)
        if isJSON:
            msgspec.json.encode(value)
    except (OverflowError, RecursionError, ValueError):
        return "" if _isOpen(value) else f"{_shown(value)} can't be sent"
    except TypeError as error:
        if isawaitable(value):
            return f"a {type(value).__name__}: await it, so that its result can be sent"
        return "" if _isOpen(value) else str(error)
    return ""


def _mistakeOfKeys(data: dict[Any, Any], isJSON: bool) -> str:
    """What is wrong with the keys of a dict."""
    names: set[str] = set()
    for key in data:
        mistake = _mistakeOf(key, isJSON)
        if not isJSON and not isinstance(key, str):
            mistake = f"the key {_shown(key)} is no text"
        elif isinstance(key, bool) or not isinstance(key, str | int | float):
            mistake = f"the key {_shown(key)} is neither a text nor a number" if isJSON else mistake
        if mistake:
            return f"a key: {mistake}"
        if isJSON and str(key) in names:
            return f"two keys are {_shown(str(key))} in JSON"
        names.add(str(key))
    return ""


def _opened(value: Any) -> Any:
    """A value whose fields are data (a Struct, a dataclass) as a dict or list of them; else the value."""
    if isinstance(value, dict | list | tuple | set | frozenset) or not _isOpen(value):
        return value
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    fields = getattr(type(value), "__dataclass_fields__", None)
    names = fields or [field.name for field in value.__attrs_attrs__]
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _isOpen(value: Any) -> bool:
    kind = type(value)
    return isinstance(value, msgspec.Struct) or any(
        hasattr(kind, mark) for mark in ("__dataclass_fields__", "__attrs_attrs__")
    )


def _steps(container: Any) -> Iterator[tuple[str, Any]]:
    """What is in a container, each with how it is reached."""
    if isinstance(container, dict):
        for key, value in container.items():
            isName = isinstance(key, str) and key.isidentifier()
            yield (f".{key}" if isName else f"[{_shown(key)}]"), value
    else:
        for index, value in enumerate(container):
            yield f"[{index}]", value


def _refusal(data: Any, what: str, isJSON: bool, error: Exception) -> RoomError:
    """The error for data that could not be encoded."""
    place, why = findMistake(data, what, isJSON) or (what, str(error) or type(error).__name__)
    return _error(what, place, why)


def _error(what: str, place: str, why: str) -> RoomError:
    field = place.removeprefix(what).lstrip(".")
    return RoomError(ErrorCode.INVALID_DATA, _cut(f"{place}: {why}", 500), {"field": _cut(field, 200)})


def _shown(value: Any) -> str:
    """A value in an error, not too long."""
    show: Callable[[Any], str] = ascii
    try:
        return _cut(show(value), 60)
    except ValueError:  # an integer of very many digits
        return f"{type(value).__name__}"


def shownError(error: BaseException) -> str:
    """An exception in the text of another."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    return _cut(text.encode(errors="backslashreplace").decode(), 300)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
