"""
The counters of a server, which its metrics and its statistics show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from ..core.meters import COUNTS, Histogram
from ..rooms.application import RoomApplication
from ..rooms.contract.meters import EngineMeters
from ..rooms.meters import RoomMeters
from ..rooms.owner.directory import Rooms
from ..wire.context import WireContext
from .connections import Connections

#: The result of an upgrade that succeeded, in `Meters.upgrades`.
OK = "ok"


class Meters:
    """
    What a server has done since it was made, and how much it has now. It counts this process only.

    Nothing is copied or summed up before it is asked for.

    Args:
        connections: The connections of the server.
        context: The counters of messages.
        applications: Returns the applications with rooms.
        engine: Returns the counters of the engine.
        startTiming: Lets the applications with rooms time their handlers.
    """

    def __init__(
        self,
        connections: Connections,
        context: WireContext,
        applications: Callable[[], Iterable[RoomApplication]],
        engine: Callable[[], EngineMeters],
        startTiming: Callable[[], None],
    ) -> None:
        self._connections = connections
        self._context = context
        self._applications = applications
        self._engine = engine
        self._startTiming = startTiming

    # -- connections

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return self._connections.stats().active

    @property
    def connectionsOpened(self) -> int:
        """The number of connections that were opened."""
        return self._connections.stats().total

    @property
    def upgrades(self) -> dict[str, int]:
        """The number of upgrades by their result: "ok", or the reason of the `UpgradeError`."""
        stats = self._connections.stats()
        return {OK: stats.total, **stats.rejected}

    @property
    def closes(self) -> dict[int, int]:
        """The number of connections that were closed, by the code that `onDisconnect` got."""
        return dict(self._context.closes)

    @property
    def writes(self) -> Histogram:
        """
        The frames of each write to a connection at the end of a read or of a turn. Frames that are written
        before, because they are long or many, don't count.
        """
        return self._context.turn.writes

    @property
    def pingTimes(self) -> Histogram:
        """The seconds from the pings of the heartbeat to their answers."""
        return self._context.pingTimes

    # -- messages

    @property
    def messagesReceived(self) -> int:
        """The number of messages of clients."""
        return self._context.messagesReceived

    @property
    def bytesReceived(self) -> int:
        """The bytes of these messages, without frames and compression."""
        return self._context.bytesReceived

    @property
    def messagesSent(self) -> int:
        """The number of messages that were sent, once for each client."""
        return self._context.messagesSent

    @property
    def bytesSent(self) -> int:
        """The bytes of these messages, without frames and compression."""
        return self._context.bytesSent

    @property
    def messagesDropped(self) -> int:
        """
        The number of messages that were not sent because a client read too slowly, volatile ones of rooms
        included.
        """
        return self._context.messagesDropped + sum(each.volatileDropped for each in self._rooms)

    # -- rooms

    @property
    def joins(self) -> dict[str, int]:
        """The number of joins by their result: "ok", the code of the error, or "other" for a room's own."""
        return dict(sum((each.joins for each in self._rooms), Counter()))

    @property
    def resumes(self) -> dict[str, int]:
        """
        The number of resumes by their result: "recovered" if all missed messages were kept, "notRecovered" if
        not, otherwise as for `joins`.
        """
        return dict(sum((each.resumes for each in self._rooms), Counter()))

    @property
    def slowConsumers(self) -> int:
        """The number of connections that were closed with 4102, because the client read too slowly."""
        return sum(each.slowConsumers for each in self._rooms)

    @property
    def lives(self) -> dict[str, int]:
        """
        The number of events in the lives of rooms and members, by name: create, adopt, refound, move, lose,
        dispose; join, drop, resume, leave.
        """
        return dict(sum((each.lives for each in self._rooms), Counter()))

    @property
    def messagesRecovered(self) -> int:
        """The number of messages that were sent again to clients that resumed."""
        return sum(each.messagesRecovered for each in self._rooms)

    @property
    def bytesRecovered(self) -> int:
        """The bytes of the data of these messages."""
        return sum(each.bytesRecovered for each in self._rooms)

    @property
    def rooms(self) -> dict[str, int]:
        """The number of rooms that this process has, for each registered name."""
        return self._byName(lambda rooms, name: len(rooms.named(name)))

    @property
    def members(self) -> dict[str, int]:
        """The number of members of these rooms, connected or not, for each registered name."""
        return self._byName(Rooms.memberCount)

    # -- what is counted only after `startTiming`

    def startTiming(self) -> None:
        """
        Time the handlers of rooms, and count the recipients of their broadcasts, in rooms that are made from
        now on.
        """
        self._startTiming()

    @property
    def handlerTimes(self) -> dict[tuple[str, str], Histogram]:
        """
        The seconds that handlers took until their result was there, by the name of the room and the type of
        message; "other" for the types that `onMessage` takes.
        """
        total: dict[tuple[str, str], Histogram] = {}
        for each in self._rooms:
            for key, times in each.handlerTimes.items():
                total.setdefault(key, Histogram(times.bounds)).add(times)
        return total

    @property
    def recipients(self) -> Histogram:
        """The clients that each broadcast was sent to."""
        total = Histogram(COUNTS)
        for each in self._rooms:
            if each.recipients is not None:
                total.add(each.recipients)
        return total

    # -- the engine

    @property
    def engine(self) -> EngineMeters:
        """The counters of the engine."""
        return self._engine()

    def _byName(self, countOf: Callable[[Rooms, str], int]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for application in self._applications():
            for name in application.registrations:
                counts[name] = counts.get(name, 0) + countOf(application.rooms, name)
        return counts

    @property
    def _rooms(self) -> list[RoomMeters]:
        return [application.meters for application in self._applications()]
