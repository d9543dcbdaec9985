"""
RoomApplication: rooms as an application of a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..core.application import Application, Refusal
from ..core.codes import CloseCode, ErrorCode
from ..core.connection import Connection
from ..core.handshake import Deny, Handshake, UpgradeError
from ..core.hooks import Hook
from ..core.message import Data, Prepared
from ..core.validation import isAmount
from ..protocol.errors import RoomError
from ..protocol.joinoptions import AUTH, SEAT, without
from ..protocol.payload import checkText
from .api.ports import LeaveReason
from .api.room import Room
from .contract.asks import Reserve
from .contract.listing import Listing
from .contract.ports import Engine, RoomHost
from .edge.addresslimit import limitFrom
from .edge.dialect import DIALECTS, dialectOf
from .edge.framesession import FrameSession
from .edge.joinrefusals import JoinRefusals
from .edge.matchmaker import Matchmaker
from .edge.outlet import EdgeOutlet
from .edge.refusals import NO_ROOMS_HERE, inBandRefusal
from .edge.services import EdgeServices
from .edge.session import RoomSession
from .edge.users import NOBODY, EdgeUsers
from .meters import RoomMeters
from .owner.budget import Budget
from .owner.directory import Hosts, Rooms
from .owner.host import Host
from .owner.lifecyclelog import LifecycleLog
from .path import RoomPath
from .plain import plainOptions, plainUser
from .registration import MAX_ROOMS, Registration, Registrations

#: Seconds after which clients reconnect when the server shuts down, unless other processes go on for it.
RETRY_AFTER = 1.0


class RoomApplication(Application):
    """
    Serves rooms. Register room classes, add it to a server, and clients can join rooms at `path` and below.

    `ws://host/rooms/chat?topic=x` joins a room named "chat" with the option `topic`. At `ws://host/rooms`
    clients join by frames. The hooks of the upgrade (`verifyClient`, `acceptsOrigin`, ...) are those of any
    application; the user that `verifyClient` returns is `client.user`.

    Two rates are limited for each client address, because such requests are small and cost the server much:
    creating rooms, and joining by path, which sends the room's history. A client that exceeds a rate is
    refused with `rateLimited` and `{"retryAfter": seconds}`. An address is the one that the server's own
    limits use: a /64 for IPv6, and behind `trustedProxies` the address that these report. Rooms that the
    server creates don't count.

    Args:
        path: The path. It may also be passed to `server.addApplication(rooms, path="/play")`; the default is
            "/rooms".
        totalRecoverySize: The bytes of memory for the messages that all rooms of this process keep, as
            history and for clients that resume; 0: any number. A message counts as 768 bytes, plus its data,
            plus twice its frames minus 256 bytes (at least its data again), plus 8 bytes for each member that
            it names. It has a frame for each dialect that clients speak; a JSON frame may be six times as
            long as the data. With more, the rooms that have been silent for longest forget their oldest
            messages, then their history, and clients that resume in them get `recovered: false`. While
            clients are joining, the messages may take up to four times as much.
        createRate: The rooms a second that clients of one address may create; 0: any number.
        createBurst: The rooms that they may create at once; 0: twice the rate.
        joinRate: The clients a second that may join by path from one address; 0: any number.
        joinBurst: The clients that may do so at once; 0: twice the rate.
        hooksAndOptions: Hooks, and options that override those of the server. The default of `messageRate` is
            100 here, that of `messageBurst` 200.

    Raises:
        ValueError: An option is out of range.
    """

    served = "Rooms are served at this path, by the protocols txroom.v1.json and txroom.v1.msgpack"
    shutdownCode = CloseCode.SHUTTING_DOWN
    heartbeatCode = CloseCode.NO_HEARTBEAT
    abuseCode = CloseCode.RATE_ABUSE
    isPlain = False
    log = Logger()

    engine: Engine
    clock: IReactorTime
    services: EdgeServices
    users: EdgeUsers = NOBODY
    lifecycleLog: LifecycleLog

    def __init__(
        self,
        *,
        path: str | None = None,
        totalRecoverySize: int = 256 << 20,
        createRate: float = 2.0,
        createBurst: int = 200,
        joinRate: float = 50.0,
        joinBurst: int = 1000,
        **hooksAndOptions: Any,
    ) -> None:
        if type(totalRecoverySize) is not int or totalRecoverySize < 0:
            raise ValueError(f"totalRecoverySize={totalRecoverySize!r}: must be a whole number, 0 or more")
        self._path = RoomPath(path)
        self._budget = Budget(totalRecoverySize) if totalRecoverySize else None
        tooMany = "too many rooms were created from your address"
        self._creations = limitFrom("create", createRate, createBurst, tooMany)
        self._arrivals = limitFrom("join", joinRate, joinBurst, "too many clients joined from your address")
        self.edge = EdgeOutlet()
        #: What is counted here for the metrics.
        self.meters = RoomMeters()
        self._hosts = Hosts()
        #: The rooms of this process by id; a live view.
        self.rooms = Rooms(self._hosts)
        self._registrations = Registrations()
        self.sessions: dict[str, RoomSession] = {}
        #: Whether it has begun to serve.
        self.isBegun = False
        self._isStopping = False
        #: Whether the engine can serve rooms; see `setServing`.
        self.isServing = True
        super().__init__(**{"messageRate": 100.0, "messageBurst": 200, **hooksAndOptions})

    @property
    def path(self) -> str:
        """The path, without "/" at its end; "/rooms" until another one is decided."""
        return self._path.base

    # -- the registry

    def register(
        self,
        name: str,
        roomClass: type[Room],
        *,
        maxRooms: int = MAX_ROOMS,
        clientsMayCreate: bool = True,
        **options: Any,
    ) -> Registration:
        """
        Serve rooms of a class under a name, like Colyseus's `register`.

        Args:
            name: The name.
            roomClass: The class of the rooms. It may be registered under many names.
            maxRooms: The most rooms of this name at a time; 0: any number. A request for one more gets
                `full`.
            clientsMayCreate: Whether clients may create rooms; if not, only `createRoom` does.
            options: Options that override those of clients, and settings of the rooms.

        Returns:
            The registration, for `filterBy`, `sortBy` and `on`.

        Raises:
            TypeError: The class is no subclass of `Room`, or has a wrong handler.
            ValueError: The name is taken, or a setting is out of range.
        """
        if name in self._registrations:
            raise ValueError(f"name={name!r}: is registered already")
        registration = Registration(
            name, roomClass, options, maxRooms=maxRooms, clientsMayCreate=clientsMayCreate
        )
        self._registrations.add(registration)
        return registration

    @property
    def registrations(self) -> Mapping[str, Registration]:
        """The registrations, by name; read only."""
        return MappingProxyType(self._registrations)

    def tellErrors(self, isOn: bool) -> None:
        """Let errors tell clients more, or not; see `Server.tellErrors`."""
        self._registrations.tellErrors(isOn)

    # -- the server side

    def begin(self, engine: Engine, clock: IReactorTime, volatileLimit: int = 65536) -> None:
        """
        Start to serve, or go on with another engine while there are no rooms. The server calls this.

        Args:
            engine: The engine.
            clock: The server's clock.
            volatileLimit: The most bytes queued for a client; with more, its volatile messages are dropped.
        """
        self.isBegun = True
        self.engine = engine
        self.clock = clock
        self.lifecycleLog = LifecycleLog(clock, lambda: engine.nodeId, self.meters)
        self._refusals = JoinRefusals(self.log, clock, self.meters)
        self.services = EdgeServices(
            clock=clock,
            log=self.log,
            engine=engine,
            outlet=self.edge,
            matchmaker=Matchmaker(engine, self._registrations),
            users=self.users,
            creations=self._creations,
            arrivals=self._arrivals,
            meters=self.meters,
            volatileLimit=volatileLimit,
            joinRefused=self._refusals.refused,
        )

    def maxRooms(self, name: str) -> int:
        """Return the most rooms of a name (0: any number), for the engine. Raises `RoomError`."""
        return self._registrations.find(name).maxRooms

    def makeHost(self, room: str, name: str, options: Mapping[str, Any]) -> Host:
        """
        Make the host of a room, for the engine.

        Args:
            room: The room's id.
            name: The name that it is registered under.
            options: The options that were given when it was created.

        Raises:
            RoomError: The name isn't registered, the server is shutting down, or the constructor raised.
        """
        registration = self._registrations.find(name)
        if self._isStopping:
            raise RoomError(ErrorCode.UNAVAILABLE)
        given = without(options, AUTH, SEAT)
        made = registration.typed(registration.optionsOf(given))
        try:
            host = Host(room, registration, made, self, self._budget, given)
        except BaseException as error:  # such as SystemExit in the constructor of the room
            self.log.failure("a room of name {name} can't be created", name=name)
            raise registration.notCreated(error) from None
        self._hosts.add(host)
        return host

    def hostEnded(self, host: RoomHost) -> None:
        """A room has ended; the engine calls this."""
        self._hosts.remove(host)

    def query(
        self, name: str | None = None, filter: Mapping[str, Any] | None = None
    ) -> Deferred[list[Listing]]:
        """
        Find rooms, in the order in which clients would join them. Private rooms are left out.

        Args:
            name: The name of the rooms; `None`: all names.
            filter: Values that the rooms' filtered options or metadata must have; `None`: any.

        Returns:
            A Deferred of the listings. It fails with `RoomError`: `noSuchRoom` for a name that isn't
            registered, `badRequest` for a value that can't be filtered by.
        """
        if name is not None:
            checkText("name", name)
        return Deferred.fromCoroutine(self.services.matchmaker.query(name, filter))

    def createRoom(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[str]:
        """
        Create a room.

        Args:
            name: The name that it is registered under.
            options: Its options; the registered ones override them.

        Returns:
            A Deferred of the room's id, which fires when the room is open. It fails with `RoomError`:
            `noSuchRoom` for a name that isn't registered, `full` if there are `maxRooms` rooms, `badRequest`
            for an option that can't be filtered by.

        Raises:
            TypeError: The options are no mapping, or no plain data.
        """
        checkText("name", name)
        if not isinstance(options, Mapping | None):
            raise TypeError(f"options={options!r}: must be a mapping, such as {{'mode': 'blitz'}}")
        return self.engine.create(name, plainOptions(options or {}))

    def reserveSeat(self, roomId: str, user: Any = None, seconds: float | None = None) -> Deferred[str]:
        """
        Reserve a seat in a room.

        Args:
            roomId: The room's id.
            user: The only user that may take the seat; `None`: any user.
            seconds: For how long the seat is reserved; `None`: the room's `seatSeconds`.

        Returns:
            A Deferred of a token that works once, as the option `seat` of `joinById`. It fires when the
            reservation is committed. It fails with `RoomError` if there is no such room or the room is full,
            and if `Room.userId` returns no id for the user: ``invalidData``, with the field ``user``.

        Raises:
            TypeError: The id is no text, or the user is no plain data.
            ValueError: The time is negative or not a finite number.
        """
        checkText("roomId", roomId)
        if seconds is not None and not isAmount(seconds):
            raise ValueError(f"seconds={seconds!r}: must be a number of seconds, 0 or more")
        return self.engine.ask(roomId, Reserve(plainUser(user), seconds))

    def broadcastToRooms(self, name: str, type: str, data: Any = None) -> None:
        """
        Broadcast a message to all rooms of a name that run in this process.

        Args:
            name: The name of the rooms.
            type: The type of the message.
            data: Its data.

        Raises:
            RoomError: The name isn't registered.
            TypeError: The data can't be encoded.
        """
        self._registrations.find(name)
        for room in self.rooms.named(name):
            room.broadcast(type, data)

    def broadcast(self, data: Data | Prepared, exclude: Connection | Iterable[Connection] = ()) -> None:
        """Raise `TypeError`: the connections of rooms speak the room protocol."""
        raise TypeError(
            "clients of rooms understand messages of rooms only: room.broadcast(type, data), "
            "or to all rooms of a name broadcastToRooms(name, type, data)"
        )

    # -- the upgrade

    def routesFor(self, path: str | None) -> tuple[str | None, ...]:
        """
        Return the routes of the application: its path, and all paths below.

        Args:
            path: The path that was passed to `addApplication`, with or without "/*" at its end.

        Raises:
            ValueError: The application is served at another path already.
        """
        return self._path.routesFor(path)

    def hook(self, name: str) -> Hook | None:
        """Return a hook. That of `verifyClient` first refuses unknown names of rooms."""
        if name == "verifyClient":
            return self._verify
        return super().hook(name)

    def roomNameOf(self, handshake: Handshake) -> str | None:
        """
        Return the name of the room that a client's path names: "" if it names none, so that the client joins
        by frames; `None` if no rooms are served there.
        """
        return self._path.nameOf(handshake.path)

    def _verify(self, handshake: Handshake) -> Any:
        name = self.roomNameOf(handshake)
        if name is None:
            return Deny(404, NO_ROOMS_HERE)
        if name and name not in self._registrations:
            return Deny(404, self._registrations.unknown(name))
        if not self.isServing:
            return Deny(503, "rooms are not available at this server", {"Retry-After": "5"})
        verify: Callable[[Handshake], Any] | None = getattr(self, "verifyClient", None)
        return True if verify is None else verify(handshake)

    def chooseProtocol(self, offered: list[str], handshake: Handshake) -> Any:
        """Return the first offered sub-protocol that is supported; without one the client speaks JSON."""
        return next((name for name in offered if name in DIALECTS), None)

    def tellRefusal(self, handshake: Handshake, error: UpgradeError) -> Refusal | None:
        """Return the refusal in the room protocol, for clients that offer it."""
        return inBandRefusal(handshake, error)

    # -- connections

    def sessionFor(self, connection: Connection) -> RoomSession:
        """
        Make the session of a new connection.

        Override it to serve clients of another protocol in the same rooms: return a subclass of `RoomSession`
        with a dialect of its own. It is called once for each connection, before the client joins the room of
        its path (`roomNameOf`).

        Args:
            connection: The connection.

        Returns:
            By default a `FrameSession`, with the dialect of the chosen sub-protocol.
        """
        return FrameSession(self.services, connection, dialectOf(connection.protocol))

    def onConnect(self, connection: Connection) -> Any:
        """Make the session of a new connection, and join the room of its path; messages wait for that."""
        session = self.sessions[connection.id] = self.sessionFor(connection)
        name = self.roomNameOf(connection.handshake)
        if not name:
            return None
        joined = session.joinByPath(name)
        return None if joined.called else joined

    def onMessage(self, connection: Connection, message: str | bytes) -> Any:
        """Pass a message to the session. Called for every message."""
        session = self.sessions.get(connection.id)
        if session is not None:
            session.received(message)

    def onDisconnect(self, connection: Connection, code: int, reason: str) -> Any:
        """End the session."""
        session = self.sessions.pop(connection.id, None)
        if session is not None:
            session.disconnected(code)

    # -- the end

    def shutDown(self, connection: Connection, hasLeft: bool = False) -> Deferred[None] | None:
        """The server is shutting down: send `Bye`, and close with 4100."""
        session = self.sessions.get(connection.id)
        if session is not None and hasLeft:
            return session.depart(self.shutdownCode)
        if session is not None:
            session.sayGoodbye(self.shutdownCode, RETRY_AFTER)
        else:
            connection.close(self.shutdownCode, "server shutdown")
        return None

    def setServing(self, isServing: bool) -> None:
        """Say whether the engine can serve rooms. If not, clients are disconnected and refused."""
        self.isServing = isServing
        if not isServing:
            for session in list(self.sessions.values()):
                session.sayGoodbye(self.shutdownCode, RETRY_AFTER)

    def stop(self) -> Deferred[Any]:
        """End all rooms, after the server has closed its connections; fires when they are disposed of."""
        self._isStopping = True
        if self.isBegun:
            self._refusals.sumUp()

        def stopped(_: object) -> None:
            self._isStopping = False
            if self.isBegun:
                self.lifecycleLog.flush()

        return self._hosts.dispose(CloseCode.SHUTTING_DOWN, LeaveReason.SHUTDOWN).addBoth(stopped)
