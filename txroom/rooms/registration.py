"""
Registrations: which names there are, which class serves each, and who listens to its rooms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Self

from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.awaitables import isAsync, toDeferred
from ..core.codes import ErrorCode
from ..core.validation import isCount
from ..protocol.errors import RoomError
from .api.handlers import handlersOf
from .api.room import Room
from .api.settings import SETTINGS, checkSettings
from .api.signatures import canBeCalled
from .api.validation import checkNames, checkRegistered, warnOfMistakes, warnOfOptions
from .matching import Matching

#: Most rooms of one name at a time, unless its registration says something else: an empty one costs 11 KiB.
MAX_ROOMS = 10_000
#: Characters of a name that are shown: what is said of a path has to fit 200 bytes.
_SHOWN = 32
#: The events of a registration, and what their listeners are called with.
EVENTS = {
    "create": "room",
    "dispose": "room",
    "join": "room, client",
    "leave": "room, client",
    "lock": "room",
    "unlock": "room",
}


class Registration(Matching):
    """
    One name under which rooms are made, like Colyseus's `RegisteredHandler`.

    Args:
        name: The name.
        roomClass: The class of the rooms.
        options: What overlays what clients ask for when a room is made; those that are settings of `Room`,
            such as `maxClients`, are set on the rooms, too.
        maxRooms: Most rooms of this name at a time; 0: any number.
        clientsMayCreate: Whether clients may make rooms.

    Raises:
        TypeError: The class is no `Room`, or has a wrong handler.
        ValueError: A setting is out of range.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        roomClass: type[Room],
        options: Mapping[str, Any],
        *,
        maxRooms: int = MAX_ROOMS,
        clientsMayCreate: bool = True,
    ) -> None:
        checkRegistered(name, roomClass)
        if not isCount(maxRooms):
            raise ValueError(f"maxRooms={maxRooms!r}: must be a whole number, 0 or more")
        if not isinstance(clientsMayCreate, bool):
            raise ValueError(f"clientsMayCreate={clientsMayCreate!r}: must be True or False")
        super().__init__(name, options)
        self.roomClass = roomClass
        self.handlers = handlersOf(roomClass)
        checkNames(roomClass, self.handlers)
        warnOfMistakes(roomClass, self.handlers)
        warnOfOptions(name, options)
        #: Most rooms of this name at a time; 0: any number.
        self.maxRooms = maxRooms
        #: Whether clients may make rooms, or only join those that the server has made.
        self.clientsMayCreate = clientsMayCreate
        settings = self._settings = {name: options[name] for name in options if name in SETTINGS}
        checkSettings(roomClass.__name__, lambda each: settings.get(each, getattr(roomClass, each)))
        self._listeners: dict[str, list[Callable[..., Any]]] = {event: [] for event in EVENTS}

    def __repr__(self) -> str:
        return f"<Registration {self.name} {self.roomClass.__name__}>"

    def on(self, event: str, listener: Callable[..., Any]) -> Self:
        """
        Call `listener(room)`, or `listener(room, client)`, at one of the events below.

        It may be asynchronous; nothing waits for it. "leave" comes once after each "join" here.

        Raises:
            ValueError: There is no such event.
            TypeError: The listener can't be called so.
        """
        if event not in EVENTS:
            raise ValueError(f"{event!r}: must be one of {', '.join(EVENTS)}")
        if not callable(listener):
            raise TypeError(f"listener={listener!r}: must be a function, without ()")
        if not canBeCalled(listener, EVENTS[event].split(", ")):
            raise TypeError(f"listener={listener!r}: can't be called with ({EVENTS[event]})")
        self._listeners[event].append(listener)
        return self

    def hasListeners(self, event: str) -> bool:
        """Whether anybody listens to an event."""
        return bool(self._listeners[event])

    def tell(self, event: str, *args: Any) -> None:
        """An event has happened."""
        for listener in list(self._listeners[event]):
            try:
                result = listener(*args)
            except BaseException:
                self._raised(Failure(), event)
            else:
                if isAsync(result):
                    toDeferred(result).addErrback(self._raised, event)

    def _raised(self, failure: Failure, event: str) -> None:
        self._log.failure("a listener for {event} of {name} raised", failure, event=event, name=self.name)

    def makeRoom(self) -> Room:
        """A room, not yet created."""
        room = self.roomClass()
        for name, value in self._settings.items():
            setattr(room, name, value)
        return room

    @property
    def seats(self) -> int:
        """How many clients a room is expected to take (0: any number); a room may say something else."""
        return int(self._settings.get("maxClients", self.roomClass.maxClients))


class Registrations(dict[str, Registration]):
    """All that is registered, by name."""

    #: Whether who asks for an unknown name is told of those that there are.
    isDebug = False

    def find(self, name: str) -> Registration:
        """What is registered as `name`. Raises `RoomError` (`noSuchRoom`)."""
        registration = self.get(name)
        if registration is None:
            raise RoomError(ErrorCode.NO_SUCH_ROOM, self.unknown(name))
        return registration

    def unknown(self, name: str) -> str:
        """What there is to say of a name that isn't registered."""
        said = f"no rooms are registered as {name[:_SHOWN]!r}"
        if not self.isDebug:
            return said
        names = ", ".join(repr(each[:_SHOWN]) for each in islice(self, 4)) or "nothing"
        return f"{said}; registered: {names}{', ...' if len(self) > 4 else ''}"
