"""
The cluster: all servers that share rooms, as one of them sees it.

With the memory engine, a server is a cluster of its own.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, TimeoutError, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime

from ..core.awaitables import firstFailure
from ..core.codes import ErrorCode
from ..protocol import payload
from ..protocol.errors import RoomError
from ..rooms.application import RoomApplication
from ..rooms.contract.asks import Command, Inspect, Kick, SendTo, unanswered
from ..rooms.contract.listing import Listing
from ..rooms.contract.ports import ASK_SECONDS, EngineService, StrandedRoom

#: How many rooms are asked at the same time.
AT_ONCE = 200
#: After how many rooms that have not answered the other rooms of a node are not asked any more.
FAILURES = 2


class ClusterNodeInfo(NamedTuple):
    """A node: one of the servers that share rooms."""

    #: Its id, which is new at each start.
    id: str
    #: Whether it is this server.
    isThis: bool
    #: The number of its rooms, and of the clients in them.
    rooms: int
    clients: int
    #: The name of its host, and the id of its process there; empty and 0 for a node that has just started.
    host: str = ""
    pid: int = 0


class ClusterRoom(NamedTuple):
    """A room, and where it is."""

    listing: Listing
    #: The id of the node that has it.
    node: str
    #: The application that serves it.
    application: RoomApplication


class ClusterMember(NamedTuple):
    """A member of a room, and where the room is."""

    member: str
    userId: str
    room: str
    node: str
    #: Whether its client is connected; if not, it may still resume.
    isConnected: bool


class FoundMembers(NamedTuple):
    """Members of rooms."""

    members: list[ClusterMember]
    #: The nodes of rooms that have not answered, whose members may be missing.
    unanswered: tuple[str, ...]


class Answers(NamedTuple):
    """The answers of rooms that were asked."""

    #: The answers of the rooms that have answered, by the ids of the rooms.
    done: dict[str, Any]
    #: The nodes of rooms that have not answered, or have answered with an error.
    unanswered: tuple[str, ...]


class Cluster:
    """
    All servers that share rooms; `Server.cluster`.

    What it says of other servers may be some moments old. All its methods end within five seconds. Those that
    ask rooms name the nodes of the rooms that have not answered until then; such a room may have done what
    was asked, or not.

    Args:
        engine: Returns the engine.
        applications: Returns the applications with rooms in it.
        clock: The clock.
    """

    def __init__(
        self,
        engine: Callable[[], EngineService],
        applications: Callable[[], list[RoomApplication]],
        clock: IReactorTime,
    ) -> None:
        self._engine = engine
        self._applications = applications
        self._clock = clock

    def nodes(self) -> Deferred[list[ClusterNodeInfo]]:
        """
        Return the nodes that are alive, this one first.

        Returns:
            A Deferred of the nodes. It fails with `RoomError` (`unavailable`) if Redis can't be reached.
        """
        return Deferred.fromCoroutine(self._nodes())

    async def _nodes(self) -> list[ClusterNodeInfo]:
        rooms = await self.rooms()
        found = []
        for index, node in enumerate(self._engine().nodes()):
            own = [each.listing for each in rooms if each.node == node.id]
            clients = sum(each.clients for each in own)
            found.append(ClusterNodeInfo(node.id, not index, len(own), clients, node.host, node.pid))
        return found

    def rooms(self, name: str | None = None) -> Deferred[list[ClusterRoom]]:
        """
        Return all rooms, private ones too, and where they are.

        Args:
            name: The name that they are registered under; `None`: all names.

        Returns:
            A Deferred of the rooms. It fails with `RoomError` (`unavailable`) if Redis can't be reached.
        """
        found = Deferred.fromCoroutine(self._rooms(name))
        return found.addTimeout(ASK_SECONDS, self._clock, _unavailable)

    async def _rooms(self, name: str | None) -> list[ClusterRoom]:
        found = []
        for application in self._applications():
            for each in application.registrations:
                if name in (None, each):
                    listed = await application.engine.listed(each)
                    found += [ClusterRoom(listing, node, application) for listing, node in listed]
        return found

    def members(self, userId: str | None = None) -> Deferred[FoundMembers]:
        """
        Return the members of all rooms, or those of one user.

        It asks each room, so don't call it often if there are many.

        Args:
            userId: The id of the user (`Client.userId`); `None`: all members.

        Returns:
            A Deferred of the `FoundMembers`. It fails with `RoomError` (`unavailable`) if Redis can't be
            reached.
        """
        return Deferred.fromCoroutine(self._members(userId))

    async def _members(self, userId: str | None) -> FoundMembers:
        until = self._clock.seconds() + ASK_SECONDS
        rooms = await self.rooms()
        places = {each.listing.room: each.node for each in rooms}
        answers = await self._ask(rooms, Inspect(limit=1_000_000), until)
        members = [
            ClusterMember(each["member"], each["userId"], room, places[room], each["isConnected"])
            for room, described in answers.done.items()
            for each in described["members"]
            if userId in (None, each["userId"])
        ]
        return FoundMembers(members, answers.unanswered)

    def stranded(self) -> Deferred[list[StrandedRoom]]:
        """
        Return the rooms that this server could not open, and that no other server has.

        Their `Room.load` has raised an exception, or their name isn't registered here, for example. Their
        data is kept, and servers try again; see the option ``orphanSeconds`` of `RedisEngine`.

        Returns:
            A Deferred of the rooms, which has fired.
        """
        return succeed(self._engine().stranded())

    def broadcast(self, name: str, type: str, data: Any = None) -> Deferred[Answers]:
        """
        Broadcast a message in all rooms of a name, on all nodes.

        Args:
            name: The name that the rooms are registered under.
            type: The type of the message.
            data: Its data.

        Returns:
            A Deferred of the `Answers`: the offset of the message in each room.

        Raises:
            TypeError: The data can't be encoded.
        """
        return Deferred.fromCoroutine(self._askAll(name, SendTo(type, payload.encode(data))))

    def disconnect(self, userId: str, reason: str = "") -> Deferred[Answers]:
        """
        Make a user leave all rooms, on all nodes, as `Client.kick` does.

        Args:
            userId: The id of the user (`Client.userId`).
            reason: The text for its clients.

        Returns:
            A Deferred of the `Answers`: how many members have left each room, if any.
        """
        payload.checkText("userId", userId)
        return Deferred.fromCoroutine(self._kick(Kick(userId=userId, reason=reason)))

    async def _kick(self, kick: Kick) -> Answers:
        answers = await self._askAll(None, kick)
        kicked = {room: number for room, number in answers.done.items() if number}
        return Answers(kicked, answers.unanswered)

    async def _askAll(self, name: str | None, command: Command) -> Answers:
        until = self._clock.seconds() + ASK_SECONDS
        return await self._ask(await self.rooms(name), command, until)

    async def _ask(self, rooms: Iterable[ClusterRoom], command: Command, until: float) -> Answers:
        """
        Ask rooms, some at a time, until that time.

        The rooms of a node aren't asked any more when `FAILURES` of them have not answered.
        """
        waiting = deque(rooms)
        #: The nodes of the rooms that have not answered.
        missing = {each.listing.room: each.node for each in waiting}
        done: dict[str, Any] = {}
        failures: Counter[str] = Counter()

        async def work() -> None:
            while waiting:
                each = waiting.popleft()
                if failures[each.node] >= FAILURES:
                    continue
                room = each.listing.room
                try:
                    done[room] = await each.application.engine.ask(room, command)
                    del missing[room]
                except RoomError as error:
                    if error.code == ErrorCode.NO_SUCH_ROOM:  # it has just ended
                        del missing[room]
                    else:
                        failures[each.node] += 1

        workers = [Deferred.fromCoroutine(work()) for _ in range(min(AT_ONCE, len(waiting)))]
        worked: Deferred[Any] = gatherResults(workers, consumeErrors=True).addErrback(firstFailure)
        try:
            await worked.addTimeout(max(0.0, until - self._clock.seconds()), self._clock)
        except TimeoutError:
            waiting.clear()
        return Answers(done, tuple(dict.fromkeys(missing.values())))


def _unavailable(result: object, seconds: float) -> Any:
    """The listings of rooms have not been read in time."""
    raise unanswered(False)
