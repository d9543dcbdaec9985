"""
The registry: which names there are, which class serves each, and how its rooms are matched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Self

from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.awaitables import isAsync, toDeferred
from ..core.codes import ErrorCode
from ..core.validation import isCount
from ..protocol.errors import RoomError
from ..protocol.joinoptions import AUTH, SEAT, without
from .api.handlers import handlersOf
from .api.room import Room
from .api.settings import SETTINGS, checkSettings
from .api.validation import (
    canBeCalled,
    checkNames,
    checkRegistered,
    warnOfFields,
    warnOfMistakes,
    warnOfOptions,
)
from .contract.listing import Order
from .matching import Filters, orderOf

#: Most rooms of one name at a time, unless its registration says something else: an empty one costs 11 KiB.
MAX_ROOMS = 10_000
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
        maxRooms: int = MAX_ROOMS,
        clientsMayCreate: bool = True,
    ) -> None:
        checkRegistered(name, roomClass)
        if not isCount(maxRooms):
            raise ValueError(f"maxRooms={maxRooms!r}: must be a whole number, 0 or more")
        if not isinstance(clientsMayCreate, bool):
            raise ValueError(f"clientsMayCreate={clientsMayCreate!r}: must be True or False")
        self.name = name
        self.roomClass = roomClass
        self.options = dict(options)
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
        self._filters = Filters()
        #: In which order rooms are tried and listed.
        self.order: Order = ()
        self._listeners: dict[str, list[Callable[..., Any]]] = {event: [] for event in EVENTS}

    def __repr__(self) -> str:
        return f"<Registration {self.name} {self.roomClass.__name__}>"

    def filterBy(self, *options: str | Iterable[str], **types: type) -> Self:
        """
        Only put clients together that ask for the same value of each of these options.

        `filterBy("mode", "map")` takes texts, numbers, `True` and `False`, which are three kinds: 1, "1" and
        `True` are never the same, 1 and 1.0 are. `filterBy(level=int)` takes whole numbers only (or `str`,
        `float`, `bool`), and also makes them of the texts that come with a path such as
        `/rooms/chat?level=1`. A client that asks for anything else is answered with `badRequest`. Another
        call adds to the first.

        Raises `TypeError` for what is no name or type, `ValueError` if the registered options have a value
        that can't be filtered by.
        """
        self._filters.add(options, types)
        for secret in (AUTH, SEAT):
            if secret in self._filters:
                raise ValueError(f"filterBy: {secret!r} is the client's own, rooms don't have it")
        try:
            self._filters.typed(self.options)
        except RoomError as error:
            raise ValueError(f"register({self.name!r}, ...).filterBy: {error.message}") from None
        return self

    def sortBy(self, order: Mapping[str, int] | None = None, /, **fields: int) -> Self:
        """
        Which room is tried first: 1 for the least, -1 for the greatest value of a field.

        A field is one of `clients`, `maxClients` or `age`, a filtered option, or in the metadata. Default:
        the oldest. `sortBy(clients=-1, level=1)` or `sortBy({"clients": -1, "level": 1})`; another call
        begins anew. Values of different kinds are not compared: rooms without a value come first, then those
        with `False` and `True`, with numbers, with texts. Raises `TypeError` and `ValueError` for anything
        else.
        """
        if not isinstance(order, Mapping | None):
            raise TypeError(f"sortBy({order!r}): which is first, the least or the most? sortBy({order}=1)")
        self.order = orderOf({**(order or {}), **fields})
        warnOfFields(self.order)
        return self

    def on(self, event: str, listener: Callable[..., Any]) -> Self:
        """
        Call `listener(room)`, or `listener(room, client)`, at an event (`EVENTS`).

        It may be asynchronous; nothing waits for it. "leave" comes once after each "join" here. Raises
        `ValueError` for another event, `TypeError` for what can't be called so.
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

    def optionsOf(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """
        What a room is made with: what the client asked for, overlaid by what the server says.

        What shows who the client is it keeps for itself: the options of a room are no secret.
        """
        return {**without(asked, AUTH, SEAT), **self.options}

    def typed(self, options: Mapping[str, Any], isText: bool = False) -> dict[str, Any]:
        """
        Options, those that are filtered by as their types say; `isText`: they come from a query string.

        Raises `RoomError` (`badRequest`) for one that can't be filtered by.
        """
        return self._filters.typed(options, isText)

    def filtersOf(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that are filtered by, with their values; `None` for those that are missing."""
        return self._filters.valuesOf(options)


class Registrations(dict[str, Registration]):
    """All that is registered, by name."""

    #: Whether who asks for an unknown name is told of those that there are.
    isDebug = False

    def find(self, name: str) -> Registration:
        """What is registered as `name`. Raises `RoomError`."""
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


#: Characters of a name that are shown: what is said of a path has to fit 200 bytes.
_SHOWN = 32
