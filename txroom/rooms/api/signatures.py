"""
How handlers of messages are declared: the client first, then the data, of a type that can be checked.

What is wrong with one is told when its class is registered, and not by the first message.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from inspect import Parameter
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import inspect as types

from .room import Client

#: Parts of the names that people give to the one who sends a message.
_WHO = ("client", "player", "member", "sender", "user", "guest", "caller", "who", "peer", "conn", "one")
#: Names that nobody gives to who sends a message.
_DATA = frozenset(
    {
        "args", "body", "content", "data", "event", "json", "message", "msg", "options", "params", "payload",
        "text", "value", "words",
    }
)  # fmt: skip


def parametersOf(function: Callable[..., Any]) -> list[Parameter]:
    """The parameters that a handler is called with: itself, the client, and perhaps the data."""
    name = _nameOf(function)
    parameters = list(inspect.signature(function).parameters.values())
    needed = [each.name for each in parameters if _isNeededKeyword(each)]
    if needed:
        raise TypeError(f"{name}: {', '.join(needed)} will never be given; a handler takes client and data")
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    positional = [each for each in parameters if each.kind in kinds]
    if any(each.kind is Parameter.VAR_POSITIONAL for each in parameters):
        more = ("self", "client", "data")[len(positional) :]
        positional += [Parameter(each, Parameter.POSITIONAL_ONLY) for each in more]
    if not 2 <= len(positional) <= 3:
        raise TypeError(
            f"{name}: a handler takes the client, and the data if there is any: "
            f"def {function.__name__}(self, client, data)"
        )
    return positional


def _isNeededKeyword(parameter: Parameter) -> bool:
    return parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty


def _nameOf(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))


def hintOf(function: Callable[..., Any], parameter: Parameter, names: Mapping[str, Any]) -> Any:
    """
    What a parameter is annotated with, `Any` if with nothing; `names` are known besides the module's.

    Only this annotation is looked at: others may be of names that only type checkers know. Raises what
    comes of an annotation that can't be evaluated.
    """
    if parameter.annotation is Parameter.empty:
        return Any

    def holder() -> None: ...

    holder.__annotations__ = {"it": parameter.annotation}
    known = getattr(inspect.unwrap(function), "__globals__", {})
    return get_type_hints(holder, known, dict(names), include_extras=True)["it"]


def checkClient(
    function: Callable[..., Any], kind: str, parameters: list[Parameter], names: Mapping[str, Any]
) -> str | None:
    """
    Raise `TypeError` for a handler whose first argument is something else than the client.

    What may be so is returned, to warn of.
    """
    first = parameters[1]
    name = _nameOf(function)
    more = "" if len(parameters) < 3 and first.annotation is Parameter.empty else ", data"
    wanted = f"def {function.__name__}(self, client{more})"
    if first.annotation is not Parameter.empty:
        try:
            hint = hintOf(function, first, names)
        except Exception:
            return None  # known to type checkers alone
        if _mayBeClient(hint):
            return None
        raise TypeError(f"{name}: its first argument is the client, not {first.name}: {wanted}")
    if _soundsLikeClient(first.name):
        return None
    isSwapped = len(parameters) == 3 and "client" in parameters[2].name.lower()
    if isSwapped or first.name in _DATA or first.name == kind:
        raise TypeError(f"{name}: its first argument is the client, not {first.name}: {wanted}")
    if len(parameters) == 2:
        wanted = f"def {function.__name__}(self, client, data)"
        return f"{name} is called with the client as {first.name}; if that is to be the data: {wanted}"
    return None


def _soundsLikeClient(name: str) -> bool:
    return len(name) == 1 or name.startswith("_") or any(part in name.lower() for part in _WHO)


def _mayBeClient(hint: Any) -> bool:
    """Whether a client can be what is annotated so."""
    if hint is Any or isinstance(hint, TypeVar):
        return True
    origin = get_origin(hint)
    if origin in (Union, UnionType, Annotated):
        return any(map(_mayBeClient, get_args(hint)))
    hint = getattr(hint, "__supertype__", origin or hint)
    if not isinstance(hint, type):
        return False
    return getattr(hint, "_is_protocol", False) or issubclass(Client, hint) or issubclass(hint, Client)


#: What data is, once it is decoded.
_DECODED = (dict, list, str, int, float, bool, NoneType, bytes, datetime)


def checkType(hint: Any) -> None:
    """Raise `TypeError` for a type that nothing a client sends can ever be of."""
    seen: list[Any] = []
    waiting = [types.type_info(hint)]
    while waiting:
        each = waiting.pop()
        if isinstance(each, types.CustomType) and not _isDecoded(each.cls):
            raise TypeError(
                f"nothing that clients send is a {each.cls.__name__}; make it a msgspec.Struct or a dataclass"
            )
        cls = getattr(each, "cls", None)
        if cls in seen and cls is not None:
            continue  # within itself
        seen.append(cls)
        waiting += _within(each)


def _isDecoded(cls: type) -> bool:
    try:
        return any(issubclass(each, cls) for each in _DECODED)
    except TypeError:  # a protocol with attributes, say
        return False


def _within(type: types.Type) -> list[types.Type]:
    """The types that a type is made of."""
    found: list[types.Type] = []
    for name in type.__struct_fields__:
        value = getattr(type, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, types.Field):
                found.append(each.type)
            elif isinstance(each, types.Type):
                found.append(each)
    return found
