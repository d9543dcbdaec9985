"""
Signatures of the functions that users write: whether these can take what they are called with.

A handler of messages takes the client first, then the data. What is wrong with one is told when its class is
registered, and not by the first message.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .room import Client

#: Parts of the names that people give to the client that sends a message.
_CLIENT_NAMES = (
    "client", "player", "member", "sender", "user", "guest", "caller", "who", "peer", "conn", "one",
)  # fmt: skip
#: Names that nobody gives to it.
_DATA_NAMES = frozenset(
    {
        "args", "body", "content", "data", "event", "json", "message", "msg", "options", "params", "payload",
        "text", "value", "words",
    }
)  # fmt: skip


def canBeCalled(function: Callable[..., Any], names: Iterable[str]) -> bool:
    """Whether a function can be called with so many arguments; `True` if that can't be known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*names)
    except TypeError:
        return False
    return True


def parametersOf(function: Callable[..., Any]) -> list[Parameter]:
    """
    The parameters that a handler is called with: itself, the client, and perhaps the data.

    Raises:
        TypeError: It can't be called so.
    """
    parameters = list(inspect.signature(function).parameters.values())
    needed = [each.name for each in parameters if _isNeededKeyword(each)]
    if needed:
        names = ", ".join(needed)
        raise TypeError(f"{nameOf(function)}: {names} will never be given; a handler takes client and data")
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    positional = [each for each in parameters if each.kind in kinds]
    if any(each.kind is Parameter.VAR_POSITIONAL for each in parameters):
        more = ("self", "client", "data")[len(positional) :]
        positional += [Parameter(each, Parameter.POSITIONAL_ONLY) for each in more]
    if not 2 <= len(positional) <= 3:
        raise TypeError(
            f"{nameOf(function)}: a handler takes the client, and the data if there is any: "
            f"def {function.__name__}(self, client, data)"
        )
    return positional


def _isNeededKeyword(parameter: Parameter) -> bool:
    return parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty


def nameOf(function: Callable[..., Any]) -> str:
    """The name by which its author finds a function."""
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
    function: Callable[..., Any], type: str, parameters: list[Parameter], names: Mapping[str, Any]
) -> str | None:
    """
    Check that the first argument of a handler is the client.

    Args:
        function: The handler.
        type: The type of its messages.
        parameters: What `parametersOf` has found.
        names: What its annotations may name besides what its module has.

    Returns:
        What to warn of: it may be that the client is taken for the data.

    Raises:
        TypeError: It is something else.
    """
    first = parameters[1]
    name = nameOf(function)
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
    if isSwapped or first.name in _DATA_NAMES or first.name == type:
        raise TypeError(f"{name}: its first argument is the client, not {first.name}: {wanted}")
    if len(parameters) == 2:
        wanted = f"def {function.__name__}(self, client, data)"
        return f"{name} is called with the client as {first.name}; if that is to be the data: {wanted}"
    return None


def _soundsLikeClient(name: str) -> bool:
    return len(name) == 1 or name.startswith("_") or any(part in name.lower() for part in _CLIENT_NAMES)


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
