"""
The calls that a server's users add to the RPC interface.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .calls import Calls, RpcCall, checkOwn
from .secrets import Role

_ROLES = {str(role): role for role in Role}


class OwnCalls:
    """The calls of a server's users, which all its admin listeners have."""

    def __init__(self) -> None:
        self._calls: dict[str, RpcCall] = {}
        self._shared: list[Calls] = []

    def adder(self, name: str, role: str) -> Callable[[Any], Any]:
        """Return the decorator for a call; see `Server.rpc`."""
        if not isinstance(name, str):
            raise TypeError(f"name={name!r}: must be a string; write @server.rpc('economy.reset')")
        if role not in _ROLES:
            raise ValueError(f"role={role!r}: must be {' or '.join(map(repr, _ROLES))}")

        def add(function: Any) -> Any:
            if not callable(function):
                raise TypeError(f"{function!r}: must be a function")
            self._add(RpcCall(name=name, function=function, role=_ROLES[role]))
            return function

        return add

    def _add(self, call: RpcCall) -> None:
        checkOwn(call)
        if call.name in self._calls:
            raise ValueError(f"name={call.name!r}: there is a call of this name already")
        self._calls[call.name] = call
        for calls in self._shared:
            calls.add(call)

    def share(self, calls: Calls) -> None:
        """Add the calls, and those that are added later, to those of a listener."""
        self._shared.append(calls)
        for call in self._calls.values():
            calls.add(call)
