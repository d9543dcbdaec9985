"""
The cluster: all servers that share rooms, as one of them sees it.

With the memory engine, a server is a cluster of its own.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, TimeoutError, gatherResults
from twisted.internet.interfaces import IReactorTime

from ..core.awaitables import begun, firstFailure
from ..core.codes import ErrorCode
from ..protocol import payload
from ..protocol.errors import RoomError
from ..rooms.application import RoomApplication
from ..rooms.contract.asks import (
    Change,
    Command,
    Created,
    Inspect,
    Keyed,
    Kick,
    Once,
    SendTo,
    keyedRoom,
    unanswered,
)
from ..rooms.contract.listing import Listing
from ..rooms.contract.ports import ASK_SECONDS, NO_SUCH_ID, EngineService
from ..rooms.owner.broadcaster import checkType
from ..rooms.plain import plainOptions
from .nodecalls import NodeAnswers, NodeFunctions
from .strandedrooms import FoundStranded, StrandedQuestion

#: How many rooms are asked at the same time.
AT_ONCE = 200
#: After how many rooms that have not answered the other rooms of a node are not asked any more.
FAILURES = 2
#: The most members that a room is asked for; it tells as many as fit into an answer.
MAX_MEMBERS = 1_000_000


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
    #: Whether it gives its rooms to other nodes, and takes none.
    isLeaving: bool = False


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
        functions: What nodes may ask one another.
    """

    def __init__(
        self,
        engine: Callable[[], EngineService],
        applications: Callable[[], list[RoomApplication]],
        clock: IReactorTime,
        functions: NodeFunctions,
    ) -> None:
        self._engine = engine
        self._applications = applications
        self._clock = clock
        self._functions = functions
        self._stranded = StrandedQuestion(functions, lambda: self._engine().stranded())

    def answerNode(self, name: str, function: Callable[[Any], Any]) -> None:
        """
        Let all nodes call a function of this one, with `askNode` and `askNodes`.

        Register it on each node before the server starts. Names that begin with "txroom." are the server's
        own.

        Args:
            name: The name of the function, of 1 to 64 characters.
            function: It gets the argument, and returns plain data, or a Deferred or coroutine of it, of up to
                1 MiB when it is encoded. If it raises `RoomError`, the caller gets that; other exceptions are
                logged. After five seconds it is cancelled.

        Raises:
            TypeError: The name is no text.
            ValueError: The name is empty or too long, or there is a function of that name.
        """
        self._functions.answerNode(name, function)

    def askNode(self, node: str, name: str, args: Any = None) -> Deferred[Any]:
        """
        Call a function of a node, which may be this one.

        Args:
            node: The id of the node (`ClusterNodeInfo.id`).
            name: The name of the function, as `answerNode` has registered it there.
            args: Its argument: plain data, of up to 64 KiB when it is encoded.

        Returns:
            A Deferred of the answer. It fails with `RoomError`: `unknownType` if the node has no function of
            that name, because it has another version, for example; `tooLarge` if the answer has more than
            1 MiB; `internal` if the function has raised an exception; the `RoomError` of the function; and
            `unavailable` if there is no such node, if it has not answered within five seconds, or if it has
            100 questions of this server to answer already. Then ``details["mayHaveHappened"]`` says whether
            the function may have been called.

        Raises:
            TypeError: The node or the name is no text, or the argument can't be encoded.
            ValueError: The name is empty or too long, or the argument is too large.
        """
        return self._functions.askNode(node, name, args)

    def askNodes(self, name: str, args: Any = None) -> Deferred[NodeAnswers]:
        """
        Call a function of all nodes, this one too; see `askNode`.

        Returns:
            A Deferred of the `NodeAnswers`: the answers by the ids of the nodes, and the nodes that have not
            answered or have answered with an error.

        Raises:
            TypeError: As for `askNode`.
            ValueError: As for `askNode`.
        """
        return self._functions.askNodes(name, args)

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
            about = node.host, node.pid, node.isLeaving
            found.append(ClusterNodeInfo(node.id, not index, len(own), clients, *about))
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
        answers = await self._ask(rooms, lambda each: _membersOf(each, userId), until)
        members = [
            ClusterMember(each["member"], each["userId"], room, places[room], each["isConnected"])
            for room, described in answers.done.items()
            for each in described
            if userId in (None, each["userId"])
        ]
        return FoundMembers(members, answers.unanswered)

    def ask(self, room: str, command: Command, once: Once | None = None) -> Deferred[Any]:
        """
        Let a room carry out a command, on whichever node it is.

        Args:
            room: The room's id.
            command: One of the commands of `txroom.rooms.contract.asks`.
            once: If it is given, the command is carried out only once, however often it is asked for, and
                each time has the same answer; see `Once`.

        Returns:
            A Deferred of the answer, which is plain data. It fails with `RoomError`: `noSuchRoom` if there is
            no room of that id or if it is ending, `unavailable` if the room can't be reached. Then
            ``details["mayHaveHappened"]`` says whether it may have carried out the command. The code is
            `tooLarge` if the room is at another server and the answer has more than 4 MiB.

        Raises:
            TypeError: The id is no text, or `once` is given for a command that changes nothing.
        """
        payload.checkText("room", room)
        if once is not None:
            if not isinstance(command, Change):
                raise TypeError(f"once: {type(command).__name__} changes nothing, so it may be repeated")
            command = Keyed(once, command)
        return begun(self._askOne(room, command))

    async def _askOne(self, room: str, command: Command) -> Any:
        missing: RoomError | None = None
        for application in self._applications():
            try:
                return await application.engine.ask(room, command)
            except RoomError as error:
                if error.code != ErrorCode.NO_SUCH_ROOM:
                    raise
                missing = error
        raise missing or RoomError(ErrorCode.NO_SUCH_ROOM, NO_SUCH_ID)

    def create(
        self, name: str, options: Mapping[str, Any] | None = None, once: Once | None = None
    ) -> Deferred[str]:
        """
        Create a room, at this server.

        Args:
            name: The name that it is registered under.
            options: Its options; the registered ones override them.
            once: If it is given, a request that is repeated with the same key, at any server, gets the room
                that there is; with another name or digest, it is refused. The key should be random, since the
                room's id can be computed from it.

        Returns:
            A Deferred of the room's id, which fires when the room is open, and with a key when that is
            committed. It fails with the errors of `RoomApplication.createRoom`, and those of `Once`. For a
            day after the room has ended, a request with its key gets `roomGone`.

        Raises:
            TypeError: The options are no mapping, or no plain data.
        """
        payload.checkText("name", name)
        if not isinstance(options, Mapping | None):
            raise TypeError(f"options={options!r}: must be a mapping, such as {{'mode': 'blitz'}}")
        return Deferred.fromCoroutine(self._create(name, plainOptions(options or {}), once))

    async def _create(self, name: str, options: Mapping[str, Any], once: Once | None) -> str:
        applications = self._applications()
        serving = [each for each in applications if name in each.registrations] or applications[:1]
        if not serving:
            raise RoomError(ErrorCode.NO_SUCH_ROOM)
        engine = serving[0].engine
        if once is None:
            return await engine.create(name, options)
        room = keyedRoom(once.key)
        digest = sha256(f"{len(name)} {name} ".encode() + once.digest).digest()
        try:
            await self._askOne(room, Created(digest))
        except RoomError as error:
            if error.code != ErrorCode.NO_SUCH_ROOM:
                raise
            await engine.create(name, options, Once(once.key, digest))
            await engine.ask(room, Created(digest))  # fires when it is committed
        return room

    def stranded(self) -> Deferred[FoundStranded]:
        """
        Return the rooms that servers could not open, and that no server has.

        Their `Room.load` has raised an exception, or their name isn't registered, for example. Their data is
        kept, and servers try again; see the option ``orphanSeconds`` of `RedisEngine`.

        Returns:
            A Deferred of the `FoundStranded`.
        """
        return self._stranded.ask()

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
            TypeError: The type is no string, or the data can't be encoded.
            ValueError: The type is empty or has more than 128 characters, or the data can't be sent.
        """
        checkType(type)
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
        rooms = await self.rooms(name)
        return await self._ask(rooms, lambda each: _ask(each, command), until)

    async def _ask(
        self, rooms: Iterable[ClusterRoom], ask: Callable[[ClusterRoom], Awaitable[Any]], until: float
    ) -> Answers:
        """
        Ask rooms by a function, some at a time, until that time.

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
                    done[room] = await ask(each)
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


def _ask(room: ClusterRoom, command: Command) -> Deferred[Any]:
    return room.application.engine.ask(room.listing.room, command)


async def _membersOf(room: ClusterRoom, userId: str | None) -> list[Any]:
    """Describe all members of a room, or those of one user; a large room is asked more than once."""
    found: list[Any] = []
    after: str | None = ""
    while after is not None:
        answer = await _ask(room, Inspect(MAX_MEMBERS, userId, after, isBrief=True))
        found += answer["members"]
        after = answer.get("next")  # a node of an earlier version tells all at once
    return found


def _unavailable(result: object, seconds: float) -> Any:
    """The listings of rooms have not been read in time."""
    raise unanswered(False)
