"""
Listeners and events: how a client tells its user what happens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.awaitables import isAsync, toDeferred

Listener = Callable[..., Any]


@attrs.frozen(eq=False)
class _Entry:
    """One listener, and whether it is called only once."""

    listener: Listener
    isOnce: bool


class Emitter(ABC):
    """Keeps listeners by the names of events, and calls them."""

    def __init__(self) -> None:
        self._entries: dict[str, list[_Entry]] = {}

    @abstractmethod
    def listenerFailed(self, name: str, failure: Failure) -> None:
        """Called when a listener has raised an exception, or its Deferred has failed."""

    def on(self, name: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` at each event of that name. Returns a function that removes the listener."""
        return self._add(name, listener, False)

    def once(self, name: str, listener: Listener) -> Callable[[], None]:
        """
        Call `listener` at the next event of that name only. Returns a function that removes the listener.
        """
        return self._add(name, listener, True)

    def off(self, name: str, listener: Listener | None = None) -> None:
        """
        Remove a listener that `on` or `once` added; without `listener`, remove all listeners of that name.
        """
        self._keep(name, lambda entry: listener is not None and entry.listener != listener)

    def clear(self) -> None:
        """Remove all listeners."""
        self._entries.clear()

    def _add(self, name: str, listener: Listener, isOnce: bool) -> Callable[[], None]:
        if not callable(listener):
            raise TypeError(f"listener={listener!r} for {name!r}: must be a function")
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
        """Return whether the event has a listener."""
        return name in self._entries

    def hasAny(self, name: str, prefix: str) -> bool:
        """Return whether the event has a listener, or one whose name begins with `prefix`."""
        return name in self._entries or any(other.startswith(prefix) for other in self._entries)

    def emit(self, name: str, *args: Any) -> bool:
        """Call the listeners of an event. Returns whether there were any."""
        isHeard = name in self._entries
        self.call(name, *args)
        return isHeard

    def call(self, name: str, *args: Any) -> list[Deferred[Any]]:
        """
        Call the listeners of an event.

        Returns:
            A Deferred for each listener that has returned one, or a coroutine. It fires when the listener has
                ended, and does not fail.
        """
        entries = self._entries.get(name, ())
        pending: list[Deferred[Any]] = []
        if any(entry.isOnce for entry in entries):
            self._keep(name, lambda entry: not entry.isOnce)
        for entry in entries:
            try:
                result = entry.listener(*args)
            except Exception:
                self.listenerFailed(name, Failure())
            else:
                if isAsync(result):
                    pending.append(toDeferred(result).addErrback(partial(self.listenerFailed, name)))
        return pending


class Events(Emitter):
    """
    The events of a client or of a room.

    `deliver` is called with a function and its arguments, and calls it at the right time. Errors that
    nothing else handles go to the listeners of "error", or to `otherwise` if there are none.
    """

    _log = Logger()

    def __init__(self, deliver: Callable[..., None], otherwise: Callable[[Failure], None]) -> None:
        super().__init__()
        self._deliver = deliver
        self._otherwise = otherwise

    def tell(self, name: str, *args: Any) -> None:
        """Emit an event after the earlier events were delivered."""
        self._deliver(self.emit, name, *args)

    def report(self, failure: Failure) -> None:
        """Report an error that no Deferred receives."""
        if self.has("error"):
            self.tell("error", failure.value)
        else:
            self._otherwise(failure)

    def end(self, deliver: Callable[..., None]) -> None:
        """Remove the listeners, and deliver further events through `deliver`."""
        self.clear()
        self._deliver = deliver

    def listenerFailed(self, name: str, failure: Failure) -> None:
        """Report the exception of a listener; log it if the listener was one of "error" itself."""
        if name == "error":
            self._log.failure('A listener of "error" raised an exception', failure)
        else:
            self.report(failure)


class Messages(Emitter):
    """The messages of a room by their types; exceptions of their listeners are reported to `events`."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events

    def listenerFailed(self, name: str, failure: Failure) -> None:
        """Report it as an error of the room."""
        self._events.report(failure)
