"""
The kit's client of rooms: that of ``txroom.client``, on a network in memory that the test controls.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..client import ClientOptions, ClientState, Loss, Member, Room, RoomStatus, Sent
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
    """
    Return the result of a Deferred that must fire without time passing. If it fails, its error is raised.
    """
    results: list[Result | Failure] = []
    deferred.addBoth(results.append)
    clock.flush()
    if not results:
        raise AssertionError(f"{what}: there is no result yet; let time pass with harness.advance()")
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def _taken(arrived: list[tuple[str, Any]], type: str, lack: Callable[[], str]) -> Any:
    """Take the first of that type from a list, and return its data; raise with `lack()` if there is none."""
    for index, (each, data) in enumerate(arrived):
        if each == type:
            del arrived[index]
            return data
    raise AssertionError(lack())


class RoomClient:
    """
    A client of rooms; made by `RoomHarness.client`.

    It is the client of ``txroom.client``: it connects at its first join. When it loses the connection and
    time passes, it reconnects, resumes its rooms and sends again what was not acknowledged. Its delays are
    not random: 0.25 s, 0.5 s, 1 s and so on. When one of its methods returns, all effects of it have
    happened.
    """

    def __init__(
        self, clock: MemoryReactor, endpoint: MemoryEndpoint, url: str, options: ClientOptions
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        #: The faults of the frames that it sends.
        self.outgoing = Faults(CLIENT_KINDS)
        #: The faults of the frames that it receives.
        self.incoming = Faults(SERVER_KINDS)
        self._connector = Connector(url, endpoint, clock, options)
        #: The client of ``txroom.client``, for what this class does not offer.
        self.client = BaseClient(self._connect, clock, Room, options)
        #: The received notifications that `expectNotification` has not taken: type and data, in order.
        self.notifications: list[tuple[str, Any]] = []
        #: How many notifications the server has dropped before this client received them.
        self.droppedNotifications = 0

    def _connect(self, attempt: Attempt) -> WebSocket:
        return FaultyWebSocket(attempt, self._connector, self.outgoing, self.incoming, self._clock)

    def __repr__(self) -> str:
        return f"<RoomClient {self.state.value}>"

    @property
    def state(self) -> ClientState:
        """The state of the connection: "idle", "connecting", "open", "waiting" to connect again, "closed"."""
        return self.client.state

    # -- joining

    def join(self, name: str, /, **options: Any) -> JoinedRoom:
        """
        Join a room of that name; if none has a free seat, create one. It sends the frame "join".

        Raises:
            RoomError: The server refuses.
            AssertionError: There is no answer yet. Use `joining` if a hook takes time.
        """
        return self._result(self.joining(name, **options), f"join({name!r})")

    def joining(self, name: str, /, **options: Any) -> Deferred[JoinedRoom]:
        """Like `join`, but returns a Deferred: use it if time must pass before the answer."""
        return self._begin(self.client.joinOrCreate(name, options))

    def joinOnly(self, name: str, /, **options: Any) -> JoinedRoom:
        """Join an existing room of that name."""
        return self._result(self._begin(self.client.join(name, options)), f"joinOnly({name!r})")

    def create(self, name: str, /, **options: Any) -> JoinedRoom:
        """Create a room of that name and join it."""
        return self._result(self._begin(self.client.create(name, options)), f"create({name!r})")

    def joinById(self, id: str, /, **options: Any) -> JoinedRoom:
        """Join the room with that id."""
        return self._result(self._begin(self.client.joinById(id, options)), f"joinById({id!r})")

    def query(self, name: str | None = None, /, **filter: Any) -> list[dict[str, Any]]:
        """
        List the rooms of that name, or of any, that match: `{room, name, clients, maxClients, locked,
        metadata}`.
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

    # -- notifications

    def listen(self) -> None:
        """
        Ask for the notifications of the user, which `notifications` then has. Without this, the server keeps
        them. Those that have arrived are acknowledged 0.05 s later.
        """
        self.client.on("notifyDropped", self._dropped)
        self.client.on("notify", lambda type, data: self.notifications.append((type, data)))
        self._clock.flush()

    def _dropped(self, count: int) -> None:
        self.droppedNotifications += count

    def expectNotification(self, type: str) -> Any:
        """
        Take the next notification of that type and return its data. Those of other types stay.

        Raises:
            AssertionError: There is none. The text lists those that have arrived instead.
        """
        return _taken(
            self.notifications, type, lambda: f"no notification {type!r} has arrived; {self._news()}"
        )

    def _news(self) -> str:
        came = ", ".join(f"{type!r} {data!r}" for type, data in self.notifications) or "none"
        return f"there is: {came}; the client is {self.state.value}"

    # -- the network

    def drop(self) -> None:
        """Abort the TCP connection: the server sees a reset. The client reconnects after 0.25 s."""
        self._endpoint.drop()

    def offline(self) -> None:
        """Abort the TCP connection; new connections fail until `online`."""
        self._endpoint.isOnline = False
        self.drop()

    def online(self) -> None:
        """Let connections reach the server again, and connect at once if there is anything to do."""
        self._endpoint.isOnline = True
        self.client.reconnect()
        self._clock.flush()

    def stall(self) -> None:
        """
        Stop reading from this connection: what the server sends stays in the buffer of its transport.

        Since the client receives nothing, it gives the connection up after its heartbeat.
        """
        self._endpoint.stall()

    def unstall(self, size: int | None = None) -> None:
        """Read again; with `size`, read only that many bytes and then stop again."""
        self._endpoint.unstall(size)

    def close(self) -> None:
        """Leave all rooms and close the connection for good."""
        self.client.close()
        self._clock.flush()


class JoinedRoom:
    """
    A room that a `RoomClient` has joined. It keeps what it receives until the test asks for it.

    `room` is the room of ``txroom.client``, for what this class does not offer.
    """

    def __init__(self, client: RoomClient, room: Room, clock: MemoryReactor) -> None:
        self._clock = clock
        self.client = client
        self.room = room
        #: The received messages that `expect` has not taken: type and data, in order.
        self.messages: list[tuple[str, Any]] = []
        #: The events of the membership in order: "reconnecting", "recovered", "lost", "left".
        self.events: list[str] = []
        #: The argument of each event "lost".
        self.losses: list[Loss] = []
        #: The members that joined and left, for each change of presence; the first entry has those who were
        #: there at the join.
        self.presence: list[tuple[list[Member], list[Member]]] = []
        #: The errors with which the server refused messages of `send`, and the exceptions of the handlers of
        #: the room's calls. When `expect` fails, its message has them.
        self.errors: list[Exception] = []
        #: How the membership ended; `None` if it has not ended.
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
        return f"<JoinedRoom {self.name!r} {self.id} {self.status.value}>"

    # -- properties

    @property
    def id(self) -> str:
        """The id of the room."""
        return self.room.id

    @property
    def name(self) -> str:
        """The name under which the room is registered."""
        return self.room.name

    @property
    def member(self) -> str:
        """The id of this membership, which is the id of the server's `Client`."""
        return self.room.member

    @property
    def status(self) -> RoomStatus:
        """The status of the membership: "joined", "away", "resuming", "left"."""
        return self.room.status

    @property
    def members(self) -> list[Member]:
        """The members that the client knows, if the room has presence; each has `user` and `metas`."""
        return self.room.members

    @property
    def memberCount(self) -> int:
        """How many members the room has, if it has presence."""
        return self.room.memberCount

    @property
    def snapshot(self) -> Any:
        """What the server's `Room.snapshot` returned at the last join or loss."""
        return self.room.snapshot

    @property
    def offset(self) -> int:
        """The offset of the last message received."""
        return self.room.offset

    @property
    def state(self) -> Any:
        """The state that the room declares, as this client has it; see `Room.state`."""
        return self.room.state

    @property
    def closeCode(self) -> int | None:
        """The code with which the membership ended; `None` if it has not ended."""
        return None if self.closeInfo is None else self.closeInfo.code

    # -- receiving

    def expect(self, type: str) -> Any:
        """
        Take the next message of that type and return its data. Messages of other types stay.

        Raises:
            AssertionError: There is no such message. The text lists what has arrived instead.
        """
        return _taken(self.messages, type, lambda: f"no message {type!r} has arrived; {self._news()}")

    def expectNone(self, type: str | None = None) -> None:
        """
        Check that no message is left, of that type or of any type.

        Raises:
            AssertionError: There is one. The text lists what has arrived.
        """
        if any(type in (None, each) for each, _ in self.messages):
            expected = "no message" if type is None else f"no message {type!r}"
            raise AssertionError(f"{expected} must have arrived; {self._news()}")

    def until(self, isSo: Callable[[Any], object], *, seconds: float = 5.0) -> None:
        """
        Let time pass until `isSo(state)` is true, from one event of the clock to the next.

        Args:
            isSo: A function of `state`.
            seconds: How much time may pass at most.

        Raises:
            AssertionError: It is not true within that time. The text has the state.
        """
        end = self._clock.seconds() + seconds
        while not isSo(self.state):
            times = [call.getTime() for call in self._clock.getDelayedCalls()]
            if not times or min(times) > end:
                raise AssertionError(
                    f"it has not come true within {seconds:g} s; the state is {self.state!r}; {self._news()}"
                )
            self._clock.advance(max(0.0, min(times) - self._clock.seconds()))

    def _news(self) -> str:
        """Return what has arrived and what has gone wrong, to explain why a test has failed."""
        came = ", ".join(f"{type!r} {data!r}" for type, data in self.messages) or "nothing"
        errors = "".join(f"; error: {error}" for error in self.errors)
        how = "" if self.closeInfo is None else f" ({self.closeInfo.code} {self.closeInfo.reason})".rstrip()
        return f"there is: {came}{errors}; the room is {self.status.value}{how}"

    # -- sending

    def send(self, type: str, data: Any = None, *, volatile: bool = False) -> Sent:
        """
        Send a message; while the room is away, it is queued.

        Returns:
            A `Sent`, which tells when the server has acknowledged the message. The server does so within
                0.05 s. If the server refuses the message, the error is added to `errors`.

        Raises:
            RoomError: The client cannot send the message.
        """
        sent = self.room.send(type, data, volatile=volatile)
        self._clock.flush()
        return sent

    def call(self, type: str, data: Any = None) -> Any:
        """
        Send a call and return its answer.

        Raises:
            RoomError: The server answers with an error.
            AssertionError: There is no answer yet. Use `calling` if the handler takes time, or if the room
                is away.
        """
        return resultOf(self._clock, self.room.call(type, data), f"call({type!r}) of {self!r}")

    def calling(self, type: str, data: Any = None, *, timeout: float | None = None) -> Deferred[Any]:
        """Like `call`, but returns a Deferred: use it if time must pass before the answer."""
        answer = self.room.call(type, data, timeout=timeout)
        self._clock.flush()
        return answer

    def handle(self, type: str, handler: Callable[[Any], Any]) -> None:
        """
        Answer the room's calls of that type with what `handler(data)` returns, which may be a Deferred or a
        coroutine.
        """
        self.room.handle(type, handler)

    def fetchMembers(self) -> list[Member]:
        """Fetch the next members that the client does not know. Returns them; none if it knows all."""
        return resultOf(self._clock, self.room.fetchMembers(), f"fetchMembers() of {self!r}")

    def leave(self) -> None:
        """Leave the room, after the queued messages were sent."""
        self.room.leave()
        self._clock.flush()
