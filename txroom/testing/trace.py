"""
Trace: records which hooks and handlers of rooms were called, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Any

import attrs

from .. import Client, Room
from ..rooms.registration import Registration

#: The hooks that are recorded: those that tell a room what happens. Hooks that ask a room something
#: (`canJoin`, `snapshot`, `userId`, `inspect`) and `onTick` are not recorded.
HOOKS = (
    "onCreate",
    "onAuth",
    "onJoin",
    "onMessage",
    "onDrop",
    "onResume",
    "onLeave",
    "onDispose",
    "onRoomError",
)


@attrs.frozen
class Step:
    """One call of a hook or a handler."""

    #: The name of the hook, or the type of the message.
    name: str
    room: Room
    #: The client that the call was about; `None` if there is none.
    client: Client | None
    #: The other arguments, such as options, data or a reason.
    args: tuple[Any, ...]


class Trace:
    """
    Records the hooks and handlers of the rooms of one name that were called, in order.

    It records `onCreate`, `onAuth`, `onJoin`, `onMessage`, `onDrop`, `onResume`, `onLeave`, `onDispose` and
    `onRoomError`, whether the room class defines them or not, and handlers by the type of their message.
    """

    def __init__(self, registration: Registration) -> None:
        #: The recorded calls.
        self.steps: list[Step] = []
        registration.roomClass = self._traced(registration.roomClass)
        handlers = {type: copy(handler) for type, handler in registration.handlers.items()}
        for type, handler in handlers.items():
            handler.function = self._noting(type, handler.function)
        registration.handlers = handlers

    @property
    def names(self) -> list[str]:
        """The names of the hooks and the types of the messages, in order."""
        return [step.name for step in self.steps]

    def of(self, member: str) -> list[str]:
        """Like `names`, but only for the calls about one member, given by its id."""
        return [step.name for step in self.steps if step.client is not None and step.client.id == member]

    def clear(self) -> None:
        """Forget the recorded calls."""
        self.steps.clear()

    def _traced(self, roomClass: type[Room]) -> type[Room]:
        """Return a subclass of the room class that records its hooks."""
        names = [name for name in HOOKS if name != "onMessage" or roomClass.onMessage is not Room.onMessage]
        hooks = {name: self._noting(name, getattr(roomClass, name)) for name in names}
        same = {"__module__": roomClass.__module__, "__qualname__": roomClass.__qualname__}
        return type(roomClass.__name__, (roomClass,), {**same, "__doc__": roomClass.__doc__, **hooks})

    def _noting(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def noting(room: Room, *args: Any) -> Any:
            client = next((arg for arg in args if isinstance(arg, Client)), None)
            self.steps.append(Step(name, room, client, tuple(arg for arg in args if arg is not client)))
            return function(room, *args)

        return noting
