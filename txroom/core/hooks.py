"""
The hooks of an application, and how they are combined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from .awaitables import isAsync, toDeferred
from .codes import ReadyState

Hook = Callable[..., Any]


#: The hooks of an `Application` that can be replaced on a single connection.
CONNECTION_HOOKS = frozenset(
    {
        "onConnect",
        "onText",
        "onBinary",
        "onMessage",
        "onPing",
        "onPong",
        "onDrain",
        "onDisconnect",
        "onError",
    }
)


class Closable(Protocol):
    """A connection, as `chainHooks` needs it."""

    @property
    def readyState(self) -> ReadyState:
        """The state of the connection."""
        ...


def chainHooks(first: Hook | None, second: Hook | None) -> Hook | None:
    """
    Return one hook that calls two: the second after the first, unless the connection was closed meanwhile.
    """
    if first is None or second is None:
        return first or second

    async def rest(result: Any, connection: Closable, args: tuple[Any, ...]) -> None:
        await toDeferred(result)
        if connection.readyState is ReadyState.OPEN:
            result = second(connection, *args)
            if isAsync(result):
                await toDeferred(result)

    def both(connection: Closable, *args: Any) -> Any:
        result = first(connection, *args)
        if isAsync(result):
            return rest(result, connection, args)
        return second(connection, *args) if connection.readyState is ReadyState.OPEN else None

    return both


#: The hooks of the upgrade, which run before the connection exists.
UPGRADE_HOOKS = frozenset({"acceptsOrigin", "verifyClient", "chooseProtocol", "responseHeaders"})


#: All hooks of an application.
HOOKS = CONNECTION_HOOKS | UPGRADE_HOOKS


@attrs.frozen
class Hooks:
    """The hooks for one connection, looked up once; `None` for a hook that is not set."""

    onConnect: Hook | None = None
    onText: Hook | None = None
    onBinary: Hook | None = None
    onMessage: Hook | None = None
    onPing: Hook | None = None
    onPong: Hook | None = None
    onDrain: Hook | None = None
    onDisconnect: Hook | None = None
    onError: Hook | None = None
    #: The hooks for a message: `onText` or `onBinary` first, then `onMessage` (like Cocos Creator).
    forText: Hook | None = attrs.field(init=False)
    forBinary: Hook | None = attrs.field(init=False)

    @forText.default
    def _forText(self) -> Hook | None:
        return chainHooks(self.onText, self.onMessage)

    @forBinary.default
    def _forBinary(self) -> Hook | None:
        return chainHooks(self.onBinary, self.onMessage)

    def replaced(self, name: str, hook: Hook | None) -> Hooks:
        """Return a copy with one hook replaced."""
        return attrs.evolve(self, **{name: hook})
