"""
Trace: which hooks and handlers of rooms were called, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Any

import attrs

from .. import Client, Room
from ..rooms.registration import Registration

#: What is noted: each thing that happens to a room or a client. Not the questions that a room is asked
#: (`canJoin`, `snapshot`, `userId`), and not `onTick`.
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
    #: Whom it was about; `None`: nobody.
    client: Client | None
    #: The other arguments: options, data, a reason, ...
    args: tuple[Any, ...]


class Trace:
    """
    The hooks and handlers of the rooms of one name that were called, in order.

    Noted are `onCreate`, `onAuth`, `onJoin`, `onMessage`, `onDrop`, `onResume`, `onLeave`, `onDispose`,
    `onRoomError`, whether the room defines them or not, and handlers by the type of their message.
    """

    def __init__(self, registration: Registration) -> None:
        #: The calls.
        self.steps: list[Step] = []
        registration.roomClass = self._traced(registration.roomClass)
        handlers = {type: copy(handler) for type, handler in registration.handlers.items()}
        for type, handler in handlers.items():
            handler.function = self._noting(type, handler.function)
        registration.handlers = handlers

    @property
    def names(self) -> list[str]:
        """The names of the hooks, and the types of the messages."""
        return [step.name for step in self.steps]

    def of(self, member: str) -> list[str]:
        """The same, of those that were about one member, by its id."""
        return [step.name for step in self.steps if step.client is not None and step.client.id == member]

    def clear(self) -> None:
        """Forget what was noted."""
        self.steps.clear()

    def _traced(self, roomClass: type[Room]) -> type[Room]:
        """A subclass that notes its hooks, and is the same else."""
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
