"""
The arguments and hooks of a `Server`: how they are checked, and how hooks are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

from ..core.awaitables import isAsync, toDeferred
from ..core.hooks import HOOKS as APPLICATION_HOOKS
from ..core.options import OPTIONS
from ..core.validation import checkAssigned, definedBelow, misspeltHooks, nearestName, warnOfClass

#: The hooks of a server.
HOOKS = frozenset({"onConnection", "onListening", "onClose", "onClientError", "responseHeaders", "userId"})
#: The hooks that only applications have.
_NOT_OURS = APPLICATION_HOOKS - HOOKS


def checkHook(server: Any, name: str, value: Any) -> None:
    """
    Check a value that is assigned to an attribute of a server.

    Raises:
        TypeError: It cannot be called although the attribute is a hook, or the hook is one of applications.
    """
    checkAssigned(server, name, value, HOOKS, lambda hook: getattr(server, hook) is not None)
    if name in _NOT_OURS and callable(value):
        raise TypeError(
            f"Server.{name} is never called: it is a hook of applications; use Application({name}=...)"
        )


def refuseKeywords(names: Iterable[str]) -> None:
    """
    Raise `TypeError` for keyword arguments that `Server` does not have. For options, say where to give them.
    """
    for name in names:
        if nearestName(name, OPTIONS):
            raise TypeError(f"{name} is an option: use Server(ServerOptions({name}=...))")
        raise TypeError(f"Server() got an unexpected keyword argument {name!r}")


def warnOfHooks(subclass: type, base: type) -> None:
    """Warn of methods in a subclass of the server that look like hooks but will never be called."""
    mistakes = misspeltHooks(subclass, base, HOOKS, lambda name: getattr(subclass, name) is not None)
    for owner, name, value in definedBelow(subclass, base):
        if name in _NOT_OURS and callable(value):
            mistakes.append(f"{owner}.{name} is never called: it is a hook of applications")
    warnOfClass(subclass, mistakes)


def callHook(log: Logger, hook: Callable[..., Any] | None, *args: Any) -> None:
    """Call a hook if it is set, without waiting for its result. Exceptions are logged."""
    if hook is not None:
        maybeDeferred(resultOf, partial(hook, *args)).addErrback(
            lambda failure: log.failure("a hook of the server raised", failure)
        )


def resultOf(function: Callable[[], Any]) -> Any:
    """Call a user's function, and return its result, as a Deferred if it is asynchronous."""
    result = function()
    return toDeferred(result) if isAsync(result) else result
