"""
Registrations: the names of rooms, each with its class, options and listeners.
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
from . import hooks
from .api.handlers import handlersOf
from .api.room import Room
from .api.roomhooks import isSaved
from .api.settings import SETTINGS, checkSettings
from .api.signatures import canBeCalled
from .api.stateclass import stateClassOf
from .api.validation import checkNames, checkRegistered, warnOfMistakes, warnOfOptions
from .matching import Matching

#: The default of `maxRooms`. An empty room takes 11 KiB.
MAX_ROOMS = 10_000
#: The most characters of a name in the message of an error, which must have at most 200 bytes.
_SHOWN = 32
#: The events of a registration, with the arguments of their listeners.
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
    A name under which rooms are created, like Colyseus's `RegisteredHandler`.

    Args:
        name: The name.
        roomClass: The class of the rooms.
        options: Options that override those of clients when a room is created. Those that are settings of
            `Room`, such as `maxClients`, are also set on the rooms.
        maxRooms: The most rooms of this name at a time; 0: any number.
        clientsMayCreate: Whether clients may create rooms.

    Raises:
        TypeError: The class is not a subclass of `Room`, or has a wrong handler; or it has only one of the
            hooks `save` and `load`, or is `exact` without them.
        ValueError: A setting is out of range.
    """

    _log = Logger()
    #: Whether debugging is on: clients are told the texts of errors in its rooms.
    tellsErrors = False

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
        #: The most rooms of this name at a time; 0: any number.
        self.maxRooms = maxRooms
        #: Whether clients may create rooms; if not, they join rooms that the server has created.
        self.clientsMayCreate = clientsMayCreate
        settings = self._settings = {name: options[name] for name in options if name in SETTINGS}
        checkSettings(roomClass.__name__, lambda each: settings.get(each, getattr(roomClass, each)))
        #: The class of the rooms' state; `None`: they declare none.
        self.stateClass = stateClassOf(roomClass, Room)
        if settings.get("exact", roomClass.exact) and not (isSaved(roomClass) or self.stateClass):
            raise TypeError(f"{roomClass.__name__}.exact=True: must have save() and load(), or a state")
        self._listeners: dict[str, list[Callable[..., Any]]] = {event: [] for event in EVENTS}

    def __repr__(self) -> str:
        return f"<Registration {self.name} {self.roomClass.__name__}>"

    def on(self, event: str, listener: Callable[..., Any]) -> Self:
        """
        Call a listener at an event.

        Each "join" is followed by one "leave".

        Args:
            event: "create", "dispose", "lock" or "unlock", whose listeners get the room; "join" or "leave",
                whose listeners get the room and the client.
            listener: The listener. It may be asynchronous, but nothing waits for it.

        Returns:
            The registration itself.

        Raises:
            ValueError: There is no such event.
            TypeError: The listener can't be called with these arguments.
        """
        if event not in EVENTS:
            raise ValueError(f"{event!r}: must be one of {', '.join(EVENTS)}")
        if not callable(listener):
            raise TypeError(f"listener={listener!r}: must be a function, without ()")
        if not canBeCalled(listener, EVENTS[event].split(", ")):
            raise TypeError(f"listener={listener!r}: can't be called with ({EVENTS[event]})")
        self._listeners[event].append(listener)
        return self

    def notCreated(self, error: BaseException) -> RoomError:
        """Return the error for clients if the constructor of the class has raised `error`."""
        return hooks.notCreated(
            hooks.describeError(self.roomClass.__name__, error) if self.tellsErrors else ""
        )

    def hasListeners(self, event: str) -> bool:
        """Return whether an event has listeners."""
        return bool(self._listeners[event])

    def tell(self, event: str, *args: Any) -> None:
        """Call the listeners of an event."""
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
        """Make a room; `onCreate` has yet to be called."""
        room = self.roomClass()
        for name, value in self._settings.items():
            setattr(room, name, value)
        return room

    @property
    def seats(self) -> int:
        """
        The number of clients that a new room is expected to take, by its settings (0: any number). Its
        `onCreate` may change the number.
        """
        return int(self._settings.get("maxClients", self.roomClass.maxClients))


class Registrations(dict[str, Registration]):
    """All registrations, by name."""

    #: Whether debugging is on: the error for an unknown name lists the registered ones.
    tellsErrors = False

    def add(self, registration: Registration) -> None:
        """Add a registration under its name."""
        registration.tellsErrors = self.tellsErrors
        self[registration.name] = registration

    def tellErrors(self, isOn: bool) -> None:
        """Let errors tell clients more, or not, for all registrations."""
        self.tellsErrors = isOn
        for registration in self.values():
            registration.tellsErrors = isOn

    def find(self, name: str) -> Registration:
        """Return the registration of a name. Raises `RoomError` (`noSuchRoom`)."""
        registration = self.get(name)
        if registration is None:
            raise RoomError(ErrorCode.NO_SUCH_ROOM, self.unknown(name))
        return registration

    def unknown(self, name: str) -> str:
        """Return the message of the error for a name that isn't registered."""
        said = f"no rooms are registered as {name[:_SHOWN]!r}"
        if not self.tellsErrors:
            return said
        names = ", ".join(repr(each[:_SHOWN]) for each in islice(self, 4)) or "nothing"
        return f"{said}; registered: {names}{', ...' if len(self) > 4 else ''}"
