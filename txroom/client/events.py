"""
Listeners and events: how a client tells its user what happens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.awaitables import isAsync, toDeferred

Listener = Callable[..., Any]


@attrs.frozen(eq=False)
class _Entry:
    """One listener, as it was added."""

    listener: Listener
    isOnce: bool


class Emitter(ABC):
    """Has listeners by the names of events, and calls them."""

    def __init__(self) -> None:
        self._entries: dict[str, list[_Entry]] = {}

    @abstractmethod
    def listenerFailed(self, name: str, failure: Failure) -> None:
        """A listener has raised that, or its Deferred has failed with it."""

    def on(self, name: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` at each event of that name; returns a function that ends it."""
        return self._add(name, listener, False)

    def once(self, name: str, listener: Listener) -> Callable[[], None]:
        """The same for the next event only."""
        return self._add(name, listener, True)

    def off(self, name: str, listener: Listener | None = None) -> None:
        """End what `on` or `once` began; without a listener, for all of that name."""
        self._keep(name, lambda entry: listener is not None and entry.listener != listener)

    def clear(self) -> None:
        """End all."""
        self._entries.clear()

    def _add(self, name: str, listener: Listener, isOnce: bool) -> Callable[[], None]:
        if not callable(listener):
            raise TypeError(f"listener={listener!r} of {name!r}: must be a function")
        entry = _Entry(listener, isOnce)
        self._entries[name] = [*self._entries.get(name, ()), entry]
        return lambda: self._keep(name, lambda other: other is not entry)

    def _keep(self, name: str, isKept: Callable[[_Entry], bool]) -> None:
        left = [entry for entry in self._entries.get(name, ()) if isKept(entry)]
        if left:
            self._entries[name] = left
        else:
            self._entries.pop(name, None)

    def has(self, name: str) -> bool:
        """Whether anybody listens."""
        return name in self._entries

    def emit(self, name: str, *args: Any) -> bool:
        """Tell them; whether there was anybody."""
        entries = self._entries.get(name, ())
        if any(entry.isOnce for entry in entries):
            self._keep(name, lambda entry: not entry.isOnce)
        for entry in entries:
            try:
                result = entry.listener(*args)
            except Exception:
                self.listenerFailed(name, Failure())
            else:
                if isAsync(result):
                    toDeferred(result).addErrback(partial(self.listenerFailed, name))
        return bool(entries)


class Events(Emitter):
    """
    The events of a client, or of a room.

    `deliver` is told when to call whom. An error that nobody else is told of goes to the listeners of
    "error"; if there are none, to `otherwise`.
    """

    _log = Logger()

    def __init__(self, deliver: Callable[..., None], otherwise: Callable[[Failure], None]) -> None:
        super().__init__()
        self._deliver = deliver
        self._otherwise = otherwise

    def tell(self, name: str, *args: Any) -> None:
        """Tell the listeners, when those before it were told."""
        self._deliver(self.emit, name, *args)

    def report(self, failure: Failure) -> None:
        """Something went wrong, and nobody else is there to be told."""
        if self.has("error"):
            self.tell("error", failure.value)
        else:
            self._otherwise(failure)

    def end(self, deliver: Callable[..., None]) -> None:
        """Let the listeners go, and whoever delivered so far."""
        self.clear()
        self._deliver = deliver

    def listenerFailed(self, name: str, failure: Failure) -> None:
        """It is an error that nobody else is told of, but for one of those who are told."""
        if name == "error":
            self._log.failure("a listener of errors failed", failure)
        else:
            self.report(failure)


class Messages(Emitter):
    """The messages of a room by their types; `events` are its events."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events

    def listenerFailed(self, name: str, failure: Failure) -> None:
        """It is the room's error."""
        self._events.report(failure)
