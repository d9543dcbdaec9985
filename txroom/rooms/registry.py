"""
The registry: which names there are, which class serves each, and how its rooms are matched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from twisted.logger import Logger
from twisted.python.failure import Failure

from ..connection import isAsync, toDeferred
from .classes import checkRegistered, warnOfMistakes, warnOfOptions
from .credentials import AUTH, SEAT, without
from .history import History
from .messages import handlersOf
from .room import Room
from .seam import Listing

#: The events of a registration, and what their listeners are called with.
EVENTS = {
    "create": "room",
    "dispose": "room",
    "join": "room, client",
    "leave": "room, client",
    "lock": "room",
    "unlock": "room",
}


class Registration:
    """
    One name under which rooms are made (seed 000: Colyseus `RegisteredHandler`).

    `options` overlay what clients ask for when a room is made; those that are settings of `Room`, such
    as `maxClients`, are set on its rooms too. Raises `TypeError` for a class that is no `Room` or has a
    wrong handler, `ValueError` for a setting out of range.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        roomClass: type[Room],
        options: Mapping[str, Any],
        *,
        maxRooms: int = 0,
        clientsMayCreate: bool = True,
    ) -> None:
        checkRegistered(name, roomClass)
        self.name = name
        self.roomClass = roomClass
        self.options = dict(options)
        self.handlers = handlersOf(roomClass)
        warnOfMistakes(roomClass, self.handlers)
        warnOfOptions(name, options)
        #: Most rooms of this name at a time; 0: any number.
        self.maxRooms = maxRooms
        #: Whether clients may make rooms, or only join those that the server has made.
        self.clientsMayCreate = clientsMayCreate
        self._settings = {name: options[name] for name in options if name in Room.SETTINGS}
        for setting in Room.SETTINGS:
            value = self._settings.get(setting, getattr(roomClass, setting))
            _check(setting, value, f"{roomClass.__name__}.{setting}={value!r}")
        self._filters: tuple[str, ...] = ()
        self._order: tuple[tuple[str, int], ...] = ()
        self._listeners: dict[str, list[Callable[..., Any]]] = {event: [] for event in EVENTS}

    def __repr__(self) -> str:
        return f"<Registration {self.name} {self.roomClass.__name__}>"

    def filterBy(self, *options: str) -> Self:
        """
        Only put clients together that ask for the same value of each of these options.

        The options of a path are texts: who joins by `?level=1` asks for "1", which is not 1.
        """
        self._filters = options
        return self

    def sortBy(self, **fields: int) -> Self:
        """
        Which room is tried first: 1 for the least, -1 for the greatest value of a field.

        A field is one of `clients`, `maxClients` or `age`, a filtered option, or in the metadata. Default:
        the oldest.
        """
        for field, direction in fields.items():
            if direction not in (1, -1):
                raise ValueError(f"{field}={direction!r}: must be 1 or -1")
        self._order = tuple(fields.items())
        return self

    def on(self, event: str, listener: Callable[..., Any]) -> Self:
        """
        Call `listener(room)`, or `listener(room, client)`, at an event (`EVENTS`).

        It may be asynchronous; nothing waits for it. "leave" comes once after each "join" here.
        """
        if event not in EVENTS:
            raise ValueError(f"{event!r}: must be one of {', '.join(EVENTS)}")
        self._listeners[event].append(listener)
        return self

    def tell(self, event: str, *args: Any) -> None:
        """An event has happened."""
        for listener in self._listeners[event]:
            try:
                result = listener(*args)
            except Exception:
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

    def optionsOf(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """
        What a room is made with: what the client asked for, overlaid by what the server says.

        What shows who the client is it keeps for itself: the options of a room are no secret.
        """
        return {**without(asked, AUTH, SEAT), **self.options}

    def filtersOf(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that are filtered by, with their values; `None` for those that are missing."""
        return {name: options.get(name) for name in self._filters}

    def sorted(self, listings: Iterable[Listing]) -> list[Listing]:
        """The order in which rooms are tried."""
        found = sorted(listings, key=lambda listing: listing.age)
        for field, direction in reversed(self._order):
            found.sort(key=lambda listing: _sortKey(_value(listing, field)), reverse=direction < 0)
        return found


def _value(listing: Listing, field: str) -> Any:
    if field in ("clients", "maxClients", "age"):
        return getattr(listing, field)
    return listing.filters.get(field, listing.metadata.get(field))


def _sortKey(value: Any) -> tuple[int, Any]:
    """Values of different types can't be compared; a missing one comes first."""
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    return (2, str(value))


def _check(name: str, value: Any, what: str) -> None:
    """Whether a setting of a room can have that value; else an error that begins with `what`."""
    if name == "history":
        if value is not None and not isinstance(value, History):
            raise ValueError(f"{what}: must be a History or None")
    elif name in ("autoDispose", "presence", "binary"):
        if not isinstance(value, bool):
            raise ValueError(f"{what}: must be True or False")
    elif isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{what}: must be a number, 0 or more")
