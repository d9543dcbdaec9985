"""
RoomApplication: rooms as an application of a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..core.application import Application, Refusal
from ..core.codes import CloseCode, ErrorCode
from ..core.connection import Connection
from ..core.handshake import Deny, Handshake, UpgradeError
from ..core.hooks import Hook
from ..core.message import Data, Prepared
from ..core.refusallog import RefusalLog, shown
from ..core.validation import isAmount, isCount
from ..protocol.errors import RoomError
from ..protocol.payload import checkText
from .api.ports import LeaveReason
from .api.room import Room
from .contract.listing import Listing
from .contract.ports import Engine
from .edge.addresslimit import AddressLimit
from .edge.dialect import DIALECTS, dialectOf
from .edge.framesession import FrameSession
from .edge.matchmaker import Matchmaker
from .edge.outlet import EdgeOutlet
from .edge.refusals import NO_ROOMS_HERE, inBandRefusal
from .edge.services import EdgeServices
from .edge.session import RoomSession
from .owner.budget import Budget
from .owner.directory import Hosts, Rooms
from .owner.host import Host
from .owner.lifecyclelog import LifecycleLog
from .registration import MAX_ROOMS, Registration, Registrations

#: Where rooms are served, and below.
DEFAULT_PATH = "/rooms"
#: Seconds after which clients are told to come back when the server stops.
RETRY_AFTER = 1.0


class RoomApplication(Application):
    """
    Serves rooms: `register` their classes, add it to a server, and clients join them at `path` and below.

    `path` may also be given when it is added: `server.addApplication(rooms, path="/play")`; by default it is
    "/rooms". `ws://host/rooms/chat?topic=x` joins a room named "chat" with the option `topic`; at
    `ws://host/rooms` clients join by frames. The hooks of the upgrade (`verifyClient`, `acceptsOrigin`, ...)
    are those of any application; what `verifyClient` accepts a client as is `client.user`.

    `totalRecoverySize` is how many bytes of memory the messages may take that all rooms of this process
    keep, for those who resume and as history (0: any number). Each counts as 768 bytes, its data, its frames
    in each dialect that was spoken (in JSON twice the text, which may be six times the data), and 8 bytes for
    each member that it names. When it is more, the rooms that have been silent for longest forget their
    oldest first, then their history, and who comes back to one of those is told that it has missed
    something. While clients are being seated it may be four times as much.

    `createRate` is how many rooms a second the clients of one address may make, `createBurst` how many of
    them at once (0: twice the rate); more are refused with `rateLimited` and `{"retryAfter": seconds}`.
    `createRate=0` is any number. An address is what the server's own limits count by: a /64 of IPv6, and
    behind `trustedProxies` what these tell. Rooms that are made on the server don't count.

    So are the clients that join by their path, by `joinRate` and `joinBurst`: such a one gets the room's
    history for a request of 200 bytes.

    Other keywords are options of the server that are overridden; by default `messageRate=100`,
    `messageBurst=200`.
    """

    served = "Rooms are served at this path, by the protocols txroom.v1.json and txroom.v1.msgpack"
    shutdownCode = CloseCode.SHUTTING_DOWN
    heartbeatCode = CloseCode.NO_HEARTBEAT
    abuseCode = CloseCode.RATE_ABUSE
    isPlain = False
    log = Logger()

    engine: Engine
    clock: IReactorTime
    #: What its sessions are given.
    services: EdgeServices
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
        if path is not None:
            _checkPath(path)
        #: Where it is served, without a "/" at the end; `None`: not decided yet.
        self._path = None if path is None else path.rstrip("/")
        self._budget = Budget(totalRecoverySize) if totalRecoverySize else None
        for name, value, isRight in (
            ("createRate", createRate, isAmount(createRate)),
            ("createBurst", createBurst, isCount(createBurst)),
            ("joinRate", joinRate, isAmount(joinRate)),
            ("joinBurst", joinBurst, isCount(joinBurst)),
        ):
            if not isRight:
                raise ValueError(f"{name}={value!r}: must be a finite number, 0 or more")
        self._creations = AddressLimit(
            createRate,
            createBurst or max(1.0, 2 * createRate),
            "too many rooms were made from your address",
        )
        self._arrivals = AddressLimit(
            joinRate, joinBurst or max(1.0, 2 * joinRate), "too many clients came from your address"
        )
        self.edge = EdgeOutlet()
        self._hosts = Hosts()
        #: The rooms of this process, live.
        self.rooms = Rooms(self._hosts)
        self._registrations = Registrations()
        self._sessions: dict[str, RoomSession] = {}
        self._isBegun = False
        self._isStopping = False
        super().__init__(**{"messageRate": 100.0, "messageBurst": 200, **hooksAndOptions})

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
        Serve rooms of `roomClass` under a name, like Colyseus's `register`.

        A class may be registered under many names.

        Args:
            name: The name.
            roomClass: The class of the rooms.
            maxRooms: Most rooms of this name at a time; 0: any number. Who wants one more is told `full`.
            clientsMayCreate: Whether clients may make rooms.
            options: What overlays what clients ask for, and the settings of the rooms of this name.

        Raises:
            TypeError: The class is no `Room`, or has a wrong handler.
            ValueError: The name is taken, or a setting is out of range.
        """
        if name in self._registrations:
            raise ValueError(f"name={name!r}: is registered already")
        registration = Registration(
            name, roomClass, options, maxRooms=maxRooms, clientsMayCreate=clientsMayCreate
        )
        self._registrations[name] = registration
        return registration

    @property
    def registrations(self) -> Mapping[str, Registration]:
        """What was registered, by name."""
        return MappingProxyType(self._registrations)

    def setDebug(self, isOn: bool) -> None:
        """Tell who asks for a name that isn't registered which there are."""
        self._registrations.isDebug = isOn

    # -- the server side

    def begin(self, engine: Engine, clock: IReactorTime, volatileLimit: int = 65536) -> None:
        """Use that engine and clock; the server does this when the application is added to it."""
        if not self._isBegun:
            self._isBegun = True
            self.engine = engine
            self.clock = clock
            self.lifecycleLog = LifecycleLog(clock)
            self._refusals = RefusalLog("join", self.log, clock)
            self.services = EdgeServices(
                clock=clock,
                log=self.log,
                engine=engine,
                outlet=self.edge,
                matchmaker=Matchmaker(engine, self._registrations),
                creations=self._creations,
                arrivals=self._arrivals,
                volatileLimit=volatileLimit,
                joinRefused=self.joinRefused,
            )

    def makeHost(self, room: str, name: str, options: Mapping[str, Any]) -> Host:
        """The engine wants a room to be run here. Raises `RoomError`."""
        registration = self._registrations.find(name)
        if self._isStopping:
            raise RoomError(ErrorCode.UNAVAILABLE)
        if 0 < registration.maxRooms <= self._hosts.count(name):
            raise RoomError(ErrorCode.FULL, "no more rooms of that name")
        made = registration.typed(registration.optionsOf(options))
        try:
            host = Host(room, registration, made, self, self._budget)
        except BaseException:  # such as SystemExit in the constructor of the room
            self.log.failure("a room of name {name} can't be made", name=name)
            raise RoomError(ErrorCode.INTERNAL, "the room can't be made") from None
        self._hosts.add(host)
        return host

    def joinRefused(self, code: str, asked: tuple[str, str], handshake: Handshake) -> None:
        """A client was not let into a room, because of `code`; it asked in that way for that name or id."""
        how, what = asked
        self._refusals.note(shown(code), f"{how} {shown(what)}", handshake.peer)

    def hostEnded(self, host: Host) -> None:
        """The engine has let go of a room."""
        self._hosts.remove(host)

    def query(
        self, name: str | None = None, filter: Mapping[str, Any] | None = None
    ) -> Deferred[list[Listing]]:
        """
        The rooms of a name, or of any: those whose filtered options and metadata have the values of `filter`.

        In the order in which they would be joined; private ones are left out. Fails with `RoomError`:
        `noSuchRoom` for a name that isn't registered, `badRequest` for a value that can't be looked for.
        """
        if name is not None:
            checkText("name", name)
        return Deferred.fromCoroutine(self.services.matchmaker.query(name, filter))

    def createRoom(self, name: str, options: Mapping[str, Any] | None = None) -> Deferred[str]:
        """
        Make a room; its id. Fails with `RoomError`: `noSuchRoom` for a name that isn't registered, `full`
        where there are `maxRooms`, `badRequest` for an option that can't be filtered by.
        """
        checkText("name", name)
        if not isinstance(options, Mapping | None):
            raise TypeError(f"options={options!r}: must be a mapping, such as {{'mode': 'blitz'}}")
        return self.engine.create(name, dict(options or {}))

    def reserveSeat(self, roomId: str, user: Any = None, seconds: float | None = None) -> Deferred[str]:
        """
        Keep a seat in a room; its token, for one use, as option `seat` of `joinById`.

        For `user` only, if one is given, and for so many seconds (default: the room's `seatSeconds`). Once
        the Deferred has fired the seat can't get lost any more.
        Fails with `RoomError` if there is no such room or it is full, with `ValueError` for a user of whom
        `Room.userId` can't say who that is. Raises `TypeError` for what is no id, `ValueError` for a time
        that is none.
        """
        checkText("roomId", roomId)
        if seconds is not None and not isAmount(seconds):
            raise ValueError(f"seconds={seconds!r}: must be a number of seconds, 0 or more")
        return self.engine.reserve(roomId, user, seconds)

    def broadcastToRooms(self, name: str, type: str, data: Any = None) -> None:
        """
        Broadcast a message to all rooms of a name that run in this process, as `rooms` has them; no others.

        Raises `RoomError` for a name that isn't registered, `TypeError` for data that can't be encoded.
        """
        self._registrations.find(name)
        for room in self.rooms.named(name):
            room.broadcast(type, data)

    def broadcast(self, data: Data | Prepared, exclude: Connection | Iterable[Connection] = ()) -> None:
        """Raises `TypeError`: connections of rooms speak a protocol of their own."""
        raise TypeError(
            "clients of rooms understand messages of rooms only: room.broadcast(type, data), "
            "or to all rooms of a name broadcastToRooms(name, type, data)"
        )

    # -- the upgrade

    @property
    def _base(self) -> str:
        return DEFAULT_PATH if self._path is None else self._path

    def routesFor(self, path: str | None) -> tuple[str | None, ...]:
        """
        A path and all below it; `path`, with or without "/*" at its end, decides which if nothing else has.
        """
        if path is not None:
            wanted = path.removesuffix("/*").rstrip("/")
            if self._path not in (None, wanted):
                raise ValueError(f"path={path!r}: these rooms are served at {self._path or '/'} already")
            self._path = wanted
        self._path = self._base
        return (self._path or "/", f"{self._path}/*")

    def hook(self, name: str) -> Hook | None:
        """The hook of that name; unknown rooms are refused before `verifyClient` is asked."""
        if name == "verifyClient":
            return self._verify
        return super().hook(name)

    def roomNameOf(self, handshake: Handshake) -> str | None:
        """The name of the room that a path asks for; "" if it asks for none, `None` if it isn't ours."""
        path, base = handshake.path.rstrip("/"), self._base
        if path == base:
            return ""
        if not path.startswith(base + "/"):
            # Upgraded by hand, at whatever path that is.
            return "" if self._path is None else None
        return unquote(path[len(base) + 1 :])

    def _verify(self, handshake: Handshake) -> Any:
        name = self.roomNameOf(handshake)
        if name is None:
            return Deny(404, NO_ROOMS_HERE)
        if name and name not in self._registrations:
            return Deny(404, self._registrations.unknown(name))
        verify: Callable[[Handshake], Any] | None = getattr(self, "verifyClient", None)
        return True if verify is None else verify(handshake)

    def chooseProtocol(self, offered: list[str], handshake: Handshake) -> Any:
        """The first that we speak; none at all is JSON."""
        return next((name for name in offered if name in DIALECTS), None)

    def tellRefusal(self, handshake: Handshake, error: UpgradeError) -> Refusal | None:
        """An `error` frame and a close code, for clients that speak the room protocol."""
        return inBandRefusal(handshake, error)

    # -- connections

    def sessionFor(self, connection: Connection) -> RoomSession:
        """
        The session of a connection that has been made: what its messages are taken as, and what it is sent.

        Override it to serve clients that speak another protocol than txroom's own in the same rooms, by a
        subclass of `RoomSession` with a dialect of its own. It is called once for each connection, before
        the client joins the room that its path names (`roomNameOf`).

        Returns:
            By default a `FrameSession`, in the dialect of the sub-protocol that was chosen.
        """
        return FrameSession(self.services, connection, dialectOf(connection.protocol))

    def onConnect(self, connection: Connection) -> Any:
        """A client has come; if its path names a room it joins that, and its messages wait."""
        session = self._sessions[connection.id] = self.sessionFor(connection)
        name = self.roomNameOf(connection.handshake)
        if not name:
            return None
        joined = session.joinByPath(name)
        return None if joined.called else joined

    def onMessage(self, connection: Connection, message: str | bytes) -> Any:
        """A client has sent something."""
        session = self._sessions.get(connection.id)
        if session is not None:
            session.received(message)

    def onDisconnect(self, connection: Connection, code: int, reason: str) -> Any:
        """A client is gone."""
        session = self._sessions.pop(connection.id, None)
        if session is not None:
            session.disconnected(code)

    # -- the end

    def shutDown(self, connection: Connection) -> None:
        """The server stops: say `bye`, and close with 4100."""
        session = self._sessions.get(connection.id)
        if session is None:
            connection.close(self.shutdownCode, "server shutdown")
        else:
            session.sayGoodbye(self.shutdownCode, RETRY_AFTER)

    def stop(self) -> Deferred[Any]:
        """The server has closed its connections: end the rooms; fires when all are disposed of."""
        self._isStopping = True
        if self._isBegun:
            self._refusals.sumUp()
        ending = [self._dispose(host) for host in self._hosts.all()]
        done: Deferred[Any] = DeferredList(ending, consumeErrors=True)

        def stopped(_: object) -> None:
            self._isStopping = False
            if self._isBegun:
                self.lifecycleLog.flush()

        return done.addBoth(stopped)

    def _dispose(self, host: Host) -> Deferred[None]:
        """End a room; one that can't be ended is in nobody's way."""
        try:
            return host.dispose(CloseCode.SHUTTING_DOWN, LeaveReason.SHUTDOWN)
        except Exception:
            self.log.failure("room {id} could not be ended", id=host.id)
            return succeed(None)


def _checkPath(path: object) -> None:
    """Raise `TypeError` or `ValueError` for what rooms can't be served at."""
    if not isinstance(path, str):
        raise TypeError(f"path={path!r}: must be a text")
    if not path.startswith("/") or any(each in path for each in "*?#"):
        raise ValueError(f"path={path!r}: must begin with '/', without '*', '?' and '#'")
