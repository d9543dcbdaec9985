"""
The real server in memory, and what is checked when it stops.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import count
from typing import Any, Self, TypeVar, overload

from autobahn.websocket.compress import PerMessageDeflateOffer
from autobahn.websocket.types import ConnectingRequest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from .. import Application, Connection, Room, RoomApplication, Server, ServerOptions
from ..client import ClientOptions
from ..client.transport import absolute
from ..core.interfaces import ProtocolFactory
from .clients import Client, ClientProtocol, MemoryEndpoint, RawClient, RawProtocol, TCPClient, clientFactory
from .network import PORT, MemoryReactor, MemorySocket
from .rooms import JoinedRoom, RoomClient, resultOf
from .tls import clientContext, serverContext
from .trace import Trace

RoomClass = TypeVar("RoomClass", bound=Room)


class RoomHarness:
    """
    A server that runs in memory.

    `serves` is an `Application` or a factory of Autobahn's, or a mapping of such by their paths and of room
    classes by their names, or a function that is given a clock, its only argument, and makes a `Server` with
    it. The options of the server are given as keywords, unless the function made it. If it doesn't listen
    anywhere by itself, it does at port 8080. `clock` is the `MemoryReactor` to run on: pass that of another
    harness to have both in one process. Raises `TypeError` for anything else.
    """

    def __init__(
        self,
        serves: Application
        | IProtocolFactory
        | ProtocolFactory
        | Mapping[str, Application | IProtocolFactory | ProtocolFactory | type[Room]]
        | Callable[..., Server]
        | None = None,
        *,
        clock: MemoryReactor | None = None,
        **options: Any,
    ) -> None:
        #: The clock of the server; `clock.seconds()` is the time.
        self.clock = clock or MemoryReactor()
        self._clients: list[TCPClient] = []
        self._roomClients: list[RoomClient] = []
        self._ports = count(49152)
        #: The server under test.
        self.server = self._makeServer(serves, options)
        if not self.server.hasListeners:
            self.server.listen(f"tcp:{PORT}")
        self.start()

    def _makeServer(self, serves: Any, options: dict[str, Any]) -> Server:
        _refuseMistakes(serves)
        if callable(serves):
            if options:
                raise TypeError("options can't be given to a server that is made already")
            return self._madeBy(serves)
        server = Server(ServerOptions(**options), clock=self.clock)
        if isinstance(serves, Mapping):
            for name, served in serves.items():
                if isinstance(served, type) and issubclass(served, Room):
                    server.register(name, served)
                else:
                    _refuseMistakes(served)
                    _serve(server, served, name)
        elif serves is not None:
            _serve(server, serves, None)
        return server

    def _madeBy(self, makeServer: Callable[[MemoryReactor], Any]) -> Server:
        clock: Any = self.clock
        name = getattr(makeServer, "__name__", repr(makeServer))
        made = _calledWithClock(makeServer, name, clock)
        if not isinstance(made, Server):
            raise TypeError(f"{name} must return a Server, not {made!r}")
        if made.clock is not clock:
            raise TypeError(f"{name} must make its server with the clock it is given: Server(clock=clock)")
        return made

    # -- the server

    def start(self) -> None:
        """Start the server; again, after it was stopped. A harness that is made is started."""
        self.server.privilegedStartService()
        self.server.startService()
        self.flush()

    def stop(self) -> None:
        """
        Stop the server, let as much time pass as that takes, hang up what is left of the clients, `check`.

        Room clients are closed before: they leave their rooms, and come back no more. Meant for
        `addCleanup`; a harness is also a context manager that ends with this.
        """
        faults = self._faults()
        if self._lostMembers():
            self.advance(1.0)  # an engine may take its time
        left = [*self._lostMembers(), *faults]
        for client in self._roomClients:
            for way in (client.outgoing, client.incoming):
                way.clear()  # else the frames of leaving would use them up
            client.close()
        if self.server.running:
            stopped: list[object] = []
            stopping: Deferred[None] = self.server.stopService()
            stopping.addBoth(stopped.append)
            limit = self.clock.seconds() + self.server.options.shutdownTimeout + 2.0
            while not stopped and self.clock.seconds() < limit:
                self.advance(0.05)
            if not stopped:
                raise AssertionError("the server doesn't stop")
            if isinstance(stopped[0], Failure):
                stopped[0].raiseException()
        for each in self._clients:
            each.drop()
        for client in self._roomClients:
            client.drop()
        # What is refused or cancelled now may take the time of one more deadline.
        self.advance(3.0)
        self._check(left)

    def check(self) -> None:
        """
        Raise `AssertionError` if a room, a connection, a port or a `DelayedCall` is left, or a fault that
        didn't come about; after `stop`, which has looked for members without a connection before.
        """
        self._check([*self._lostMembers(), *self._faults()])

    def _lostMembers(self) -> list[str]:
        """Members that count as connected, but have no connection: they would stay for ever."""
        lost = []
        for application in self._roomApplications:
            for room in application.rooms.values():
                host: Any = room._host
                lost += [
                    f"member {member.id} of {room!r} without a connection"
                    for member in host.members.values()
                    if member.outlet is not None and not application.edge.reaches(member.link)
                ]
        return lost

    def _faults(self) -> list[str]:
        """The faults that are still to come."""
        return [
            f"fault {fault}"
            for client in self._roomClients
            for fault in (*client.outgoing.pending, *client.incoming.pending)
        ]

    def _check(self, before: list[str]) -> None:
        left = [
            *before,
            *(f"room {room!r} with {len(room.clients)} members" for room in self.rooms),
            *(f"connection {connection!r}" for connection in self.server.connections),
            *(f"transport {transport!r}" for transport in self.clock.readers | self.clock.writers),
            *(f"port {port.getHost()}" for port in self.clock.ports),
            *(f"delayed call {call}" for call in self.clock.getDelayedCalls()),
        ]
        if left:
            raise AssertionError("left over: " + "; ".join(left))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self.stop()

    # -- time

    def flush(self) -> None:
        """Let everything happen that needs no time."""
        self.clock.flush()

    def advance(self, seconds: float) -> None:
        """Let time pass; every delayed call runs at its own time."""
        self.clock.advance(seconds)

    # -- clients

    def connect(
        self,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        protocols: Iterable[str] = (),
        *,
        peer: str = "203.0.113.9",
        host: str = "localhost",
        origin: str | None = None,
        tls: bool = False,
        compression: bool = False,
        to: IProtocolFactory | ProtocolFactory | None = None,
    ) -> Client:
        """
        A WebSocket client that has asked for `path`, and had its answer if no hook keeps it waiting.

        `peer` is its address ("" comes over a UNIX socket), `host` the name in its Host header,
        `compression` offers permessage-deflate (other offers go into `headers`), `tls` speaks TLS. `to`
        is what it connects to in place of the server's first port, say a `Site`.
        """
        client = Client(self.clock)
        name, _, port = host.partition(":")
        request = ConnectingRequest(
            host=name,
            port=int(port or PORT),
            resource=path,
            headers=dict(headers or {}),
            origin=origin,
            protocols=list(protocols),
        )
        offers = [PerMessageDeflateOffer()] if compression else []
        factory = clientFactory(self.clock, lambda: ClientProtocol(client, request), request, offers)
        self._begin(client, factory, peer, tls, to)
        return client

    def client(
        self,
        path: str = "/rooms",
        headers: Mapping[str, str] | None = None,
        *,
        peer: str = "203.0.113.9",
        host: str = "localhost",
        tls: bool = False,
        to: IProtocolFactory | ProtocolFactory | None = None,
        **options: Any,
    ) -> RoomClient:
        """
        A client of rooms, which connects when it joins one.

        `path` is where the rooms are; the others are as for `connect`, and `options` those of
        ``txroom.client.ClientOptions``.
        """
        checked = ClientOptions(**{"headers": headers or {}, "random": _longest, **options})
        endpoint = self.endpoint(peer=peer, tls=tls, to=to)
        name, _, port = host.partition(":")
        client = RoomClient(self.clock, endpoint, absolute(f"ws://{name}:{port or PORT}{path}"), checked)
        self._roomClients.append(client)
        return client

    def endpoint(
        self,
        *,
        peer: str = "203.0.113.9",
        tls: bool = False,
        to: IProtocolFactory | ProtocolFactory | None = None,
    ) -> MemoryEndpoint:
        """A way to the server for clients of your own, as an `IStreamClientEndpoint`."""
        return MemoryEndpoint(self.clock, partial(self._connect, peer=peer, tls=tls, to=to))

    def raw(
        self,
        data: bytes = b"",
        *,
        peer: str = "203.0.113.9",
        tls: bool = False,
        to: IProtocolFactory | ProtocolFactory | None = None,
    ) -> RawClient:
        """A client without a protocol of its own, that has sent `data`; the rest as for `connect`."""
        client = RawClient(self.clock)
        self._begin(client, Factory.forProtocol(lambda: RawProtocol(client)), peer, tls, to)
        if data:
            client.send(data)
        return client

    def connectionOf(self, client: Client) -> Connection:
        """The server's side of a client that is open."""
        key = client.protocol.websocket_key.decode()
        for connection in self.server.connections:
            if connection.handshake.headers.get("sec-websocket-key") == key:
                return connection
        raise LookupError("the client has no open connection")

    def _begin(self, client: TCPClient, factory: Any, peer: str, tls: bool, to: Any) -> None:
        client._socket = self._connect(factory, peer, tls, to)
        self._clients.append(client)
        self.flush()

    def _connect(self, factory: Any, peer: str, tls: bool, to: Any) -> MemorySocket:
        host: IAddress = IPv4Address("TCP", "192.0.2.1", PORT)
        if to is None:
            if not self.clock.ports:
                raise ConnectionRefusedError("nobody listens")
            to, host = self.clock.ports[0].factory, self.clock.ports[0].getHost()
        if tls:
            to = TLSMemoryBIOFactory(serverContext(), False, to, self.clock)
            factory = TLSMemoryBIOFactory(clientContext(), True, factory, self.clock)
        return self.clock.connect(to, factory, host, _address(peer, next(self._ports)))

    # -- rooms

    @property
    def rooms(self) -> list[Room]:
        """The rooms that are alive, on the server's side."""
        return [room for application in self._roomApplications for room in application.rooms.values()]

    @overload
    def roomOf(self, joined: JoinedRoom) -> Room: ...
    @overload
    def roomOf(self, joined: JoinedRoom, kind: type[RoomClass]) -> RoomClass: ...
    def roomOf(self, joined: JoinedRoom, kind: type[Room] = Room) -> Room:
        """
        The server's side of a room; its `client(joined.member)` is that of the client.

        `kind` is its class, for type checkers: ``harness.roomOf(alice, Chat).topic``. Raises `TypeError` if
        it is another, `LookupError` if the room is gone.
        """
        for room in self.rooms:
            if room.id == joined.id:
                if not isinstance(room, kind):
                    raise TypeError(f"{joined!r} is a {type(room).__name__}, not a {kind.__name__}")
                return room
        raise LookupError(f"there is no {joined!r} any more")

    def trace(self, name: str) -> Trace:
        """Note the hooks and handlers of the rooms of that name, of those that are made from now on."""
        for application in self._roomApplications:
            if name in application.registrations:
                return Trace(application.registrations[name])
        names = [name for application in self._roomApplications for name in application.registrations]
        raise LookupError(f"no rooms are registered as {name!r}, but as {names}")

    def resultOf(self, deferred: Deferred[Any]) -> Any:
        """
        The result of a Deferred of the server's side that needs no more time.

        Raises what it fails with, or `AssertionError` if it hasn't fired.
        """
        return resultOf(self.clock, deferred, repr(deferred))

    @property
    def _roomApplications(self) -> list[RoomApplication]:
        return [each for each in self.server.applications if isinstance(each, RoomApplication)]


def _calledWithClock(makeServer: Callable[..., Any], name: str, clock: Any) -> Any:
    """What it returns: the clock is its only argument, by position or by name."""
    try:
        signature = inspect.signature(makeServer)
    except (TypeError, ValueError):  # of something that doesn't say
        return makeServer(clock)
    for args, keywords in (((clock,), {}), ((), {"clock": clock})):
        try:
            signature.bind(*args, **keywords)
        except TypeError:
            continue
        return makeServer(*args, **keywords)
    raise TypeError(
        f"{name}{signature} must take the clock of the harness, and no other argument: "
        f"def {name}(clock): return Server(clock=clock)"
    )


def _serve(server: Server, served: Any, path: str | None) -> None:
    """Serve an application, or what a factory makes."""
    if IProtocolFactory.providedBy(served):
        server.addFactory(path, served)
    else:
        server.addApplication(served, path=path)


def _longest() -> float:
    """The jitter of a room client's waits, which are the longest that there can be."""
    return 1.0


def _refuseMistakes(served: Any) -> None:
    """Say it clearly where something similar was meant."""
    kind = served if isinstance(served, type) else type(served)
    if issubclass(kind, Room):
        raise TypeError(f"rooms are given as a class with a name: RoomHarness({{'chat': {kind.__name__}}})")
    if issubclass(kind, Application) and kind is served:
        raise TypeError(f"an application is given, not its class: RoomHarness({kind.__name__}())")
    if issubclass(kind, Server) and (kind is not served or kind is Server):
        raise TypeError("a server has the harness's clock: RoomHarness(lambda clock: Server(clock=clock))")


def _address(peer: str, port: int) -> IAddress:
    if not peer:
        return UNIXAddress(None)
    if ":" in peer:
        return IPv6Address("TCP", peer, port)
    return IPv4Address("TCP", peer, port)
