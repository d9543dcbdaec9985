"""
How a client tells its user what happens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from ..connection import isAsync, toDeferred

Listener = Callable[..., Any]


class Turn:
    """
    Lets the user's code run when the state of a client is whole, and in order.

    Whatever changes the state does so within `with turn:`; what is posted meanwhile, events and Deferreds
    that fire, is done at the end of the outermost one.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._depth = 0
        self._posted: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *error: object) -> None:
        try:
            if self._depth == 1:
                self._drain()
        finally:
            self._depth -= 1

    def post(self, function: Callable[..., Any], *args: Any) -> None:
        """Call it when the state is whole."""
        with self:
            self._posted.append((function, args))

    def _drain(self) -> None:
        while self._posted:
            function, args = self._posted.popleft()
            try:
                function(*args)
            except Exception:
                self._log.failure("the client failed")


class Emitter:
    """Calls listeners; what one raises, or its Deferred fails with, goes to `report`."""

    def __init__(self, report: Callable[[str, Failure], None]) -> None:
        self._listeners: dict[str, list[Listener]] = {}
        self._report = report

    def on(self, name: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` at each event of that name; returns a function that ends it."""
        if not callable(listener):
            raise TypeError(f"the listener of {name} is no function")
        self._listeners[name] = [*self._listeners.get(name, ()), listener]
        return lambda: self.off(name, listener)

    def once(self, name: str, listener: Listener) -> Callable[[], None]:
        """The same for the next event only."""
        if not callable(listener):
            raise TypeError(f"the listener of {name} is no function")

        def first(*args: Any) -> Any:
            off()
            return listener(*args)

        off = self.on(name, first)
        return off

    def off(self, name: str, listener: Listener | None = None) -> None:
        """End what `on` began; without a listener, for all of that name."""
        left = [one for one in self._listeners.get(name, ()) if one != listener and listener is not None]
        if left:
            self._listeners[name] = left
        else:
            self._listeners.pop(name, None)

    def has(self, name: str) -> bool:
        """Whether anybody listens."""
        return name in self._listeners

    def emit(self, name: str, *args: Any) -> bool:
        """Tell them; whether there was anybody."""
        listeners = self._listeners.get(name, ())
        for listener in listeners:
            try:
                result = listener(*args)
            except Exception:
                self._report(name, Failure())
            else:
                if isAsync(result):
                    toDeferred(result).addErrback(partial(self._report, name))
        return bool(listeners)
