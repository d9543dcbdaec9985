"""
How a client tells its user what happens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from ..connection import isAsync, toDeferred

Listener = Callable[..., Any]


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


class Events(Emitter):
    """
    The events of a client, or of a room.

    `deliver` is told when to call whom. An error that nobody else is told of goes to the listeners of
    "error"; if there are none, to `otherwise`.
    """

    _log = Logger()

    def __init__(self, deliver: Callable[..., None], otherwise: Callable[[Failure], None]) -> None:
        super().__init__(self._listenerFailed)
        self._deliver = deliver
        self._otherwise = otherwise

    def tell(self, name: str, *args: Any) -> None:
        """Let it be heard in its turn."""
        self._deliver(self.emit, name, *args)

    def report(self, failure: Failure) -> None:
        """Something went wrong, and nobody else is there to be told."""
        if self.has("error"):
            self.tell("error", failure.value)
        else:
            self._otherwise(failure)

    def _listenerFailed(self, name: str, failure: Failure) -> None:
        if name == "error":
            self._log.failure("a listener of errors failed", failure)
        else:
            self.report(failure)
