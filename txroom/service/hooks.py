"""
What may be given to a `Server`, and its own hooks: which there are, and how they are called.
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
HOOKS = frozenset({"onConnection", "onListening", "onClose", "onClientError", "responseHeaders"})
#: Those that only applications have.
_NOT_OURS = APPLICATION_HOOKS - HOOKS


def checkHook(server: Any, name: str, value: Any) -> None:
    """Raise `TypeError` for what can't be assigned to an attribute of a server as a hook, or warn of it."""
    checkAssigned(server, name, value, HOOKS, lambda hook: getattr(server, hook) is not None)
    if name in _NOT_OURS and callable(value):
        raise TypeError(
            f"Server.{name} is never called: it is a hook of applications, Application({name}=...)"
        )


def refuseKeywords(names: Iterable[str]) -> None:
    """Raise `TypeError` for keywords that `Server` doesn't have, and say where options are given."""
    for name in names:
        if nearestName(name, OPTIONS):
            raise TypeError(f"{name} is given in the options: Server(ServerOptions({name}=...))")
        raise TypeError(f"Server() got an unexpected keyword argument {name!r}")


def warnOfHooks(subclass: type, base: type) -> None:
    """Warn of methods that a subclass of the server defines like hooks, of the server or of applications."""
    mistakes = misspeltHooks(subclass, base, HOOKS, lambda name: getattr(subclass, name) is not None)
    for owner, name, value in definedBelow(subclass, base):
        if name in _NOT_OURS and callable(value):
            mistakes.append(f"{owner}.{name} is never called: it is a hook of applications")
    warnOfClass(subclass, mistakes)


def callHook(log: Logger, hook: Callable[..., Any] | None, *args: Any) -> None:
    """Call a hook, if it is set, that nobody waits for; what it raises is logged."""
    if hook is not None:
        maybeDeferred(resultOf, partial(hook, *args)).addErrback(
            lambda failure: log.failure("a hook of the server raised", failure)
        )


def resultOf(function: Callable[[], Any]) -> Any:
    """What a user's function returns; a Deferred if that is asynchronous."""
    result = function()
    return toDeferred(result) if isAsync(result) else result
