"""
The kit's client of rooms: ``txroom.client``'s own, on a network in memory that the test can spoil.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..client import ClientOptions, ClientState, Loss, Member, Room, RoomState, Sent
from ..client.baseclient import BaseClient
from ..client.connection import Attempt, WebSocket
from ..client.transport import Connector
from ..protocol.clientframes import CLIENT_KINDS
from ..protocol.serverframes import SERVER_KINDS
from .clients import CloseInfo, MemoryEndpoint
from .faults import Faults, FaultyWebSocket
from .network import MemoryReactor

Result = TypeVar("Result")


def resultOf(clock: MemoryReactor, deferred: Deferred[Result], what: str) -> Result:
    """The result of a Deferred that needs no more time; raises what it fails with."""
    results: list[Result | Failure] = []
    deferred.addBoth(results.append)
    clock.flush()
    if not results:
        raise AssertionError(f"{what}: nothing came of it yet")
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


class RoomClient:
    """
    A client of rooms; made by `RoomHarness.client`.

    It is that of ``txroom.client``: it connects at its first join, and when it loses the connection it comes
    back by itself as time passes, resumes its rooms and sends again what was not acknowledged. Its waits
    have no chance in them: 0.25 s, 0.5 s, 1 s, ... What it does has had all its effects when a call returns.
    """

    def __init__(
        self, clock: MemoryReactor, endpoint: MemoryEndpoint, url: str, options: ClientOptions
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        #: What becomes of the frames that it sends.
        self.outgoing = Faults(CLIENT_KINDS)
        #: What becomes of the frames that come.
        self.incoming = Faults(SERVER_KINDS)
        self._connector = Connector(url, endpoint, clock, options)
        #: The client of ``txroom.client``, for what isn't offered here.
        self.client = BaseClient(self._connect, clock, Room, options)

    def _connect(self, attempt: Attempt) -> WebSocket:
        return FaultyWebSocket(attempt, self._connector, self.outgoing, self.incoming, self._clock)

    def __repr__(self) -> str:
        return f"<RoomClient {self.state.value}>"

    @property
    def state(self) -> ClientState:
        """What it is about: "idle", "connecting", "open", "waiting" to connect again, "closed"."""
        return self.client.state

    # -- joining

    def join(self, name: str, /, **options: Any) -> JoinedRoom:
        """
        Join a room of that name, a new one if there is none with a seat; as the frame "join" does.

        Raises the server's `RoomError`, and `AssertionError` if there is no answer yet: where a hook takes
        its time use `joining`.
        """
        return self._result(self.joining(name, **options), f"join({name!r})")

    def joining(self, name: str, /, **options: Any) -> Deferred[JoinedRoom]:
        """The same, but doesn't insist on an answer: let time pass, then look."""
        return self._begin(self.client.joinOrCreate(name, options))

    def joinOnly(self, name: str, /, **options: Any) -> JoinedRoom:
        """Join a room of that name that exists."""
        return self._result(self._begin(self.client.join(name, options)), f"joinOnly({name!r})")

    def create(self, name: str, /, **options: Any) -> JoinedRoom:
        """Make a new room of that name and join it."""
        return self._result(self._begin(self.client.create(name, options)), f"create({name!r})")

    def joinById(self, id: str, /, **options: Any) -> JoinedRoom:
        """Join the room of that id."""
        return self._result(self._begin(self.client.joinById(id, options)), f"joinById({id!r})")

    def query(self, name: str | None = None, /, **filter: Any) -> list[dict[str, Any]]:
        """
        The rooms of that name, or of any, that match: `{room, name, clients, maxClients, locked, metadata}`.
        """
        return self._result(self.client.query(name, filter), f"query({name!r})")

    def rooms(self, name: str | None = None, /, **filter: Any) -> list[dict[str, Any]]:
        """The same as `query`."""
        return self.query(name, **filter)

    def _begin(self, joining: Deferred[Room]) -> Deferred[JoinedRoom]:
        joined = joining.addCallback(self._joined)
        self._clock.flush()
        return joined

    def _joined(self, room: Room) -> JoinedRoom:
        return JoinedRoom(self, room, self._clock)

    def _result(self, deferred: Deferred[Result], what: str) -> Result:
        return resultOf(self._clock, deferred, f"{what} of {self!r}")

    # -- the network

    def drop(self) -> None:
        """Lose the TCP connection: the server sees a reset. The client comes back in 0.25 s."""
        self._endpoint.drop()

    def offline(self) -> None:
        """Lose the TCP connection, and reach nobody until `online`."""
        self._endpoint.isOnline = False
        self.drop()

    def online(self) -> None:
        """Reach the server again, and connect at once if there is anything to do."""
        self._endpoint.isOnline = True
        self.client.reconnect()
        self._clock.flush()

    def stall(self) -> None:
        """
        Read no more from this connection: what the server sends waits in its transport. After its
        heartbeat the client gives the connection up, since it hears nothing.
        """
        self._endpoint.stall()

    def unstall(self, size: int | None = None) -> None:
        """Read again; with `size` only so many bytes, then it stalls as before."""
        self._endpoint.unstall(size)

    def close(self) -> None:
        """Leave all rooms and close the connection, for good."""
        self.client.close()
        self._clock.flush()


class JoinedRoom:
    """
    A room that a `RoomClient` is in.

    What comes is kept until the test asks for it. `room` is the room of ``txroom.client``, for what isn't
    offered here.
    """

    def __init__(self, client: RoomClient, room: Room, clock: MemoryReactor) -> None:
        self._clock = clock
        self.client = client
        self.room = room
        #: The messages that came and were not taken by `expect`: type and data, in order.
        self.messages: list[tuple[str, Any]] = []
        #: What has happened to the membership: "reconnecting", "recovered", "lost", "left", in order.
        self.events: list[str] = []
        #: What came with each "lost".
        self.losses: list[Loss] = []
        #: Who came and who left, at each change of presence; the first is who was here at the join.
        self.presence: list[tuple[list[Member], list[Member]]] = []
        #: The refusals of what was sent with `send`, and what handlers of the room's calls raised. Nobody
        #: looks there but the test, and what `expect` says when it fails.
        self.errors: list[Exception] = []
        #: How the membership ended; `None` while it lasts.
        self.closeInfo: CloseInfo | None = None
        room.onMessage("*", lambda type, data, offset: self.messages.append((type, data)))
        for name in ("reconnecting", "recovered", "lost", "left"):
            room.on(name, partial(self._happened, name))
        room.on("presence", lambda members, joined, left: self.presence.append((joined, left)))
        room.on("error", self.errors.append)

    def _happened(self, name: str, *args: Any) -> None:
        self.events.append(name)
        if name == "lost":
            self.losses.append(args[0])
        elif name == "left":
            self.closeInfo = CloseInfo(*args)

    def __repr__(self) -> str:
        return f"<JoinedRoom {self.name!r} {self.id} {self.state.value}>"

    # -- what it is

    @property
    def id(self) -> str:
        """The id of the room."""
        return self.room.id

    @property
    def name(self) -> str:
        """The name it was registered with."""
        return self.room.name

    @property
    def member(self) -> str:
        """The id of this membership: on the server, of the client."""
        return self.room.member

    @property
    def state(self) -> RoomState:
        """Where the membership is in its life: "joined", "away", "resuming", "left"."""
        return self.room.state

    @property
    def members(self) -> list[Member]:
        """Who is here, if the room has presence: `user` and `metas` of each."""
        return self.room.members

    @property
    def snapshot(self) -> Any:
        """What `Room.snapshot` of the server gave at the last join or loss."""
        return self.room.snapshot

    @property
    def offset(self) -> int:
        """The offset of the last message."""
        return self.room.offset

    @property
    def closeCode(self) -> int | None:
        """The code with which the membership ended; `None` while it lasts."""
        return None if self.closeInfo is None else self.closeInfo.code

    # -- what comes

    def expect(self, type: str) -> Any:
        """
        The data of the next message of that type, which is taken by that.

        Those of other types stay. Raises `AssertionError` if there is none, and tells what came instead.
        """
        for index, (each, data) in enumerate(self.messages):
            if each == type:
                del self.messages[index]
                return data
        raise AssertionError(f"no {type!r} has come; {self._news()}")

    def expectNone(self, type: str | None = None) -> None:
        """Raise `AssertionError` if a message has come, of that type or of any, that was not taken."""
        if any(type in (None, each) for each, _ in self.messages):
            raise AssertionError(
                f"{'nothing' if type is None else f'no {type!r}'} should come; {self._news()}"
            )

    def _news(self) -> str:
        """All that may explain why a test has failed."""
        came = ", ".join(f"{type!r} {data!r}" for type, data in self.messages) or "nothing"
        errors = "".join(f"; error: {error}" for error in self.errors)
        how = "" if self.closeInfo is None else f" ({self.closeInfo.code} {self.closeInfo.reason})".rstrip()
        return f"there is: {came}{errors}; the room is {self.state.value}{how}"

    # -- what it does

    def send(self, type: str, data: Any = None, *, volatile: bool = False) -> Sent:
        """
        Send a message; while away it waits. Raises `RoomError` if it can't be accepted.

        If the server refuses it, that comes to `errors`. What is returned knows when it was acknowledged;
        the server does that within 0.05 s.
        """
        sent = self.room.send(type, data, volatile=volatile)
        self._clock.flush()
        return sent

    def call(self, type: str, data: Any = None) -> Any:
        """
        Ask the room; the answer. Raises the server's `RoomError`, and `AssertionError` if there is no
        answer yet: where the handler takes its time, or the room is away, use `calling`.
        """
        return resultOf(self._clock, self.room.call(type, data), f"call({type!r}) of {self!r}")

    def calling(self, type: str, data: Any = None, *, timeout: float | None = None) -> Deferred[Any]:
        """The same, but doesn't insist on an answer: let time pass, then look."""
        answer = self.room.call(type, data, timeout=timeout)
        self._clock.flush()
        return answer

    def handle(self, type: str, handler: Callable[[Any], Any]) -> None:
        """Answer the room's calls of that type with what `handler(data)` returns, later if it is async."""
        self.room.handle(type, handler)

    def leave(self) -> None:
        """Leave, after what was sent before."""
        self.room.leave()
        self._clock.flush()
