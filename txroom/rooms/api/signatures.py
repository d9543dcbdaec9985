"""
Checks of the signatures of hooks and handlers.

A handler of messages takes the client first, then the data. Mistakes are found when the class is registered
and not when the first message arrives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .client import Client

#: Parts of the names that people give to the parameter for the client.
_CLIENT_NAMES = (
    "client", "player", "member", "sender", "user", "guest", "caller", "who", "peer", "conn", "one",
)  # fmt: skip
#: Names that people give only to the parameter for the data.
_DATA_NAMES = frozenset(
    {
        "args", "body", "content", "data", "event", "json", "message", "msg", "options", "params", "payload",
        "text", "value", "words",
    }
)  # fmt: skip


def canBeCalled(function: Callable[..., Any], names: Iterable[str]) -> bool:
    """Return whether a function can be called with these arguments; `True` if that is not known."""
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
    Return the parameters of a handler: the room, the client, and the data if the handler takes it.

    Raises:
        TypeError: The handler cannot be called with these arguments.
    """
    parameters = list(inspect.signature(function).parameters.values())
    needed = [each.name for each in parameters if _isNeededKeyword(each)]
    if needed:
        names = ", ".join(needed)
        raise TypeError(f"{nameOf(function)}: a handler is called with client and data, without {names}")
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    positional = [each for each in parameters if each.kind in kinds]
    if any(each.kind is Parameter.VAR_POSITIONAL for each in parameters):
        more = ("self", "client", "data")[len(positional) :]
        positional += [Parameter(each, Parameter.POSITIONAL_ONLY) for each in more]
    if not 2 <= len(positional) <= 3:
        raise TypeError(
            f"{nameOf(function)}: a handler takes the client, and the data if it needs it: "
            f"def {function.__name__}(self, client, data)"
        )
    return positional


def _isNeededKeyword(parameter: Parameter) -> bool:
    return parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty


def nameOf(function: Callable[..., Any]) -> str:
    """Return the qualified name of a function, for error messages."""
    return getattr(function, "__qualname__", repr(function))


def hintOf(function: Callable[..., Any], parameter: Parameter, names: Mapping[str, Any]) -> Any:
    """
    Return the type that a parameter is annotated with; `Any` without an annotation.

    Only this annotation is evaluated, since others may have names that only type checkers know. Raises the
    error of an annotation that cannot be evaluated.

    Args:
        function: The function.
        parameter: The parameter.
        names: Names that the annotation may use besides those of its module.
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
        parameters: The result of `parametersOf`.
        names: Names that annotations may use besides those of the module.

    Returns:
        A warning if the handler may take the client for the data; otherwise `None`.

    Raises:
        TypeError: The first argument is something else.
    """
    first = parameters[1]
    name = nameOf(function)
    more = "" if len(parameters) < 3 and first.annotation is Parameter.empty else ", data"
    wanted = f"def {function.__name__}(self, client{more})"
    if first.annotation is not Parameter.empty:
        try:
            hint = hintOf(function, first, names)
        except Exception:
            return None  # only type checkers know the name
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
        return f"{name} is called with the client as {first.name}; to receive the data: {wanted}"
    return None


def _soundsLikeClient(name: str) -> bool:
    return len(name) == 1 or name.startswith("_") or any(part in name.lower() for part in _CLIENT_NAMES)


def _mayBeClient(hint: Any) -> bool:
    """Return whether a client can have a type."""
    if hint is Any or isinstance(hint, TypeVar):
        return True
    origin = get_origin(hint)
    if origin in (Union, UnionType, Annotated):
        return any(map(_mayBeClient, get_args(hint)))
    hint = getattr(hint, "__supertype__", origin or hint)
    if not isinstance(hint, type):
        return False
    return getattr(hint, "_is_protocol", False) or issubclass(Client, hint) or issubclass(hint, Client)
